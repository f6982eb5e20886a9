//! Whether the ledger can be written, as serving threads, the writer and readiness see it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use signet_runtime::HealthHandle;

use super::LedgerError;

/// How long one write may take before the disk counts as gone.
pub(super) const STALL_MAX: Duration = Duration::from_secs(5);

/// No write is under way.
const IDLE: u64 = u64::MAX;

/// Shared by all who need it.
#[derive(Debug)]
pub(super) struct State {
    refuses: AtomicBool,
    known: Mutex<Known>,
    health: HealthHandle,
    epoch: Instant,
    /// When the write under way began, in milliseconds from `epoch` on.
    began_millis: AtomicU64,
}

#[derive(Debug, Default)]
struct Known {
    trouble: Option<String>,
    is_stalled: bool,
    remark: Option<String>,
}

impl State {
    pub(super) fn new(health: HealthHandle) -> Self {
        let known = Mutex::new(Known::default());
        let state = Self {
            refuses: AtomicBool::new(false),
            known,
            health,
            epoch: Instant::now(),
            began_millis: AtomicU64::new(IDLE),
        };
        state.change(|_| {});
        state
    }

    /// # Errors
    /// [`LedgerError::Unavailable`] while nothing can be written.
    pub(super) fn check(&self) -> Result<(), LedgerError> {
        if self.refuses.load(Ordering::Relaxed) { Err(LedgerError::Unavailable) } else { Ok(()) }
    }

    /// Writing fails, and why.
    pub(super) fn fails(&self, why: String) {
        self.change(|known| known.trouble = Some(why));
    }

    /// Writing works.
    pub(super) fn works(&self) {
        self.change(|known| known.trouble = None);
    }

    /// Something is wrong, or nothing is, although records are written.
    pub(super) fn remarks(&self, remark: Option<String>) {
        self.change(|known| known.remark = remark);
    }

    /// Runs `work`, which waits for the disk.
    pub(super) fn on_disk<T>(&self, work: impl FnOnce() -> T) -> T {
        self.began_millis.store(self.millis(Instant::now()), Ordering::Relaxed);
        let done = work();
        self.began_millis.store(IDLE, Ordering::Relaxed);
        done
    }

    /// Looks whether the disk still answers at `now`. True when it has just stopped.
    pub(super) fn look(&self, now: Instant) -> bool {
        let began = self.began_millis.load(Ordering::Relaxed);
        let took = Duration::from_millis(self.millis(now).saturating_sub(began));
        let is_stalled = began != IDLE && took >= STALL_MAX;
        let mut has_stalled = false;
        self.change(|known| {
            has_stalled = is_stalled && !known.is_stalled;
            known.is_stalled = is_stalled;
        });
        has_stalled
    }

    fn millis(&self, instant: Instant) -> u64 {
        u64::try_from(instant.saturating_duration_since(self.epoch).as_millis()).unwrap_or(IDLE)
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut known);
        let why = match &*known {
            Known { trouble: Some(why), .. } => Some(format!("nothing is issued, as it cannot be recorded: {why}")),
            Known { is_stalled: true, .. } => Some(format!(
                "nothing is issued, as it cannot be recorded: the disk has not answered for {} s",
                STALL_MAX.as_secs()
            )),
            Known { .. } => None,
        };
        self.refuses.store(why.is_some(), Ordering::Relaxed);
        match (why, &known.remark) {
            (Some(why), _) => self.health.not_ready(why),
            (None, Some(remark)) => self.health.degraded(remark),
            (None, None) => self.health.ready(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signet_runtime::Health;

    #[test]
    fn a_disk_that_does_not_answer_makes_the_ledger_refuse_until_it_does() {
        let health = Health::new();
        let state = State::new(health.part("ledger"));
        state.on_disk(|| {
            assert!(!state.look(Instant::now()) && state.check().is_ok());
            let late = Instant::now() + STALL_MAX + Duration::from_secs(1);
            assert_eq!((state.look(late), state.look(late)), (true, false), "it is told once");
            assert!(matches!(state.check(), Err(LedgerError::Unavailable)));
            assert!(health.reasons()[0].1.ends_with("the disk has not answered for 5 s"), "{:?}", health.reasons());
        });
        assert!(!state.look(Instant::now() + STALL_MAX) && state.check().is_ok());
        assert_eq!(health.reasons(), []);
    }

    #[test]
    fn a_failure_is_told_with_its_reason_until_writing_works_again() {
        let health = Health::new();
        let state = State::new(health.part("ledger"));
        state.fails("no space left".to_owned());
        state.look(Instant::now());
        assert!(matches!(state.check(), Err(LedgerError::Unavailable)));
        assert!(health.reasons()[0].1.ends_with("no space left"), "{:?}", health.reasons());
        state.works();
        assert!(state.check().is_ok() && health.reasons().is_empty());
    }
}
