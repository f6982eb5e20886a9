//! How callers were judged, by who judged them.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::authenticate::{AuthenticatorKind, Refusal};

/// What was found about a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is good.
    Accepted,
    /// It is not.
    Refused,
    /// It could not be decided.
    Undecided,
}

impl Verdict {
    /// What a refusal amounts to.
    pub fn of(refusal: &Refusal) -> Self {
        if refusal.is_undecided() { Self::Undecided } else { Self::Refused }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Undecided => "undecided",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    authenticator: &'static str,
    verdict: &'static str,
}

/// The family, and beside it the one series that a good request touches.
#[derive(Debug)]
pub(super) struct Authentications {
    family: Family<Labels, Counter>,
    usual: Counter,
}

impl Default for Authentications {
    fn default() -> Self {
        let family: Family<Labels, Counter> = Family::default();
        let usual = family.get_or_create(&labels(AuthenticatorKind::KubernetesToken, Verdict::Accepted)).clone();
        Self { family, usual }
    }
}

impl Authentications {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Credentials judged, by who judged them";
        registry.register("signet_ca_authentications", help, self.family.clone());
    }

    pub(super) fn count(&self, by: AuthenticatorKind, verdict: Verdict) {
        match (by, verdict) {
            (AuthenticatorKind::KubernetesToken, Verdict::Accepted) => self.usual.inc(),
            _ => self.family.get_or_create(&labels(by, verdict)).inc(),
        };
    }
}

fn labels(by: AuthenticatorKind, verdict: Verdict) -> Labels {
    Labels { authenticator: by.as_str(), verdict: verdict.word() }
}
