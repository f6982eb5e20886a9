//! The Envoy that the agent starts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Metrics;
use super::labels::Reason;
use crate::envoy::supervision::End;

/// Its starts and ends.
#[derive(Debug, Default)]
pub(super) struct Envoy {
    starts: Counter,
    ends: Family<Reason, Counter>,
    live: Gauge,
}

/// How it may end.
const ENDS: [&str; 3] = ["success", "failure", "signal"];

impl Envoy {
    pub(super) fn register(&self, to: &mut Registry) {
        for reason in ENDS {
            drop(self.ends.get_or_create(&Reason { reason }));
        }
        to.register("envoy_starts", "Envoys started", self.starts.clone());
        to.register("envoy_ends", "Envoys that ended", self.ends.clone());
        to.register("envoy_live", "1 while the Envoy that was started serves", self.live.clone());
    }
}

impl Metrics {
    /// Envoy was started.
    pub fn envoy_started(&self) {
        self.all.envoy.starts.inc();
    }

    /// Envoy has ended.
    pub fn envoy_ended(&self, end: End) {
        let reason = match end {
            End::Status(0) => "success",
            End::Status(_) => "failure",
            End::Signal(_) => "signal",
        };
        self.all.envoy.ends.get_or_create(&Reason { reason }).inc();
    }

    /// Whether Envoy serves.
    pub fn envoy_live(&self, live: bool) {
        self.all.envoy.live.set(i64::from(live));
    }
}
