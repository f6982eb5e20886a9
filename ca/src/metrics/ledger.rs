//! What the ledger counts. No label depends on what a caller sends.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use signet_identity::Timestamp;

use super::LATENCY_BUCKETS_SECS;

/// The ledger's counters. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct LedgerMetrics {
    records: Counter,
    bytes: Counter,
    groups: Counter,
    write: Histogram,
    queue: Gauge,
    failures: Counter,
    segments: Gauge,
    kept_bytes: Gauge,
    oldest: Gauge,
    removed_early: Counter,
}

impl Default for LedgerMetrics {
    fn default() -> Self {
        Self {
            records: Counter::default(),
            bytes: Counter::default(),
            groups: Counter::default(),
            write: Histogram::new(LATENCY_BUCKETS_SECS),
            queue: Gauge::default(),
            failures: Counter::default(),
            segments: Gauge::default(),
            kept_bytes: Gauge::default(),
            oldest: Gauge::default(),
            removed_early: Counter::default(),
        }
    }
}

impl LedgerMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("signet_ca_ledger_records", "Records written, notes too", self.records.clone());
        registry.register("signet_ca_ledger_bytes", "Bytes of records written", self.bytes.clone());
        registry.register("signet_ca_ledger_groups", "Groups of records written", self.groups.clone());
        let help = "Time to write a group of records and to wait for the disk";
        registry.register("signet_ca_ledger_write_seconds", help, self.write.clone());
        registry.register("signet_ca_ledger_queue", "Records that wait to be written", self.queue.clone());
        registry.register("signet_ca_ledger_failures", "Attempts to write that failed", self.failures.clone());
        registry.register("signet_ca_ledger_segments", "Segments of this process's chain", self.segments.clone());
        let help = "Bytes of them";
        registry.register("signet_ca_ledger_kept_bytes", help, self.kept_bytes.clone());
        let help = "When the oldest of them was begun, seconds since 1970";
        registry.register("signet_ca_ledger_oldest_timestamp", help, self.oldest.clone());
        let help = "Segments removed for their bytes although certificates in them may still be valid";
        registry.register("signet_ca_ledger_removed_early", help, self.removed_early.clone());
    }

    pub(crate) fn handed_over(&self) {
        self.queue.inc();
    }

    pub(crate) fn taken(&self, records: usize) {
        self.queue.dec_by(i64::try_from(records).unwrap_or(i64::MAX));
    }

    pub(crate) fn group(&self, records: usize, bytes: u64, took: Duration) {
        self.records.inc_by(records as u64);
        self.bytes.inc_by(bytes);
        self.kept_bytes.inc_by(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.groups.inc();
        self.write.observe(took.as_secs_f64());
    }

    pub(crate) fn noted(&self, bytes: u64) {
        self.records.inc();
        self.bytes.inc_by(bytes);
        self.kept_bytes.inc_by(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn failed(&self) {
        self.failures.inc();
    }

    pub(crate) fn removed_early(&self, segments: u64) {
        self.removed_early.inc_by(segments);
    }

    pub(crate) fn kept(&self, segments: u64, bytes: u64, oldest: Option<Timestamp>) {
        if let Some(oldest) = oldest {
            self.oldest.set(oldest.unix_secs());
        }
        self.segments.set(i64::try_from(segments).unwrap_or(i64::MAX));
        self.kept_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}
