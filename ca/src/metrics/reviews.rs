//! TokenReviews that an API server was asked for, and how long it took. What memory answered is not among them.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{LATENCY_BUCKETS_SECS, ResultLabels};

/// Counts reviews. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct ReviewMetrics {
    took: Histogram,
    reviews: Family<ResultLabels, Counter>,
}

impl Default for ReviewMetrics {
    fn default() -> Self {
        Self { took: Histogram::new(LATENCY_BUCKETS_SECS), reviews: Family::default() }
    }
}

impl ReviewMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "TokenReviews asked of API servers, by whether there was an answer";
        registry.register("signet_ca_token_reviews", help, self.reviews.clone());
        registry.register("signet_ca_token_review_seconds", "Time that API servers took for them", self.took.clone());
    }

    pub(crate) fn reviewed(&self, is_answered: bool, took: Duration) {
        let result = if is_answered { "answered" } else { "failed" };
        self.reviews.get_or_create(&ResultLabels { result }).inc();
        self.took.observe(took.as_secs_f64());
    }
}
