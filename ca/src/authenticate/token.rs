//! What the claims of a token must say to be accepted here.
//!
//! Pure. The signature was verified before; the clock comes in as an argument.

use std::time::Duration;

use signet_identity::{JwsError, Timestamp};

use super::claims::{Claims, ClaimsError};

/// How far the issuer's clock may be ahead of ours. A token is never accepted beyond its end.
pub(super) const CLOCK_SKEW_MAX: Duration = Duration::from_secs(10);

/// Why a token was refused for good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Before its claims were read: form, size, algorithm, signature.
    #[error(transparent)]
    Jws(#[from] JwsError),
    /// Its claims are not a service account's.
    #[error(transparent)]
    Claims(#[from] ClaimsError),
    /// Another issuer.
    #[error("token is from another issuer")]
    Issuer,
    /// Meant for others, or for nobody in particular.
    #[error("token is not meant for this audience")]
    Audience,
    /// No end, which only tokens of an abandoned kind have.
    #[error("token has no end")]
    NoExpiry,
    /// Ended, though it is otherwise good.
    #[error("token of {holder} expired at {at}")]
    Expired {
        /// Whose it is, for the log: a kubelet that does not renew tokens is found by its node.
        holder: String,
        /// When.
        at: Timestamp,
    },
    /// Not begun.
    #[error("token is not valid before {at}")]
    NotYetValid {
        /// When it begins.
        at: Timestamp,
    },
    /// Not bound to a pod.
    #[error("token is not bound to a pod")]
    NoPod,
}

impl TokenError {
    /// A stable word for logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Jws(JwsError::TooLarge { .. }) => "token_too_large",
            Self::Jws(JwsError::Algorithm) => "token_algorithm",
            Self::Jws(JwsError::UnknownKey) => "token_unknown_key",
            Self::Jws(JwsError::Signature) => "token_signature",
            Self::Jws(_) => "token_malformed",
            Self::Claims(_) => "token_claims",
            Self::Issuer => "token_issuer",
            Self::Audience => "token_audience",
            Self::NoExpiry => "token_without_expiry",
            Self::Expired { .. } => "token_expired",
            Self::NotYetValid { .. } => "token_not_yet_valid",
            Self::NoPod => "token_without_pod",
        }
    }
}

/// The operator's rules for tokens.
#[derive(Debug, Clone)]
pub struct TokenRules {
    /// Who must have issued them. Needed to prove them here; where it is not known, nobody's are.
    pub issuer: Option<String>,
    /// One of these must be among a token's audiences.
    pub audiences: Vec<String>,
    /// Whether they must be bound to a pod.
    pub require_pod: bool,
}

impl TokenRules {
    /// Whether tokens of `issuer` are somebody else's.
    pub(super) fn is_foreign(&self, issuer: &str) -> bool {
        self.issuer.as_ref().is_some_and(|ours| ours != issuer)
    }

    pub(super) fn check(&self, claims: &Claims, now: Timestamp) -> Result<(), TokenError> {
        if self.issuer.as_ref() != Some(&claims.issuer) {
            return Err(TokenError::Issuer);
        }
        if !claims.audiences.iter().any(|audience| self.audiences.contains(audience)) {
            return Err(TokenError::Audience);
        }
        check_times(claims.expires_at, [claims.not_before, claims.issued_at], now, || holder(claims))?;
        if self.require_pod && claims.pod.is_none() {
            return Err(TokenError::NoPod);
        }
        Ok(())
    }
}

/// Whether a token of `holder` is good at `now`: it has an end, which is to come, and has begun.
pub(super) fn check_times(
    expires_at: Option<Timestamp>,
    begins: [Option<Timestamp>; 2],
    now: Timestamp,
    holder: impl FnOnce() -> String,
) -> Result<(), TokenError> {
    let expires_at = expires_at.ok_or(TokenError::NoExpiry)?;
    if now >= expires_at {
        return Err(TokenError::Expired { holder: holder(), at: expires_at });
    }
    let begins = begins.into_iter().flatten().max();
    match begins.filter(|at| *at > now.plus(CLOCK_SKEW_MAX)) {
        Some(at) => Err(TokenError::NotYetValid { at }),
        None => Ok(()),
    }
}

fn holder(claims: &Claims) -> String {
    let mut holder = claims.workload.to_string();
    for (word, object) in [("in pod", &claims.pod), ("on node", &claims.node)] {
        if let Some(object) = object {
            holder.push_str(&format!(" {word} {}", object.name));
        }
    }
    holder
}
