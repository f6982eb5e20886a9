//! Who may have which identity. Only here a [`Grant`] is made, and nothing is signed without one.
//!
//! A caller may have its own identity. A node proxy may also have those of the pods on its node; `node_proxy` knows
//! what that takes. What the operator's rules leave of either, `rules` knows.

mod node_proxy;
mod rules;

use std::sync::Arc;
use std::time::Duration;

use signet_identity::{KeyAlgorithm, SpiffeId, Timestamp};

pub use node_proxy::ImpersonationError;
pub use rules::{Forbidden, IssuanceRule, Limits};

use crate::authenticate::{Caller, Clusters};

/// Why a caller does not get the identity it wants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizeError {
    /// It asked for somebody else's identity.
    #[error("caller asked for another identity than its own, which is not allowed")]
    Impersonation(#[from] ImpersonationError),
    /// The operator's rules do not let it have anything.
    #[error(transparent)]
    Rule(#[from] Forbidden),
}

impl AuthorizeError {
    /// Whether the caller may still be in the right.
    pub fn is_undecided(&self) -> bool {
        matches!(self, Self::Impersonation(error) if error.is_undecided())
    }

    /// A stable word for logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Impersonation(error) => error.reason(),
            Self::Rule(_) => "rule",
        }
    }
}

/// Proof that a caller may have an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    id: SpiffeId,
}

impl Grant {
    /// The identity.
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }
}

/// Decides who may have which identity.
#[derive(Debug)]
pub struct Authorizer {
    clusters: Arc<Clusters>,
    rules: Vec<IssuanceRule>,
    renewal_max_age: Option<Duration>,
}

impl Authorizer {
    /// Decides by what is known of `clusters` and by `rules`. Certificates may be renewed by themselves until
    /// `renewal_max_age` after their holder's last token, or never.
    pub fn new(clusters: Arc<Clusters>, rules: Vec<IssuanceRule>, renewal_max_age: Option<Duration>) -> Self {
        Self { clusters, rules, renewal_max_age }
    }

    /// Grants `caller` its own identity, or the one that it asks for as `impersonated` if it may have that. Waits only
    /// for objects that a watch is about to bring, and for those no longer than their bound.
    ///
    /// # Errors
    /// Every variant of [`AuthorizeError`].
    pub async fn authorize(
        &self,
        caller: &Caller,
        impersonated: Option<&str>,
        now: Timestamp,
    ) -> Result<Grant, AuthorizeError> {
        let id = match impersonated {
            None => caller.id().clone(),
            Some(wanted) => node_proxy::impersonate(&self.clusters, caller, wanted, now).await?,
        };
        let grant = Grant { id };
        rules::limits(&self.rules, caller, &grant, None)?;
        Ok(grant)
    }

    /// When anything that `caller` gets ends at the latest, if a certificate alone proved it.
    pub fn proof_ends_at(&self, caller: &Caller) -> Option<Timestamp> {
        Some(caller.known_since()?.plus(self.renewal_max_age?))
    }

    /// What is left of `grant` for a certificate with a key of this kind.
    ///
    /// # Errors
    /// [`Forbidden`].
    pub fn limits(
        &self,
        caller: &Caller,
        grant: &Grant,
        key: KeyAlgorithm,
        now: Timestamp,
    ) -> Result<Limits, Forbidden> {
        let limits = rules::limits(&self.rules, caller, grant, Some(key))?;
        Ok(match self.renewal_max_age {
            // What a node proxy holds for others is asked for again when they are still there.
            Some(max_age) if grant.id() == caller.id() => limits.renewable(caller.known_since(), max_age, now),
            _ => limits,
        })
    }
}
