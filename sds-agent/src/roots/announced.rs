//! One generation of the roots as the CA told it: judged before anyone sees it. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use signet_identity::{BundleError, Certificate, Svid, Timestamp, TrustBundle, TrustDomain, hex};
use signet_proto::signet_ca::WatchResponse;

/// Most authorities that may be called tainted at once.
pub const TAINTED_MAX: usize = 1000;

/// Longest identifier of an authority, in characters.
const KEY_ID_MAX_CHARS: usize = 128;

/// Longest time over which renewals are spread, whatever the CA says.
pub const SPREAD_MAX: Duration = Duration::from_secs(24 * 3600);

/// Longest wait before an identity is replaced that nobody trusts any more.
const UNTRUSTED_SPREAD_MAX: Duration = Duration::from_secs(10);

/// Why what was told is not taken.
#[derive(Debug, thiserror::Error)]
pub enum AnnouncementError {
    /// Somebody else's roots.
    #[error("the CA told roots of `{found}`, `{wanted}` is configured")]
    TrustDomain {
        /// Whose they are.
        found: String,
        /// Whose they should be.
        wanted: TrustDomain,
    },
    /// The roots are unusable.
    #[error("the CA told roots that are unusable")]
    Roots(#[from] BundleError),
    /// Nobody could be trusted by them.
    #[error("the CA told roots of which none is valid now")]
    NoneValid,
    /// More than [`TAINTED_MAX`], or an identifier that is none.
    #[error("the CA told tainted authorities that are too many or have no identifiers")]
    Tainted,
}

/// Why an identity must be replaced before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condemned {
    /// An authority of its chain is tainted.
    Tainted,
    /// No root of the bundle vouches for it.
    Untrusted,
}

/// One generation.
#[derive(Debug, PartialEq, Eq)]
pub struct Announced {
    generation: u64,
    bundle: TrustBundle,
    tainted: BTreeSet<String>,
    spread: Duration,
}

impl Announced {
    /// Judges a message at `now`.
    ///
    /// # Errors
    /// Every variant of [`AnnouncementError`].
    pub fn judge(message: &WatchResponse, wanted: &TrustDomain, now: Timestamp) -> Result<Self, AnnouncementError> {
        if message.trust_domain != wanted.as_str() {
            let found = message.trust_domain.escape_debug().take(KEY_ID_MAX_CHARS).collect();
            return Err(AnnouncementError::TrustDomain { found, wanted: wanted.clone() });
        }
        let bundle = TrustBundle::from_pem(wanted.clone(), message.roots_pem.as_bytes())?;
        // A proxy with roots that have all ended or not begun trusts nobody: worse than whatever it has.
        if !bundle.roots().iter().any(|root| root.lifetime().contains(now)) {
            return Err(AnnouncementError::NoneValid);
        }
        let tainted = &message.tainted_key_ids;
        if tainted.len() > TAINTED_MAX || tainted.iter().any(|id| id.is_empty() || id.len() > KEY_ID_MAX_CHARS) {
            return Err(AnnouncementError::Tainted);
        }
        let spread = Duration::from_secs(u64::try_from(message.renewal_spread_seconds).unwrap_or(0)).min(SPREAD_MAX);
        let tainted = tainted.iter().map(|id| id.to_ascii_lowercase()).collect();
        Ok(Self { generation: message.generation, bundle, tainted, spread })
    }

    /// Its number.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// All roots.
    pub fn bundle(&self) -> &TrustBundle {
        &self.bundle
    }

    /// Whether `svid` must be replaced before its time.
    pub fn condemns(&self, svid: &Svid, now: Timestamp) -> Option<Condemned> {
        if self.bundle.verify(svid.chain(), now).is_err() {
            return Some(Condemned::Untrusted);
        }
        self.has_tainted(svid).then_some(Condemned::Tainted)
    }

    /// Over how long replacements for this reason should be spread.
    pub fn spread(&self, reason: Condemned) -> Duration {
        match reason {
            Condemned::Tainted => self.spread,
            Condemned::Untrusted => self.spread.min(UNTRUSTED_SPREAD_MAX),
        }
    }

    /// Whether an authority above the leaf is tainted. Most are known by what the certificate below repeats of them; one
    /// without an identifier of its own by its key.
    fn has_tainted(&self, svid: &Svid) -> bool {
        let repeats = |below: &Certificate| below.authority_key_id().is_some_and(|id| self.tainted.contains(&hex(id)));
        let above = || svid.intermediates().iter().chain(self.bundle.roots());
        let issued_by_key = |below: &Certificate| {
            let issuers = above().filter(|above| above.subject_key_id().is_none());
            let mut issuers = issuers.filter(|above| above.subject_der() == below.issuer_der());
            issuers.any(|above| self.tainted.contains(&above.public_key().fingerprint()))
        };
        svid.chain().any(|below| repeats(below) || issued_by_key(below))
    }
}

#[cfg(test)]
mod tests;
