//! Whether an API server reviews tokens at all, told once and not with each.

use std::sync::{Mutex, PoisonError};

use super::ReviewError;
use crate::voice::Voice;

/// Failures in a row after which they are no accidents any more.
const FAILURES_MIN: u32 = 5;

#[derive(Debug)]
pub(super) struct Outage {
    failures: Mutex<u32>,
    health: Option<Voice>,
}

impl Outage {
    pub(super) fn new(health: Option<Voice>) -> Self {
        if let Some(health) = &health {
            health.ready();
        }
        Self { failures: Mutex::new(0), health }
    }

    /// A review ended like this.
    pub(super) fn tell(&self, error: Option<&ReviewError>) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        match error {
            // That was our own doing.
            Some(ReviewError::Rate) => {}
            Some(error) if error.is_undecided() => {
                *failures = failures.saturating_add(1);
                if *failures == FAILURES_MIN {
                    let reason = error.reason();
                    tracing::warn!(reason, "tokens cannot be reviewed");
                    if let Some(health) = &self.health {
                        health.degraded(format!("nobody new is identified, as reviews of tokens fail: {reason}"));
                    }
                }
            }
            _ => {
                if *failures >= FAILURES_MIN {
                    tracing::info!(failures = *failures, "tokens are reviewed again");
                    if let Some(health) = &self.health {
                        health.ready();
                    }
                }
                *failures = 0;
            }
        }
    }
}
