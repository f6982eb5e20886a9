//! Who may have which identity. Only here a [`Grant`] is made, and nothing is signed without one.
//!
//! A caller may have its own identity. A node proxy may also have those of the pods on its node; `node_proxy` knows
//! what that takes.

mod node_proxy;

use std::sync::Arc;

use signet_identity::{SpiffeId, Timestamp};

pub use node_proxy::ImpersonationError;

use crate::authenticate::{Caller, Clusters};

/// Why a caller does not get the identity it wants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizeError {
    /// It asked for somebody else's identity.
    #[error("caller asked for another identity than its own, which is not allowed")]
    Impersonation(#[from] ImpersonationError),
}

impl AuthorizeError {
    /// Whether the caller may still be in the right.
    pub fn is_undecided(&self) -> bool {
        let Self::Impersonation(error) = self;
        error.is_undecided()
    }

    /// A stable word for logs and metrics.
    pub fn reason(&self) -> &'static str {
        let Self::Impersonation(error) = self;
        error.reason()
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
}

impl Authorizer {
    /// Decides by the rules of `clusters` and what is known of their objects.
    pub fn new(clusters: Arc<Clusters>) -> Self {
        Self { clusters }
    }

    /// Grants `caller` its own identity, or the one that it asks for as `impersonated` if it may have that. Waits only
    /// for objects that a watch is about to bring, and for those no longer than their bound.
    ///
    /// # Errors
    /// [`AuthorizeError::Impersonation`].
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
        Ok(Grant { id })
    }
}
