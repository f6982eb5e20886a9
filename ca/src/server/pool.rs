//! An amount that all addresses share: each may have as much as is still free, so one that takes all it can leaves half
//! to the others, and two leave a third.

use std::sync::atomic::{AtomicUsize, Ordering};

/// So much of something.
#[derive(Debug)]
pub(super) struct Pool {
    taken: AtomicUsize,
    max: usize,
}

impl Pool {
    pub(super) fn new(max: usize) -> Self {
        Self { taken: AtomicUsize::new(0), max }
    }

    /// Takes `count` for an address that has `own` of it already, or nothing.
    pub(super) fn take(&self, own: &AtomicUsize, count: usize) -> bool {
        let taken = self.taken.fetch_add(count, Ordering::Relaxed);
        let has = own.fetch_add(count, Ordering::Relaxed);
        let fits = has.saturating_add(count) <= self.max.saturating_sub(taken);
        if !fits {
            self.give_back(own, count);
        }
        fits
    }

    /// What was taken is free again.
    pub(super) fn give_back(&self, own: &AtomicUsize, count: usize) {
        own.fetch_sub(count, Ordering::Relaxed);
        self.taken.fetch_sub(count, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}
