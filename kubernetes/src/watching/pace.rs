//! How fast and how patiently objects are followed.

use std::time::Duration;

use signet_runtime::Backoff;

/// The times of a watch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// How long one watch lasts; servers bookmark about once a minute and at the end.
    pub watch: Duration,
    /// How long nothing at all may be heard before a connection is taken for dead.
    pub silence_max: Duration,
    /// Time between two lists without a reason.
    pub list_again: Duration,
    /// First wait after a failure.
    pub retry_first: Duration,
    /// Longest wait after many failures.
    pub retry_max: Duration,
}

/// Share of each wait that is random, to both sides.
const JITTER: f64 = 0.2;

/// A watch that ends sooner than this is waited for, so that no server is asked without end.
const WATCH_MIN: Duration = Duration::from_secs(1);

impl Default for Pace {
    fn default() -> Self {
        Self {
            watch: Duration::from_secs(280),
            silence_max: Duration::from_secs(150),
            list_again: Duration::from_secs(3600),
            retry_first: Duration::from_millis(500),
            retry_max: Duration::from_secs(30),
        }
    }
}

impl Pace {
    /// The waits after failures.
    pub fn retry(&self) -> Backoff {
        Backoff::new(self.retry_first, self.retry_max, JITTER)
    }

    /// Never at the same time in all replicas.
    pub(super) fn list_again(&self) -> Duration {
        Backoff::new(self.list_again, self.list_again, JITTER).wait(0)
    }

    pub(super) fn watch_secs(&self) -> u32 {
        u32::try_from(self.watch.as_secs()).unwrap_or(u32::MAX).max(1)
    }

    pub(super) fn watch_min(&self) -> Duration {
        WATCH_MIN.min(self.watch)
    }

    pub(super) fn silence_max(&self) -> Duration {
        self.silence_max
    }
}
