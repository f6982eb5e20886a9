//! Whether the process may be called ready, and why not.
//!
//! Each part of a daemon holds one handle and says for itself; readiness is all of them together.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The states of all parts. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Health {
    parts: Arc<Mutex<BTreeMap<&'static str, State>>>,
}

#[derive(Debug, Clone)]
enum State {
    Ready,
    /// Of use, but something is wrong.
    Degraded(String),
    NotReady(String),
}

/// One part's voice.
#[derive(Debug, Clone)]
pub struct HealthHandle {
    name: &'static str,
    health: Health,
}

impl Health {
    /// No parts yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A new part, not ready until it says so.
    pub fn part(&self, name: &'static str) -> HealthHandle {
        let handle = HealthHandle { name, health: self.clone() };
        handle.not_ready("starting");
        handle
    }

    /// The parts that are not ready, each with its reason.
    pub fn reasons(&self) -> Vec<(&'static str, String)> {
        self.told(|state| match state {
            State::NotReady(why) => Some(why),
            State::Ready | State::Degraded(_) => None,
        })
    }

    /// The parts that are of use although something is wrong, each with what it is.
    pub fn remarks(&self) -> Vec<(&'static str, String)> {
        self.told(|state| match state {
            State::Degraded(why) => Some(why),
            State::Ready | State::NotReady(_) => None,
        })
    }

    fn told(&self, words: impl Fn(&State) -> Option<&String>) -> Vec<(&'static str, String)> {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.iter().filter_map(|(name, state)| words(state).map(|why| (*name, why.clone()))).collect()
    }

    fn set(&self, name: &'static str, state: State) {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).insert(name, state);
    }
}

impl HealthHandle {
    /// This part works.
    pub fn ready(&self) {
        self.health.set(self.name, State::Ready);
    }

    /// This part is of use, so nothing should be taken out of service for it, but something is wrong. Must not hold
    /// secrets: it is served to anyone who asks.
    pub fn degraded(&self, why: impl Into<String>) {
        self.health.set(self.name, State::Degraded(why.into()));
    }

    /// This part does not work, and why. Must not hold secrets: it is served to anyone who asks.
    pub fn not_ready(&self, why: impl Into<String>) {
        self.health.set(self.name, State::NotReady(why.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_when_every_part_has_said_so() {
        let health = Health::new();
        let (signer, tokens) = (health.part("signer"), health.part("tokens"));
        signer.ready();
        assert_eq!(health.reasons(), [("tokens", "starting".to_owned())]);
        tokens.ready();
        assert_eq!(health.reasons(), []);
        signer.degraded("renewal fails");
        assert_eq!((health.reasons(), health.remarks()), (vec![], vec![("signer", "renewal fails".to_owned())]));
        signer.not_ready("expired");
        assert_eq!(health.reasons(), [("signer", "expired".to_owned())]);
    }
}
