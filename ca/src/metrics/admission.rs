//! What admission counts, and how full it is at each scrape.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::ReasonLabels;

/// Upper bounds of waiting times, in seconds.
const WAIT_BUCKETS_SECS: [f64; 10] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

/// Admission's counters. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct AdmissionMetrics {
    shed: Family<ReasonLabels, Counter>,
    waited: Histogram,
    in_flight: Gauge,
    waiting: Gauge,
}

impl Default for AdmissionMetrics {
    fn default() -> Self {
        Self {
            shed: Family::default(),
            waited: Histogram::new(WAIT_BUCKETS_SECS),
            in_flight: Gauge::default(),
            waiting: Gauge::default(),
        }
    }
}

impl AdmissionMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("signet_ca_shed", "Requests turned away because the server is busy", self.shed.clone());
        let help = "Time that requests waited which had to wait for others";
        registry.register("signet_ca_admission_wait_seconds", help, self.waited.clone());
        registry.register("signet_ca_in_flight", "Requests of identified callers under way", self.in_flight.clone());
        registry.register("signet_ca_waiting", "Requests of identified callers that wait", self.waiting.clone());
    }

    pub(crate) fn shed(&self, reason: &'static str) {
        self.shed.get_or_create(&ReasonLabels { reason }).inc();
    }

    pub(crate) fn waited(&self, time: Duration) {
        self.waited.observe(time.as_secs_f64());
    }

    /// How full it is now.
    pub(crate) fn load(&self, in_flight: usize, waiting: usize) {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.in_flight.set(gauge(in_flight));
        self.waiting.set(gauge(waiting));
    }
}
