//! The one place that reads the wall clock, and the hand that tests move instead.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime};

/// From when on steady time is counted.
static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Tells the time. Cheap to clone; every clone of a manual clock shows the same hand.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    source: Source,
}

#[derive(Debug, Clone, Default)]
enum Source {
    #[default]
    System,
    Manual(Arc<Hand>),
}

#[derive(Debug)]
struct Hand {
    unix_millis: AtomicI64,
    /// By how much it was advanced in all.
    advanced_millis: AtomicU64,
}

impl Clock {
    /// The machine's wall clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands still until [`Clock::advance`] moves it; `unix_millis` is what it shows first.
    pub fn manual(unix_millis: i64) -> Self {
        let hand = Hand { unix_millis: AtomicI64::new(unix_millis), advanced_millis: AtomicU64::new(0) };
        Self { source: Source::Manual(Arc::new(hand)) }
    }

    /// What time it is.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn now(&self) -> SystemTime {
        match &self.source {
            Source::System => SystemTime::now(),
            Source::Manual(hand) => {
                let millis = hand.unix_millis.load(Ordering::SeqCst);
                let span = Duration::from_millis(millis.unsigned_abs());
                if millis < 0 { SystemTime::UNIX_EPOCH - span } else { SystemTime::UNIX_EPOCH + span }
            }
        }
    }

    /// How much time has passed since some instant that stays the same while the process runs. It cannot be set, so two
    /// readings tell how long something took, whatever the wall clock did meanwhile.
    pub fn steady(&self) -> Duration {
        match &self.source {
            Source::System => BEGINNING.elapsed(),
            Source::Manual(hand) => Duration::from_millis(hand.advanced_millis.load(Ordering::SeqCst)),
        }
    }

    /// Lets time pass on a manual clock; a system clock is not moved.
    pub fn advance(&self, span: Duration) {
        if let Source::Manual(hand) = &self.source {
            let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
            hand.unix_millis.fetch_add(millis, Ordering::SeqCst);
            hand.advanced_millis.fetch_add(millis.unsigned_abs(), Ordering::SeqCst);
        }
    }

    /// Puts the hand of a manual clock elsewhere, also backwards, without any time passing.
    pub fn set(&self, unix_millis: i64) {
        if let Source::Manual(hand) = &self.source {
            hand.unix_millis.store(unix_millis, Ordering::SeqCst);
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

    #[test]
    fn steady_time_passes_and_is_not_set() {
        let clock = Clock::manual(1_000);
        clock.advance(Duration::from_millis(500));
        clock.set(900_000);
        clock.set(0);
        assert_eq!(clock.steady(), Duration::from_millis(500));
        let clock = Clock::system();
        let before = clock.steady();
        std::thread::sleep(Duration::from_millis(1));
        assert!(clock.steady() > before);
    }
}
