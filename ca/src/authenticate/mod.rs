//! Who is asking: from a credential to a [`Caller`], which only this module makes.
//!
//! Several ways of identifying may be configured ([`Method`]); one file knows each. A refusal is either final or open,
//! because old clients try again after the second and give up after the first; `refusal` knows which.

mod caller;
mod certificate;
mod claims;
mod cluster;
mod clusters;
mod discovery;
mod granted;
mod jwks;
mod jwks_source;
mod liveness;
mod oidc;
mod refusal;
mod review;
mod token;
mod verdicts;

pub use caller::{AuthenticatorKind, Caller};
pub use certificate::{CertificateRefusal, Presented, Renewal};
pub use claims::{ClaimsError, ObjectRef, TokenId};
pub use cluster::{Cluster, ClusterMeans, ClusterRules, MissingMeans, TokenMode};
pub use clusters::{Clusters, NameTaken};
pub use discovery::DiscoveryError;
pub(crate) use discovery::is_on_this_machine;
pub use granted::Granted;
pub use jwks::{FetchError, IssuerKeys, JwksSource, KeyKeeper, KeysError};
pub use liveness::LivenessError;
pub(crate) use liveness::has_ended;
pub use oidc::{Naming, NamingError, OidcError, OidcIssuer, OidcRules, PathTemplate, RequiredClaim};
pub use refusal::{IdentifyError, Refusal};
pub use review::{
    Measured as MeasuredReviews, ReviewCall, ReviewCallError, ReviewError, ReviewRefusal, ReviewStatus, ReviewedUser,
    TokenReviews,
};
pub use token::{TokenError, TokenRules};

use std::sync::Arc;

use signet_identity::Timestamp;

use crate::metrics::{Metrics, Verdict};

/// What a request brings to say who sends it.
#[derive(Clone, Copy)]
pub struct Credential<'a> {
    /// The bearer token.
    pub bearer: Option<&'a str>,
    /// The name of the cluster that the caller says it lives in.
    pub cluster: Option<&'a str>,
    /// What was presented in the handshake.
    pub certificate: Option<&'a Presented>,
}

/// A way of identifying callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// A Kubernetes token, by the rules of the cluster that the caller names.
    Kubernetes,
    /// A token of another issuer, by the rules of that issuer.
    Oidc,
    /// A certificate that was issued here.
    ClientCertificate,
}

impl std::str::FromStr for Method {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "kubernetes" => Ok(Self::Kubernetes),
            "oidc" => Ok(Self::Oidc),
            "client-certificate" => Ok(Self::ClientCertificate),
            _ => Err(format!(
                "`{word}` is no way of identifying callers, use `kubernetes`, `oidc` or `client-certificate`"
            )),
        }
    }
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kubernetes => "kubernetes",
            Self::Oidc => "oidc",
            Self::ClientCertificate => "client-certificate",
        })
    }
}

/// Identifies callers in every way that the operator configured, in that order.
#[derive(Debug)]
pub struct Authenticator {
    methods: Vec<Method>,
    clusters: Arc<Clusters>,
    oidc: Vec<OidcIssuer>,
    renewal: Option<Renewal>,
    metrics: Metrics,
}

impl Authenticator {
    /// An authenticator that tries `methods` in their order.
    pub fn new(
        methods: Vec<Method>,
        clusters: Arc<Clusters>,
        oidc: Vec<OidcIssuer>,
        renewal: Option<Renewal>,
        metrics: Metrics,
    ) -> Self {
        Self { methods, clusters, oidc, renewal, metrics }
    }

    /// The caller that `credential` proves; the first way that identifies it wins. One that cannot decide ends it: what
    /// comes after may be weaker, and whoever asks again may be judged as the operator meant. Waits for keys, for an
    /// object that the watch is about to bring or for a review, each no longer than its bound.
    ///
    /// # Errors
    /// [`IdentifyError`]: what each way said.
    pub async fn identify(&self, credential: Credential<'_>, now: Timestamp) -> Result<Caller, IdentifyError> {
        let mut failed: Option<IdentifyError> = None;
        for method in &self.methods {
            match self.identify_by(*method, credential, now).await {
                Ok(caller) => {
                    self.metrics.authenticated(caller.authenticator(), Verdict::Accepted);
                    return Ok(caller);
                }
                Err(refusal) => {
                    let (by, is_undecided) = (method.blamed_for(&refusal), refusal.is_undecided());
                    if !refusal.is_beside_the_point() {
                        self.metrics.authenticated(by, Verdict::of(&refusal));
                    }
                    failed = Some(match failed {
                        Some(before) => before.and(by, refusal),
                        None => IdentifyError::new(by, refusal),
                    });
                    if is_undecided {
                        break;
                    }
                }
            }
        }
        Err(failed.unwrap_or_else(|| IdentifyError::new(AuthenticatorKind::KubernetesToken, Refusal::NoToken)))
    }

    async fn identify_by(&self, method: Method, credential: Credential<'_>, now: Timestamp) -> Result<Caller, Refusal> {
        match method {
            Method::Kubernetes => {
                let token = credential.bearer.ok_or(Refusal::NoToken)?;
                let cluster = self.clusters.named(credential.cluster).ok_or(Refusal::UnknownCluster)?;
                cluster.identify(token, now).await
            }
            Method::Oidc => {
                let token = credential.bearer.ok_or(Refusal::NoToken)?;
                oidc::identify(&self.oidc, token, now).await
            }
            Method::ClientCertificate => match (&self.renewal, credential.certificate) {
                (Some(renewal), Some(presented)) => renewal.identify(presented, &self.oidc, now),
                _ => Err(Refusal::NoCertificate),
            },
        }
    }
}

impl Method {
    /// Who said `refusal`.
    fn blamed_for(self, refusal: &Refusal) -> AuthenticatorKind {
        match self {
            Self::Kubernetes if matches!(refusal, Refusal::Review(_)) => AuthenticatorKind::TokenReview,
            Self::Kubernetes => AuthenticatorKind::KubernetesToken,
            Self::Oidc => AuthenticatorKind::Oidc,
            Self::ClientCertificate => AuthenticatorKind::ClientCertificate,
        }
    }
}

#[cfg(test)]
mod tests;
