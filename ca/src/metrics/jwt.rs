//! What is counted of tokens and the keys that sign them.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{LATENCY_BUCKETS_SECS, ReasonLabels};
use crate::jwt::{Entry, Phase};

/// What happened to a token key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyChange {
    /// It is public now.
    Published,
    /// It signs now.
    Activated,
    /// It is gone.
    Dropped,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    phase: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChangeLabels {
    change: &'static str,
}

/// Counters of tokens. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub(crate) struct JwtMetrics {
    minted: Counter,
    refusals: Family<ReasonLabels, Counter>,
    seconds: Histogram,
    keys: Family<PhaseLabels, Gauge>,
    activated_at: Gauge,
    changes: Family<ChangeLabels, Counter>,
    failures: Counter,
}

impl Default for JwtMetrics {
    fn default() -> Self {
        Self {
            minted: Counter::default(),
            refusals: Family::default(),
            seconds: Histogram::new(LATENCY_BUCKETS_SECS),
            keys: Family::default(),
            activated_at: Gauge::default(),
            changes: Family::default(),
            failures: Counter::default(),
        }
    }
}

impl JwtMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("signet_ca_jwt_minted", "Tokens minted", self.minted.clone());
        registry.register("signet_ca_jwt_refusals", "Tokens refused, by reason", self.refusals.clone());
        registry.register("signet_ca_jwt_mint_seconds", "Time from call to token", self.seconds.clone());
        registry.register("signet_ca_jwt_keys", "Token keys that are published, by phase", self.keys.clone());
        registry.register(
            "signet_ca_jwt_key_activated_timestamp",
            "Unix time since which the signing token key signs",
            self.activated_at.clone(),
        );
        registry.register("signet_ca_jwt_key_changes", "Changes of token keys, by kind", self.changes.clone());
        registry.register(
            "signet_ca_jwt_key_failures",
            "Looks at the token keys that could not be carried through",
            self.failures.clone(),
        );
    }

    pub(crate) fn minted(&self, took: Duration) {
        self.minted.inc();
        self.seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        self.refusals.get_or_create(&ReasonLabels { reason }).inc();
    }

    pub(crate) fn show_keys(&self, entries: &[Entry]) {
        for phase in Phase::ALL {
            let count = entries.iter().filter(|entry| entry.phase == phase).count();
            let labels = PhaseLabels { phase: phase.as_str() };
            self.keys.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        if let Some(active) = entries.iter().find(|entry| entry.phase == Phase::Active) {
            self.activated_at.set(active.since.unix_secs());
        }
    }

    pub(crate) fn key_changed(&self, change: KeyChange) {
        let change = match change {
            KeyChange::Published => "published",
            KeyChange::Activated => "activated",
            KeyChange::Dropped => "dropped",
        };
        self.changes.get_or_create(&ChangeLabels { change }).inc();
    }

    pub(crate) fn key_failed(&self) {
        self.failures.inc();
    }
}
