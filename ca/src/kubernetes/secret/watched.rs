//! One Secret on its way from a watch to those who use it.

use std::sync::Arc;

use signet_identity::Timestamp;
use tokio::sync::{Notify, watch};

use super::object::Secret;
use super::{CORE, Place};
use crate::kubernetes::api::Collection;
use crate::kubernetes::watching::Watched;
use crate::shared::{Seen, Snapshot};

pub(super) struct Secrets {
    namespace: String,
    selector: String,
    told: watch::Sender<Seen>,
    bell: Arc<Notify>,
}

impl Secrets {
    pub(super) fn new(place: &Place, told: watch::Sender<Seen>, bell: Arc<Notify>) -> Self {
        let selector = format!("metadata.name={}", place.name);
        Self { namespace: place.namespace.clone(), selector, told, bell }
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

    fn replace(&mut self, all: Vec<Snapshot>, _: Timestamp) {
        self.tell(all.into_iter().next().map_or(Seen::Absent, |found| Seen::There(Arc::new(found))));
    }

    fn apply(&mut self, kept: Snapshot) {
        self.tell(Seen::There(Arc::new(kept)));
    }

    fn delete(&mut self, _: Snapshot) {
        self.tell(Seen::Absent);
    }

    fn heard(&mut self, _: Timestamp) {}

    fn count(&self) -> usize {
        usize::from(matches!(*self.told.borrow(), Seen::There(_)))
    }
}
