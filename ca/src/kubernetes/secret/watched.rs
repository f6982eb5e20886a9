//! One Secret on its way from a watch to those who use it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::time::SystemTime;

use signet_kubernetes::{Collection, Watched};
use signet_runtime::Clock;
use tokio::sync::{Notify, watch};

use super::object::Secret;
use super::{CORE, Place};
use crate::shared::{Seen, Snapshot};

/// When something was last heard of a Secret, by the steady clock.
#[derive(Clone)]
pub(super) struct Heard {
    clock: Clock,
    at_millis: Arc<AtomicU64>,
}

impl Heard {
    /// Nothing yet; counted from now.
    pub(super) fn new(clock: Clock) -> Self {
        let heard = Self { clock, at_millis: Arc::default() };
        heard.now();
        heard
    }

    pub(super) fn now(&self) {
        let millis = u64::try_from(self.clock.steady().as_millis()).unwrap_or(u64::MAX);
        self.at_millis.store(millis, Ordering::Relaxed);
    }

    pub(super) fn silence(&self) -> Duration {
        self.clock.steady().saturating_sub(Duration::from_millis(self.at_millis.load(Ordering::Relaxed)))
    }
}

pub(super) struct Secrets {
    namespace: String,
    selector: String,
    told: watch::Sender<Seen>,
    heard: Heard,
    bell: Arc<Notify>,
}

impl Secrets {
    pub(super) fn new(place: &Place, told: watch::Sender<Seen>, heard: Heard, bell: Arc<Notify>) -> Self {
        let selector = format!("metadata.name={}", place.name);
        Self { namespace: place.namespace.clone(), selector, told, heard, bell }
    }

    fn tell(&self, seen: Seen) {
        self.told.send_replace(seen);
        self.bell.notify_one();
    }
}

impl Watched for Secrets {
    type Object = Secret;
    type Kept = Snapshot;

    fn collection(&self) -> Collection {
        Collection::within(CORE, &self.namespace, "secrets")
    }

    fn field_selector(&self) -> Option<&str> {
        Some(&self.selector)
    }

    fn version<'a>(&self, object: &'a Secret) -> &'a str {
        object.version()
    }

    fn keep(&self, object: Secret) -> Snapshot {
        object.into()
    }

    fn replace(&mut self, all: Vec<Snapshot>, _: SystemTime) {
        self.tell(all.into_iter().next().map_or(Seen::Absent, |found| Seen::There(Arc::new(found))));
    }

    fn apply(&mut self, kept: Snapshot) {
        self.tell(Seen::There(Arc::new(kept)));
    }

    fn delete(&mut self, _: Snapshot) {
        self.tell(Seen::Absent);
    }

    fn heard(&mut self, _: SystemTime) {
        self.heard.now();
    }

    fn count(&self) -> usize {
        usize::from(matches!(*self.told.borrow(), Seen::There(_)))
    }
}
