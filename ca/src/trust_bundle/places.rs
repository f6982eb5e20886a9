//! How many may watch at once, in all and each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Most watchers at once.
pub(super) const WATCHERS_MAX: usize = 16_384;

/// Most watchers of one caller: a few, for agents that overlap when they are replaced.
pub(super) const WATCHERS_PER_CALLER_MAX: usize = 4;

/// The places that are taken. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_caller: HashMap<String, usize>,
}

/// A place; free again once this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    of: Places,
    caller: String,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// All are taken.
    Server,
    /// This caller has too many.
    Caller,
}

impl Places {
    /// A place for `caller`.
    pub(super) fn take(&self, caller: String) -> Result<Place, Full> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.total >= WATCHERS_MAX {
            return Err(Full::Server);
        }
        let own = taken.by_caller.entry(caller.clone()).or_default();
        if *own >= WATCHERS_PER_CALLER_MAX {
            return Err(Full::Caller);
        }
        *own += 1;
        taken.total += 1;
        drop(taken);
        Ok(Place { of: self.clone(), caller })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.of.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.total -= 1;
        if let Some(own) = taken.by_caller.get_mut(&self.caller) {
            *own -= 1;
            if *own == 0 {
                taken.by_caller.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_caller_has_a_few_places_and_gets_them_back() {
        let places = Places::default();
        let mut own: Vec<_> = (0..WATCHERS_PER_CALLER_MAX).map(|_| places.take("a".to_owned()).unwrap()).collect();
        assert_eq!(places.take("a".to_owned()).unwrap_err(), Full::Caller);
        assert!(places.take("b".to_owned()).is_ok());
        own.pop();
        assert!(places.take("a".to_owned()).is_ok());
        drop(own);
        assert!(places.taken.lock().unwrap().by_caller.is_empty());
    }

    #[test]
    fn there_is_an_end_to_places_and_nobody_is_remembered_for_having_got_none() {
        let places = Places::default();
        let held: Vec<_> = (0..WATCHERS_MAX).map(|number| places.take(number.to_string()).unwrap()).collect();
        assert_eq!(places.take("one more".to_owned()).unwrap_err(), Full::Server);
        assert_eq!(places.taken.lock().unwrap().by_caller.len(), WATCHERS_MAX);
        drop(held);
        assert_eq!(places.taken.lock().unwrap().total, 0);
    }
}
