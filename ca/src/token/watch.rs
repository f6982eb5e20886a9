//! The task that finds out whether the token still signs, also while nobody asks for anything.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use signet_runtime::{HealthHandle, Shutdown};
use tokio::sync::watch;

use super::keys::{TRIAL, TokenKeys};
use crate::authority::Authority;

/// The key is tried when it has signed nothing for this long.
pub(super) const TRIAL_INTERVAL: Duration = Duration::from_secs(5);

/// Tells readiness of the token.
pub(crate) struct TokenWatch {
    pub(super) keys: TokenKeys,
    pub(super) authority: watch::Receiver<Arc<Authority>>,
    pub(super) health: HealthHandle,
}

impl TokenWatch {
    /// Watches until shutdown begins.
    ///
    /// # Errors
    /// None.
    pub(crate) async fn run(self, shutdown: Shutdown) -> Result<(), Infallible> {
        loop {
            if !self.keys.has_signed_within(TRIAL_INTERVAL) {
                let authority = self.authority.borrow().clone();
                // How it went is remembered with the keys.
                let _ = authority.try_token(TRIAL).await;
            }
            match self.keys.trouble() {
                Some(trouble) => self.health.not_ready(trouble.to_string()),
                None => self.health.ready(),
            }
            tokio::select! {
                // Each tells of a state that lasts: nothing is lost with those that did not come first.
                () = shutdown.begun() => return Ok(()),
                () = self.keys.rung() => {}
                () = tokio::time::sleep(TRIAL_INTERVAL) => {}
            }
        }
    }
}
