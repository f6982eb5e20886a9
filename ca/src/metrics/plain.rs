//! A counter whose name is exposed as it is written.
//!
//! OpenMetrics wants counters to end in `_total`, and the library adds it. Istio's counters do not end so, and
//! dashboards and alerts know them by their names; exposed as metrics of unknown type they keep them, and queries such
//! as `rate()` treat both alike.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::{MetricType, TypedMetric};

#[derive(Debug, Clone, Default)]
pub(super) struct PlainCounter {
    count: Arc<AtomicU64>,
}

impl PlainCounter {
    pub(super) fn increment(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

impl TypedMetric for PlainCounter {
    const TYPE: MetricType = MetricType::Unknown;
}

impl EncodeMetric for PlainCounter {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        // A gauge is what the encoder writes without a suffix; the type that is told is the one below.
        encoder.encode_gauge(&i64::try_from(self.count.load(Ordering::Relaxed)).unwrap_or(i64::MAX))
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}
