//! What is told of the certificate that istiod serves with.

use std::sync::atomic::AtomicI64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use signet_identity::Timestamp;

use super::ResultLabels;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SecretLabels {
    secret: String,
}

/// Cheap to clone; clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct IstiodMetrics {
    /// Shown once there is one.
    not_after: Family<SecretLabels, Gauge<i64, AtomicI64>>,
    writes: Family<ResultLabels, Counter>,
}

impl IstiodMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "signet_ca_istiod_certificate_expiry_timestamp",
            "Unix time at which the certificate that istiod serves with ends",
            self.not_after.clone(),
        );
        registry.register(
            "signet_ca_istiod_certificate_writes",
            "Attempts to write the certificate that istiod serves with, by result",
            self.writes.clone(),
        );
    }

    /// The certificate in `secret` ends then.
    pub(crate) fn ends(&self, secret: &str, not_after: Timestamp) {
        let secret = secret.to_owned();
        self.not_after.get_or_create(&SecretLabels { secret }).set(not_after.unix_secs());
    }

    /// An attempt to write ended: `written`, `healed`, `refused` or `failed`.
    pub(crate) fn wrote(&self, result: &'static str) {
        self.writes.get_or_create(&ResultLabels { result }).inc();
    }

    #[cfg(test)]
    pub(crate) fn writes(&self, result: &'static str) -> u64 {
        self.writes.get_or_create(&ResultLabels { result }).get()
    }
}
