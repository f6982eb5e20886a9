//! What may stand in a leaf, and for how long it is valid.
//!
//! Pure: grant, request, clock and issuer come in as values. The request contributes its key and the one bit whether
//! its common name was empty; names come from the [`Grant`] alone.

use std::time::Duration;

use signet_identity::der::AltName;
use signet_identity::{KeyAlgorithm, Lifetime, PublicKey, Timestamp, VerifiedCsr};

use crate::authority::Authority;
use crate::authorize::{Grant, Limits};

/// How far before its issue a certificate begins to be valid, so that a verifier whose clock is behind accepts it.
pub const BACKDATE: Duration = Duration::from_secs(120);

/// Longest common name, in bytes (RFC 5280, upper bound `ub-common-name`).
const COMMON_NAME_MAX_BYTES: usize = 64;

/// What to do with a wish above the maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverMax {
    /// Grant the maximum.
    Clamp,
    /// Refuse.
    Refuse,
}

impl std::str::FromStr for OverMax {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "clamp" => Ok(Self::Clamp),
            "refuse" => Ok(Self::Refuse),
            _ => Err(format!("`{word}` is not `clamp` or `refuse`")),
        }
    }
}

/// A kind of key that a leaf may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// RSA of 2048 to 4096 bits.
    Rsa,
    /// Ed25519.
    Ed25519,
}

impl KeyKind {
    pub(crate) fn of(algorithm: KeyAlgorithm) -> Self {
        match algorithm {
            KeyAlgorithm::EcP256 => Self::P256,
            KeyAlgorithm::EcP384 => Self::P384,
            KeyAlgorithm::Rsa { .. } => Self::Rsa,
            KeyAlgorithm::Ed25519 => Self::Ed25519,
        }
    }
}

impl std::str::FromStr for KeyKind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "P-256" => Ok(Self::P256),
            "P-384" => Ok(Self::P384),
            "RSA" => Ok(Self::Rsa),
            "Ed25519" => Ok(Self::Ed25519),
            _ => Err(format!("`{word}` is no kind of key, use `P-256`, `P-384`, `RSA` or `Ed25519`")),
        }
    }
}

/// The operator's rules for leaves.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Granted to who asks for nothing; never more than `max_ttl`.
    pub default_ttl: Duration,
    /// The longest life granted.
    pub max_ttl: Duration,
    /// What happens to wishes above it.
    pub over_max: OverMax,
    /// Kinds of keys accepted.
    pub keys: Vec<KeyKind>,
}

/// Why a leaf would break the profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// A kind of key that the operator does not accept.
    #[error("{algorithm} keys are not accepted here")]
    Key {
        /// The request's.
        algorithm: KeyAlgorithm,
    },
    /// More life than the maximum, where that is refused.
    #[error("requested lifetime of {asked_secs}s is above the maximum of {max_secs}s")]
    Lifetime {
        /// Asked for, in seconds.
        asked_secs: i64,
        /// The maximum, in seconds.
        max_secs: u64,
    },
    /// A certificate above the signing one, or that one, is bound to another trust domain by its name.
    #[error("signing certificate is for another trust domain")]
    IssuerDomain,
    /// The signing certificate, or one above it, is not valid now.
    #[error("signing certificate is not valid now")]
    IssuerNotValid,
}

/// A leaf that keeps the profile and has not been signed.
#[derive(Debug)]
pub struct LeafTemplate {
    pub(crate) names: Vec<AltName>,
    pub(crate) common_name: Option<String>,
    pub(crate) lifetime: Lifetime,
    pub(crate) public_key: PublicKey,
    /// Since when its holder is known, where it may be renewed by itself.
    pub(crate) known_since: Option<Timestamp>,
}

impl Profile {
    /// The leaf that `grant`, within `limits`, and `csr` earn at `now` from `issuer`; `asked_secs` is the caller's wish, zero or less
    /// meaning none.
    ///
    /// # Errors
    /// Every variant of [`ProfileError`].
    pub fn leaf(
        &self,
        grant: &Grant,
        limits: Limits,
        csr: &VerifiedCsr,
        asked_secs: i64,
        issuer: &Authority,
        now: Timestamp,
    ) -> Result<LeafTemplate, ProfileError> {
        let algorithm = csr.public_key().algorithm();
        if !self.keys.contains(&KeyKind::of(algorithm)) {
            return Err(ProfileError::Key { algorithm });
        }
        if !issuer.may_sign_for(grant.id()) {
            return Err(ProfileError::IssuerDomain);
        }
        let id = grant.id().to_string();
        Ok(LeafTemplate {
            common_name: (csr.asked().common_name && id.len() <= COMMON_NAME_MAX_BYTES).then(|| id.clone()),
            names: vec![AltName::Uri(id)],
            lifetime: lifetime(self.granted_ttl(asked_secs, limits.max_ttl())?, limits.ends_at(), issuer, now)?,
            public_key: csr.public_key().clone(),
            known_since: limits.known_since(),
        })
    }

    fn granted_ttl(&self, asked_secs: i64, limit: Option<Duration>) -> Result<Duration, ProfileError> {
        let max_ttl = limit.map_or(self.max_ttl, |limit| limit.min(self.max_ttl));
        let asked = match u64::try_from(asked_secs) {
            Ok(secs) if secs > 0 => Duration::from_secs(secs),
            _ => return Ok(self.default_ttl.min(max_ttl)),
        };
        match self.over_max {
            OverMax::Refuse if asked > max_ttl => {
                Err(ProfileError::Lifetime { asked_secs, max_secs: max_ttl.as_secs() })
            }
            _ => Ok(asked.min(max_ttl)),
        }
    }
}

/// The leaf of a server that is Signet itself.
///
/// # Errors
/// [`ProfileError::IssuerNotValid`].
pub fn serving_leaf(
    names: &[AltName],
    public_key: &PublicKey,
    ttl: Duration,
    issuer: &Authority,
    now: Timestamp,
) -> Result<LeafTemplate, ProfileError> {
    Ok(LeafTemplate {
        names: names.to_vec(),
        common_name: None,
        lifetime: lifetime(ttl, None, issuer, now)?,
        public_key: public_key.clone(),
        known_since: None,
    })
}

/// From a little before `now`, for `ttl`, never beyond `ends_at` and the life of the path above.
fn lifetime(
    ttl: Duration,
    ends_at: Option<Timestamp>,
    issuer: &Authority,
    now: Timestamp,
) -> Result<Lifetime, ProfileError> {
    if !issuer.usable().contains(now) {
        return Err(ProfileError::IssuerNotValid);
    }
    let ends = [Some(now.plus(ttl)), Some(issuer.usable().not_after()), ends_at];
    let not_after = ends.into_iter().flatten().min().unwrap_or(now).whole_secs();
    Lifetime::new(now.minus(BACKDATE).whole_secs(), not_after).ok_or(ProfileError::IssuerNotValid)
}

#[cfg(test)]
mod tests;
