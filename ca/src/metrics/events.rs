//! What became of events that were to be sent to the API server.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::ResultLabels;

/// Counts events. Cheap to clone; clones count together.
#[derive(Debug, Clone, Default)]
pub struct EventMetrics {
    events: Family<ResultLabels, Counter>,
}

impl EventMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("signet_ca_events", "Events for the API server, by what became of them", self.events.clone());
    }

    pub(crate) fn sent(&self) {
        self.count("sent");
    }

    pub(crate) fn failed(&self) {
        self.count("failed");
    }

    /// There were too many of late.
    pub(crate) fn held_back(&self) {
        self.count("held_back");
    }

    fn count(&self, result: &'static str) {
        self.events.get_or_create(&ResultLabels { result }).inc();
    }
}
