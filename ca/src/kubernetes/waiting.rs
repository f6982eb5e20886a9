//! Requests that wait a moment for an object which the watch has not brought yet.
//!
//! Each waits for one key, so an object that arrives wakes only those that it concerns. Bounded in number: one more
//! does not wait at all.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Most requests that wait at once in one cluster.
pub(super) const WAITERS_MAX: usize = 4096;

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Awaited {
    /// A pod by its name.
    Pod { namespace: Box<str>, name: Box<str> },
    /// A service account by its name.
    Account { namespace: Box<str>, name: Box<str> },
    /// Any pod of a service account on a node.
    Place { node: Box<str>, namespace: Box<str>, service_account: Box<str> },
}

#[derive(Debug, Default)]
struct Bell {
    ring: Arc<Notify>,
    waiters: usize,
}

#[derive(Debug, Default)]
pub(super) struct WaitingRoom {
    bells: Mutex<HashMap<Awaited, Bell>>,
    /// How many wait; read without the lock, so that an object nobody waits for costs nothing.
    waiters: AtomicUsize,
}

impl WaitingRoom {
    /// Whether anybody waits for anything.
    pub(super) fn is_empty(&self) -> bool {
        self.waiters.load(Ordering::SeqCst) == 0
    }

    /// Wakes who waits for `awaited`. To be called after the object is there.
    pub(super) fn arrived(&self, awaited: &Awaited) {
        if let Some(bell) = self.lock().get(awaited) {
            bell.ring.notify_waiters();
        }
    }

    /// Wakes everybody. To be called after everything may have changed.
    pub(super) fn all_arrived(&self) {
        self.lock().values().for_each(|bell| bell.ring.notify_waiters());
    }

    /// What `look` finds, at once or by `wait` later.
    pub(super) async fn wait<T>(
        &self,
        awaited: impl FnOnce() -> Awaited,
        wait: Duration,
        look: impl Fn() -> Option<T>,
    ) -> Option<T> {
        if let Some(found) = look() {
            return Some(found);
        }
        let deadline = Instant::now() + wait;
        let seat = self.sit_down(awaited())?;
        loop {
            let mut rung = std::pin::pin!(seat.ring.notified());
            // From here on an arrival is not missed, whatever the order of looking and ringing.
            rung.as_mut().enable();
            if let Some(found) = look() {
                return Some(found);
            }
            if !before(deadline, rung).await {
                return look();
            }
        }
    }

    fn sit_down(&self, awaited: Awaited) -> Option<Seat<'_>> {
        let mut bells = self.lock();
        if self.waiters.load(Ordering::SeqCst) >= WAITERS_MAX {
            return None;
        }
        self.waiters.fetch_add(1, Ordering::SeqCst);
        let bell = bells.entry(awaited.clone()).or_default();
        bell.waiters += 1;
        Some(Seat { room: self, awaited, ring: bell.ring.clone() })
    }

    fn stand_up(&self, awaited: &Awaited) {
        let mut bells = self.lock();
        self.waiters.fetch_sub(1, Ordering::SeqCst);
        if let Some(bell) = bells.get_mut(awaited) {
            bell.waiters -= 1;
            if bell.waiters == 0 {
                bells.remove(awaited);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Awaited, Bell>> {
        // Nothing between the lines that change the map can fail half-way.
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn before(deadline: Instant, event: impl Future<Output = ()>) -> bool {
    tokio::time::timeout_at(deadline, event).await.is_ok()
}

/// One who waits; leaves the room also when its request is given up.
struct Seat<'a> {
    room: &'a WaitingRoom,
    awaited: Awaited,
    ring: Arc<Notify>,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.room.stand_up(&self.awaited);
    }
}
