//! What operators ask of the rotation, and why it may not be done.

use super::rotation::{Readiness, Refusal};
use super::store::StateError;

/// What an operator may want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Prepare,
    Activate { id: u64, readiness: Readiness },
    Taint { id: u64 },
    Revoke { id: u64 },
}

/// Why a wish was not done.
#[derive(Debug, thiserror::Error)]
pub enum WishError {
    /// It breaks a rule.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Another process leads.
    #[error("another process leads the rotation, ask that one")]
    NotLeading,
    /// It could not be put into effect.
    #[error("it could not be put into effect")]
    State(#[from] StateError),
}
