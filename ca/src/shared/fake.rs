//! A shared object in memory, for tests: as strict about versions as an API server, and a process that dies at a write.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::*;

const PLACE: &str = "secret istio-system/shared";

/// The object.
#[derive(Default)]
pub(crate) struct Fake {
    state: Mutex<(u64, Option<Snapshot>)>,
    /// What stands where roots are published.
    pub(crate) witness: Mutex<Option<String>>,
    /// What its clock shows.
    pub(crate) time: Mutex<Option<i64>>,
}

/// What becomes of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Done,
    /// Its process ends before it.
    Before,
    /// It is done, and its process ends before it hears of that.
    After,
    /// It is done, and the answer is lost.
    Unheard,
    /// It is not done, and that is told.
    Refused,
}

/// One replica's access to it.
pub(crate) struct Seat {
    fake: Arc<Fake>,
    pub(crate) leads: AtomicBool,
    /// Whether the replica hears of changes without asking.
    pub(crate) hears: AtomicBool,
    /// What it hears instead of what is so, where that comes late.
    pub(crate) late: Mutex<Option<Seen>>,
    /// For how long it has heard nothing.
    pub(crate) silence: Mutex<Duration>,
    /// Whether it may ask.
    pub(crate) can_read: AtomicBool,
    pub(crate) is_dead: AtomicBool,
    /// Asked before each write.
    before_write: Mutex<Box<dyn FnMut() -> Fate + Send>>,
}

impl Fake {
    fn lock(&self) -> MutexGuard<'_, (u64, Option<Snapshot>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A seat at it that leads and hears.
    pub(crate) fn seat(self: &Arc<Self>) -> Arc<Seat> {
        self.seat_with(|| Fate::Done)
    }

    pub(crate) fn seat_with(self: &Arc<Self>, before_write: impl FnMut() -> Fate + Send + 'static) -> Arc<Seat> {
        Arc::new(Seat {
            fake: self.clone(),
            leads: AtomicBool::new(true),
            hears: AtomicBool::new(true),
            late: Mutex::default(),
            silence: Mutex::default(),
            can_read: AtomicBool::new(true),
            is_dead: AtomicBool::new(false),
            before_write: Mutex::new(Box::new(before_write)),
        })
    }

    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        self.lock().1.clone()
    }

    /// Somebody edits it; `None` deletes it.
    pub(crate) fn put(&self, entries: Option<Entries>) {
        let mut state = self.lock();
        state.0 += 1;
        state.1 = entries.map(|entries| Snapshot { version: state.0.to_string(), entries });
    }
}

fn away() -> SharedError {
    SharedError::Unreachable { place: PLACE.to_owned(), reason: "the process was killed".to_owned() }
}

impl Seat {
    fn write(
        &self,
        write: impl FnOnce(&Option<Snapshot>) -> Result<Entries, SharedError>,
    ) -> Result<Snapshot, SharedError> {
        if self.is_dead.load(Ordering::Relaxed) {
            return Err(away());
        }
        let fate = (self.before_write.lock().unwrap_or_else(PoisonError::into_inner))();
        self.is_dead.store(matches!(fate, Fate::Before | Fate::After), Ordering::Relaxed);
        if matches!(fate, Fate::Before | Fate::Refused) {
            return Err(away());
        }
        let entries = write(&self.fake.lock().1)?;
        self.fake.put(Some(entries));
        match (fate, self.fake.snapshot()) {
            (Fate::Done, Some(snapshot)) => Ok(snapshot),
            _ => Err(away()),
        }
    }
}

impl SharedObject for Seat {
    fn leads(&self) -> bool {
        self.leads.load(Ordering::Relaxed)
    }

    fn time(&self) -> Option<i64> {
        *self.fake.time.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn silence(&self) -> Duration {
        *self.silence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> Seen {
        if let Some(late) = self.late.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return late;
        }
        match self.fake.snapshot() {
            _ if !self.hears.load(Ordering::Relaxed) => Seen::Unheard,
            Some(snapshot) => Seen::There(Arc::new(snapshot)),
            None => Seen::Absent,
        }
    }

    fn read(&self) -> Result<Option<Snapshot>, SharedError> {
        if self.is_dead.load(Ordering::Relaxed) || !self.can_read.load(Ordering::Relaxed) {
            return Err(away());
        }
        *self.silence.lock().unwrap_or_else(PoisonError::into_inner) = Duration::ZERO;
        Ok(self.fake.snapshot())
    }

    fn create(&self, entries: &Entries) -> Result<Snapshot, SharedError> {
        self.write(|there| match there {
            None => Ok(entries.clone()),
            Some(_) => Err(SharedError::Conflict { place: PLACE.to_owned() }),
        })
    }

    fn change(&self, version: &str, changes: &Changes) -> Result<Snapshot, SharedError> {
        self.write(|there| match there {
            Some(there) if there.version == version => {
                let mut entries = there.entries.clone();
                for (name, text) in changes {
                    match text {
                        Some(text) => drop(entries.insert(name.clone(), text.clone())),
                        None => drop(entries.remove(name)),
                    }
                }
                Ok(entries)
            }
            _ => Err(SharedError::Conflict { place: PLACE.to_owned() }),
        })
    }

    fn witness(&self) -> Result<Option<Witness>, SharedError> {
        let text = self.fake.witness.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(text.map(|text| Witness { name: "configmap istio-system/roots".to_owned(), text }))
    }

    fn place(&self) -> String {
        PLACE.to_owned()
    }

    fn bell(&self) -> Arc<Notify> {
        Arc::default()
    }
}
