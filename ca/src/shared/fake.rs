//! A shared object in memory, for tests: as strict about versions as an API server, and a process that dies at a write.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::*;

const PLACE: &str = "secret istio-system/shared";

/// The object.
#[derive(Default)]
pub(crate) struct Fake {
    state: Mutex<(u64, Option<Snapshot>)>,
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
}

/// One replica's access to it.
pub(crate) struct Seat {
    fake: Arc<Fake>,
    pub(crate) leads: AtomicBool,
    /// Whether the replica hears of changes without asking.
    pub(crate) hears: AtomicBool,
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
        let (leads, hears, is_dead) = (AtomicBool::new(true), AtomicBool::new(true), AtomicBool::new(false));
        Arc::new(Seat { fake: self.clone(), leads, hears, is_dead, before_write: Mutex::new(Box::new(before_write)) })
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
        if fate == Fate::Before {
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

    fn seen(&self) -> Seen {
        match self.fake.snapshot() {
            _ if !self.hears.load(Ordering::Relaxed) => Seen::Unheard,
            Some(snapshot) => Seen::There(Arc::new(snapshot)),
            None => Seen::Absent,
        }
    }

    fn read(&self) -> Result<Option<Snapshot>, SharedError> {
        if self.is_dead.load(Ordering::Relaxed) { Err(away()) } else { Ok(self.fake.snapshot()) }
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

    fn witness(&self) -> Result<Option<String>, SharedError> {
        Ok(None)
    }

    fn place(&self) -> String {
        PLACE.to_owned()
    }

    fn bell(&self) -> Arc<Notify> {
        Arc::default()
    }
}
