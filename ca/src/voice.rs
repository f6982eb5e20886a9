//! How much a part counts in readiness: the own cluster, without which a server is of no use, or one of many others,
//! whose trouble is told while the rest is served.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use signet_runtime::HealthHandle;

/// Many parts of one kind that are told together. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Crowd {
    /// What is wrong, by whose it is; one for each part at most.
    told: Arc<Mutex<BTreeMap<String, String>>>,
    health: HealthHandle,
}

impl Crowd {
    /// Nothing is wrong yet.
    pub(crate) fn new(health: HealthHandle) -> Self {
        health.ready();
        Self { told: Arc::default(), health }
    }

    /// The voice of the one called `name`.
    pub(crate) fn of(&self, name: String) -> Voice {
        Voice::Other { crowd: self.clone(), name }
    }

    fn set(&self, name: &str, why: Option<String>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match why {
            Some(why) => drop(told.insert(name.to_owned(), why)),
            None => drop(told.remove(name)),
        }
        if told.is_empty() {
            self.health.ready();
        } else {
            let all: Vec<String> = told.iter().map(|(name, why)| format!("`{name}`: {why}")).collect();
            self.health.degraded(all.join("; "));
        }
    }
}

/// One part's voice.
#[derive(Debug)]
pub enum Voice {
    /// Of the own cluster.
    Own(HealthHandle),
    /// Of another.
    Other {
        /// All others.
        crowd: Crowd,
        /// Which one.
        name: String,
    },
}

impl Voice {
    /// It works.
    pub(crate) fn ready(&self) {
        match self {
            Self::Own(health) => health.ready(),
            Self::Other { crowd, name } => crowd.set(name, None),
        }
    }

    /// It is of use, but something is wrong.
    pub(crate) fn degraded(&self, why: impl Into<String>) {
        match self {
            Self::Own(health) => health.degraded(why),
            Self::Other { crowd, name } => crowd.set(name, Some(why.into())),
        }
    }

    /// It does not work; where it is another's, what else there is still does.
    pub(crate) fn lacking(&self, why: impl Into<String>) {
        match self {
            Self::Own(health) => health.not_ready(why),
            Self::Other { crowd, name } => crowd.set(name, Some(why.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use signet_runtime::Health;

    use super::*;

    #[test]
    fn what_others_lack_is_told_of_each_and_keeps_nobody_from_being_ready() {
        let health = Health::new();
        let (crowd, own) = (Crowd::new(health.part("others")), Voice::Own(health.part("own")));
        let (east, west) = (crowd.of("east".to_owned()), crowd.of("west".to_owned()));
        own.ready();
        assert_eq!((health.reasons(), health.remarks()), (vec![], vec![]));
        west.lacking("no keys");
        east.degraded("too many objects");
        assert_eq!(health.reasons(), []);
        assert_eq!(health.remarks(), [("others", "`east`: too many objects; `west`: no keys".to_owned())]);
        west.ready();
        assert_eq!(health.remarks(), [("others", "`east`: too many objects".to_owned())]);
        east.ready();
        own.lacking("no keys");
        assert_eq!((health.reasons(), health.remarks()), (vec![("own", "no keys".to_owned())], vec![]));
    }
}
