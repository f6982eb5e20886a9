//! Who may have which identity. Only here a [`Grant`] is made, and nothing is signed without one.

use signet_identity::SpiffeId;

use crate::authenticate::Caller;

/// Why a caller does not get the identity it wants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizeError {
    /// It asked for somebody else's identity.
    #[error("caller asked for another identity than its own, which is not allowed")]
    Impersonation,
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

/// Grants `caller` its own identity. `impersonated` is the identity that it asked to be instead, if
/// any; that is refused whatever it is.
///
/// # Errors
/// [`AuthorizeError::Impersonation`].
pub fn authorize(caller: &Caller, impersonated: Option<&str>) -> Result<Grant, AuthorizeError> {
    match impersonated {
        Some(_) => Err(AuthorizeError::Impersonation),
        None => Ok(Grant { id: caller.id().clone() }),
    }
}
