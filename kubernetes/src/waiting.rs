//! Requests that wait a moment for an object which the watch has not brought yet.
//!
//! Each waits for one key, so an object that arrives wakes only those that it concerns. Bounded in number: one more
//! does not wait at all.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Most requests that wait in one room at once.
pub const WAITERS_MAX: usize = 4096;

#[derive(Debug, Default)]
struct Bell {
    ring: Arc<Notify>,
    waiters: usize,
}

/// Where requests wait for what they name by an `A`.
#[derive(Debug)]
pub struct WaitingRoom<A> {
    bells: Mutex<HashMap<A, Bell>>,
    /// How many wait; read without the lock, so that an object nobody waits for costs nothing.
    waiters: AtomicUsize,
}

impl<A> Default for WaitingRoom<A> {
    fn default() -> Self {
        Self { bells: Mutex::default(), waiters: AtomicUsize::default() }
    }
}

impl<A: Clone + Eq + Hash> WaitingRoom<A> {
    /// Whether anybody waits for anything.
    pub fn is_empty(&self) -> bool {
        self.waiters.load(Ordering::SeqCst) == 0
    }

    /// Wakes who waits for `awaited`. To be called after the object is there.
    pub fn arrived(&self, awaited: &A) {
        if let Some(bell) = self.lock().get(awaited) {
            bell.ring.notify_waiters();
        }
    }

    /// Wakes everybody. To be called after everything may have changed.
    pub fn all_arrived(&self) {
        self.lock().values().for_each(|bell| bell.ring.notify_waiters());
    }

    /// What `look` finds, at once or by `wait` later.
    pub async fn wait<T>(
        &self,
        awaited: impl FnOnce() -> A,
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

    fn sit_down(&self, awaited: A) -> Option<Seat<'_, A>> {
        let mut bells = self.lock();
        if self.waiters.load(Ordering::SeqCst) >= WAITERS_MAX {
            return None;
        }
        self.waiters.fetch_add(1, Ordering::SeqCst);
        let bell = bells.entry(awaited.clone()).or_default();
        bell.waiters += 1;
        Some(Seat { room: self, awaited, ring: bell.ring.clone() })
    }

    fn stand_up(&self, awaited: &A) {
        let mut bells = self.lock();
        self.waiters.fetch_sub(1, Ordering::SeqCst);
        if let Some(bell) = bells.get_mut(awaited) {
            bell.waiters -= 1;
            if bell.waiters == 0 {
                bells.remove(awaited);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<A, Bell>> {
        // Nothing between the lines that change the map can fail half-way.
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn before(deadline: Instant, event: impl Future<Output = ()>) -> bool {
    tokio::time::timeout_at(deadline, event).await.is_ok()
}

/// One who waits; leaves the room also when its request is given up.
struct Seat<'a, A: Clone + Eq + Hash> {
    room: &'a WaitingRoom<A>,
    awaited: A,
    ring: Arc<Notify>,
}

impl<A: Clone + Eq + Hash> Drop for Seat<'_, A> {
    fn drop(&mut self) {
        self.room.stand_up(&self.awaited);
    }
}
