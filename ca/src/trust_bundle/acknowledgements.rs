//! Who has which generation of the trust bundle: counts, one for each generation that a watcher has now.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::authority::rotation::Watching;

/// The counts. Cheap to clone; clones count together. There are never more of them than watchers.
#[derive(Debug, Clone, Default)]
pub struct Acknowledgements {
    watchers: Arc<Mutex<BTreeMap<u64, usize>>>,
}

/// One watcher's voice; it is not counted any more once this is dropped.
#[derive(Debug)]
pub(crate) struct Watcher {
    of: Acknowledgements,
    generation: u64,
}

impl Acknowledgements {
    /// A new watcher, which has nothing yet.
    pub(crate) fn watcher(&self) -> Watcher {
        self.with(|watchers| *watchers.entry(0).or_default() += 1);
        Watcher { of: self.clone(), generation: 0 }
    }

    /// Who has which generation now.
    pub fn watching(&self) -> Watching {
        self.with(|watchers| Watching::new(watchers.clone()))
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<u64, usize>) -> T) -> T {
        act(&mut self.watchers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn leave(watchers: &mut BTreeMap<u64, usize>, generation: u64) {
        if let Some(count) = watchers.get_mut(&generation) {
            *count -= 1;
            if *count == 0 {
                watchers.remove(&generation);
            }
        }
    }
}

impl Watcher {
    /// The watcher has this generation now.
    pub(crate) fn acknowledge(&mut self, generation: u64) {
        let before = std::mem::replace(&mut self.generation, generation);
        self.of.with(|watchers| {
            *watchers.entry(generation).or_default() += 1;
            Acknowledgements::leave(watchers, before);
        });
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.of.with(|watchers| Acknowledgements::leave(watchers, self.generation));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(counts: &Acknowledgements, generation: u64, watchers: usize, reached: usize) {
        let watching = counts.watching();
        assert_eq!((watching.watchers(), watching.reached(generation)), (watchers, reached), "generation {generation}");
    }

    #[test]
    fn a_watcher_counts_for_its_generation_and_all_before_it_until_it_leaves() {
        let counts = Acknowledgements::default();
        let (mut one, mut other) = (counts.watcher(), counts.watcher());
        check(&counts, 1, 2, 0);
        one.acknowledge(3);
        other.acknowledge(2);
        check(&counts, 1, 2, 2);
        check(&counts, 3, 2, 1);
        check(&counts, 4, 2, 0);
        one.acknowledge(1);
        check(&counts, 2, 2, 1);
        drop(one);
        check(&counts, 1, 1, 1);
        drop(other);
        check(&counts, 0, 0, 0);
    }

    #[test]
    fn no_more_is_remembered_than_there_are_watchers() {
        let counts = Acknowledgements::default();
        let mut watcher = counts.watcher();
        (0..1000).for_each(|generation| watcher.acknowledge(generation));
        assert_eq!(counts.with(|watchers| watchers.len()), 1);
        drop(watcher);
        assert_eq!(counts.with(|watchers| watchers.len()), 0);
    }
}
