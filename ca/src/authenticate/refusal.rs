//! Why a caller was not identified: by one way of identifying, and by all of them together.
//!
//! A refusal is final ("this is not acceptable"), open ("it could not be decided"), or beside the point ("there is
//! nothing of this kind here"). Of several, an open one counts most, because somebody who may be in the right must not
//! be sent away for good; one that is beside the point counts least.

use std::fmt;

use signet_identity::JwsError;
use signet_runtime::tasks::chain;

use super::caller::AuthenticatorKind;
use super::certificate::CertificateRefusal;
use super::jwks::KeysError;
use super::liveness::LivenessError;
use super::oidc::OidcError;
use super::review::ReviewError;
use super::token::TokenError;

/// Why one way of identifying did not identify a caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No `Bearer` value in the request.
    #[error("no bearer token was sent")]
    NoToken,
    /// The caller names a cluster that is not known.
    #[error("cluster is not known here")]
    UnknownCluster,
    /// The token.
    #[error("token was refused")]
    Token(#[from] TokenError),
    /// What a token of another issuer says.
    #[error("token is good, what it says is not")]
    Oidc(#[from] OidcError),
    /// No certificate in the handshake.
    #[error("no client certificate was presented")]
    NoCertificate,
    /// The certificate in the handshake.
    #[error("client certificate was refused")]
    Certificate(#[from] CertificateRefusal),
    /// The issuer's keys: nothing can be said about the token.
    #[error("issuer's keys are not at hand")]
    Keys(#[from] KeysError),
    /// The token's holder.
    #[error("token is good, its holder is not")]
    Holder(#[from] LivenessError),
    /// The API server's review.
    #[error("token was not accepted by review")]
    Review(#[from] ReviewError),
    /// The cluster has no API server that could be asked.
    #[error("cluster's tokens cannot be reviewed")]
    NotReviewedHere,
    /// The operator does not let this cluster vouch for this namespace.
    #[error("cluster may not vouch for this namespace")]
    NamespaceNotVouchedFor,
}

impl Refusal {
    /// Whether the credential may still be good.
    pub fn is_undecided(&self) -> bool {
        match self {
            Self::Keys(_) | Self::NotReviewedHere => true,
            Self::Holder(error) => error.is_undecided(),
            Self::Review(error) => error.is_undecided(),
            _ => false,
        }
    }

    /// Whether there was nothing to judge: no such credential, or one of somebody else.
    pub(super) fn is_beside_the_point(&self) -> bool {
        matches!(self, Self::NoToken | Self::NoCertificate | Self::Token(TokenError::Issuer))
    }

    /// Whether the same token will be refused again for the same reason, and finding that out is not cheap.
    pub(super) fn stays_so(&self) -> bool {
        match self {
            Self::Token(error) => *error == TokenError::Jws(JwsError::Signature),
            Self::Holder(error) => !error.is_undecided(),
            _ => false,
        }
    }

    /// A stable word for logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoToken => "token_missing",
            Self::UnknownCluster => "cluster_unknown",
            Self::Token(error) => error.reason(),
            Self::Oidc(error) => error.reason(),
            Self::NoCertificate => "certificate_missing",
            Self::Certificate(error) => error.reason(),
            Self::Keys(error) => error.reason(),
            Self::Holder(error) => error.reason(),
            Self::Review(error) => error.reason(),
            Self::NotReviewedHere => "review_unavailable",
            Self::NamespaceNotVouchedFor => "namespace_not_vouched_for",
        }
    }
}

/// Why nobody vouched for a caller: what each way of identifying said, in the configured order; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentifyError {
    first: (AuthenticatorKind, Refusal),
    others: Vec<(AuthenticatorKind, Refusal)>,
}

impl IdentifyError {
    pub(super) fn new(by: AuthenticatorKind, refusal: Refusal) -> Self {
        Self { first: (by, refusal), others: Vec::new() }
    }

    #[must_use]
    pub(super) fn and(mut self, by: AuthenticatorKind, refusal: Refusal) -> Self {
        self.others.push((by, refusal));
        self
    }

    /// What each said.
    pub fn refusals(&self) -> impl Iterator<Item = &(AuthenticatorKind, Refusal)> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The refusal that counts.
    pub fn decisive(&self) -> &Refusal {
        let refusals = || self.refusals().map(|(_, refusal)| refusal);
        refusals()
            .find(|refusal| refusal.is_undecided())
            .or_else(|| refusals().find(|refusal| !refusal.is_beside_the_point()))
            .unwrap_or(&self.first.1)
    }

    /// Whether one of the credentials may still be good.
    pub fn is_undecided(&self) -> bool {
        self.decisive().is_undecided()
    }

    /// A stable word for logs and metrics.
    pub fn reason(&self) -> &'static str {
        self.decisive().reason()
    }
}

impl fmt::Display for IdentifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (by, refusal)) in self.refusals().enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            write!(f, "{separator}{by}: {}", chain(refusal))?;
        }
        Ok(())
    }
}

impl std::error::Error for IdentifyError {}

#[cfg(test)]
mod tests {
    use super::*;

    const BY: AuthenticatorKind = AuthenticatorKind::KubernetesToken;

    #[track_caller]
    fn check(refusals: &[Refusal], reason: &str, is_undecided: bool) {
        let (first, others) = refusals.split_first().unwrap();
        let error =
            others.iter().fold(IdentifyError::new(BY, first.clone()), |error, other| error.and(BY, other.clone()));
        assert_eq!((error.reason(), error.is_undecided()), (reason, is_undecided), "{error}");
    }

    #[test]
    fn an_open_refusal_counts_more_than_a_final_one_and_a_final_one_more_than_one_beside_the_point() {
        let keys = Refusal::Keys(KeysError::NeverObtained);
        let issuer = Refusal::Token(TokenError::Issuer);
        let audience = Refusal::Token(TokenError::Audience);
        check(&[Refusal::NoToken], "token_missing", false);
        check(&[Refusal::NoToken, issuer.clone()], "token_missing", false);
        check(&[issuer.clone(), audience.clone()], "token_audience", false);
        check(&[audience.clone(), issuer.clone()], "token_audience", false);
        check(&[audience.clone(), keys.clone()], "keys_never_obtained", true);
        check(&[keys, audience], "keys_never_obtained", true);
        check(&[Refusal::UnknownCluster, issuer], "cluster_unknown", false);
    }
}
