//! Who was served lately, so that whoever was not can go first.
//!
//! Two halves: the newer one is filled, then it becomes the older one and the oldest is forgotten. What is remembered
//! is bounded, and everybody is remembered for at least as many others as fit into one half.

use std::collections::HashSet;
use std::mem;

/// How many one half holds; eight octets and a little more each.
const HALF_MAX: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(super) struct Recent {
    newer: HashSet<u64>,
    older: HashSet<u64>,
}

impl Recent {
    pub(super) fn knows(&self, hash: u64) -> bool {
        self.newer.contains(&hash) || self.older.contains(&hash)
    }

    pub(super) fn remember(&mut self, hash: u64) {
        if self.newer.insert(hash) && self.newer.len() >= HALF_MAX {
            self.older = mem::take(&mut self.newer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_fit_into_a_half_are_remembered_and_no_more_than_two_halves() {
        let mut recent = Recent::default();
        let many = u64::try_from(10 * HALF_MAX).unwrap();
        for hash in 0..many {
            recent.remember(hash);
            let oldest = hash.saturating_sub(u64::try_from(HALF_MAX).unwrap() - 1);
            assert!(recent.knows(hash) && recent.knows(oldest), "{hash}");
            assert!(recent.newer.len() + recent.older.len() <= 2 * HALF_MAX);
        }
        assert!(!recent.knows(0));
    }

    #[test]
    fn whoever_comes_again_and_again_is_not_forgotten() {
        let mut recent = Recent::default();
        for hash in 1..u64::try_from(4 * HALF_MAX).unwrap() {
            recent.remember(0);
            recent.remember(hash);
            assert!(recent.knows(0));
        }
    }
}
