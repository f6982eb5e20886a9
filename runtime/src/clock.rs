//! The one place that reads the wall clock, and the hand that tests move instead.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

/// Tells the time. Cheap to clone; every clone of a manual clock shows the same hand.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    source: Source,
}

#[derive(Debug, Clone, Default)]
enum Source {
    #[default]
    System,
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's wall clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands still until [`Clock::advance`] moves it; `unix_millis` is what it shows first.
    pub fn manual(unix_millis: i64) -> Self {
        Self { source: Source::Manual(Arc::new(AtomicI64::new(unix_millis))) }
    }

    /// What time it is.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn now(&self) -> SystemTime {
        match &self.source {
            Source::System => SystemTime::now(),
            Source::Manual(hand) => {
                let millis = hand.load(Ordering::SeqCst);
                let span = Duration::from_millis(millis.unsigned_abs());
                if millis < 0 { SystemTime::UNIX_EPOCH - span } else { SystemTime::UNIX_EPOCH + span }
            }
        }
    }

    /// Moves a manual clock forward; a system clock is not moved.
    pub fn advance(&self, span: Duration) {
        if let Source::Manual(hand) = &self.source {
            hand.fetch_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }

    /// Puts the hand of a manual clock elsewhere, also backwards.
    pub fn set(&self, unix_millis: i64) {
        if let Source::Manual(hand) = &self.source {
            hand.store(unix_millis, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_of_a_manual_clock_share_one_hand() {
        let clock = Clock::manual(1_000);
        let other = clock.clone();
        clock.advance(Duration::from_millis(500));
        assert_eq!(other.now(), SystemTime::UNIX_EPOCH + Duration::from_millis(1_500));
    }
}
