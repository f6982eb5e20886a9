//! The token that holds the authority's key, where there is one.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{LATENCY_BUCKETS_SECS, ResultLabels};

/// Counts what a token does. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub(crate) struct TokenMetrics {
    up: Gauge,
    took: Histogram,
    signatures: Family<ResultLabels, Counter>,
    logins: Family<ResultLabels, Counter>,
}

impl Default for TokenMetrics {
    fn default() -> Self {
        let (up, took) = (Gauge::default(), Histogram::new(LATENCY_BUCKETS_SECS));
        Self { up, took, signatures: Family::default(), logins: Family::default() }
    }
}

impl TokenMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("signet_ca_hsm_up", "Whether the token signed when it was last asked", self.up.clone());
        let help = "Signatures asked of the token, by what came of it";
        registry.register("signet_ca_hsm_signatures", help, self.signatures.clone());
        let help = "Time that the token took for a signature";
        registry.register("signet_ca_hsm_signature_seconds", help, self.took.clone());
        registry.register("signet_ca_hsm_logins", "PINs given to the token, by what came of it", self.logins.clone());
    }

    pub(crate) fn set_up(&self, is_up: bool) {
        self.up.set(i64::from(is_up));
    }

    /// One that nobody waited for to the end took no time that is known.
    pub(crate) fn signed(&self, result: &'static str, took: Option<Duration>) {
        self.signatures.get_or_create(&ResultLabels { result }).inc();
        if let Some(took) = took {
            self.took.observe(took.as_secs_f64());
        }
    }

    pub(crate) fn logged_in(&self, result: &'static str) {
        self.logins.get_or_create(&ResultLabels { result }).inc();
    }
}
