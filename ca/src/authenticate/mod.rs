//! Who is asking: from a credential to a [`Caller`], which only this module makes.
//!
//! A refusal is either final ("this is not acceptable") or open ("it could not be decided"), because old clients try
//! again after the second and give up after the first.

mod caller;
mod claims;
mod jwks;
mod jwks_source;
mod token;

pub use caller::{AuthenticatorKind, Caller};
pub use claims::{ClaimsError, ObjectRef, TokenId};
pub use jwks::{FetchError, IssuerKeys, JwksSource, KeyKeeper, KeysError};
pub use token::{TokenError, TokenRules};

use std::sync::Arc;

use signet_identity::{Timestamp, TrustDomain, UnverifiedJws};

use claims::Claims;

/// What a request brings to say who sends it.
#[derive(Clone, Copy)]
pub struct Credential<'a> {
    /// The bearer token.
    pub bearer: Option<&'a str>,
    /// The name of the cluster that the caller says it lives in.
    pub cluster: Option<&'a str>,
}

/// Why a caller could not be identified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentifyError {
    /// No `Bearer` value in the request.
    #[error("no bearer token was sent")]
    NoToken,
    /// The caller names a cluster that is not this one.
    #[error("cluster is not known here")]
    UnknownCluster,
    /// The token.
    #[error("token was refused")]
    Token(#[from] TokenError),
    /// The issuer's keys: nothing can be said about the token.
    #[error("issuer's keys are not at hand")]
    Keys(#[from] KeysError),
}

impl IdentifyError {
    /// Whether the credential may still be good.
    pub fn is_undecided(&self) -> bool {
        matches!(self, Self::Keys(_))
    }

    /// A stable word for logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoToken => "token_missing",
            Self::UnknownCluster => "cluster_unknown",
            Self::Token(error) => error.reason(),
            Self::Keys(error) => error.reason(),
        }
    }
}

/// Identifies callers by their Kubernetes tokens, without asking anyone while the issuer's keys are known.
#[derive(Debug)]
pub struct Authenticator {
    cluster_id: Arc<str>,
    trust_domain: TrustDomain,
    rules: TokenRules,
    keys: IssuerKeys,
}

impl Authenticator {
    /// An authenticator for the cluster called `cluster_id`, whose workloads live in `trust_domain`.
    pub fn new(cluster_id: &str, trust_domain: TrustDomain, rules: TokenRules, keys: IssuerKeys) -> Self {
        Self { cluster_id: cluster_id.into(), trust_domain, rules, keys }
    }

    /// The caller that `credential` proves. Waits only for keys, and for those no longer than the key source's bound.
    ///
    /// # Errors
    /// Every variant of [`IdentifyError`].
    pub async fn identify(&self, credential: Credential<'_>, now: Timestamp) -> Result<Caller, IdentifyError> {
        let token = credential.bearer.ok_or(IdentifyError::NoToken)?;
        if credential.cluster.is_some_and(|cluster| !cluster.is_empty() && *cluster != *self.cluster_id) {
            return Err(IdentifyError::UnknownCluster);
        }
        let token = UnverifiedJws::parse(token).map_err(TokenError::from)?;
        let keys = self.keys.for_kid(token.kid()).await?;
        let payload = token.verify(&keys).map_err(TokenError::from)?;
        let claims = Claims::from_json(&payload).map_err(TokenError::from)?;
        self.rules.check(&claims, now)?;
        Ok(Caller {
            id: claims.workload.spiffe_id(&self.trust_domain),
            workload: Some(claims.workload),
            authenticator: AuthenticatorKind::KubernetesToken,
            cluster: Some(self.cluster_id.clone()),
            service_account_uid: Some(claims.service_account_uid),
            pod: claims.pod,
            node: claims.node,
            token_id: claims.token_id,
        })
    }
}

#[cfg(test)]
mod tests;
