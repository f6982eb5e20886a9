//! Failures in a row: how long to wait after each, and what is said of them, which is once at the beginning and once at
//! the end.

use std::time::Duration;

use signet_runtime::Backoff;

use crate::api::ApiError;

/// Failures of one thing.
#[derive(Debug)]
pub struct Outage {
    retry: Backoff,
    what: &'static str,
    failures: u32,
    /// Restarts without an error since something was last heard.
    restarts: u32,
}

impl Outage {
    /// `what` is named in the log.
    pub fn new(retry: Backoff, what: &'static str) -> Self {
        Self { retry, what, failures: 0, restarts: 0 }
    }

    /// Notes a failure to `act`; gives how long to wait.
    pub fn failed(&mut self, act: &'static str, error: &ApiError) -> Duration {
        if self.failures == 0 {
            tracing::warn!(what = self.what, act, %error, "API server does not answer, what is known stays in use");
        } else {
            tracing::debug!(what = self.what, act, %error, failures = self.failures, "API server still does not answer");
        }
        let wait = self.retry.wait(self.failures);
        self.failures = self.failures.saturating_add(1);
        error.retry_after().map_or(wait, |wish| wish.max(wait))
    }

    /// How long to wait before a restart that nothing failed for.
    pub fn wait(&mut self) -> Duration {
        let wait = self.retry.wait(self.restarts);
        self.restarts = self.restarts.saturating_add(1);
        wait
    }

    /// It works.
    pub fn over(&mut self) {
        if self.failures > 0 {
            tracing::info!(what = self.what, failures = self.failures, "API server answers again");
        }
        (self.failures, self.restarts) = (0, 0);
    }
}
