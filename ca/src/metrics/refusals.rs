//! Refused requests by reason: as a metric, and for whoever in the process looks out for bursts.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::ReasonLabels;

/// Both counts.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    family: Family<ReasonLabels, Counter>,
    /// Of what was refused for what it is, not for lack of room. Reasons are a closed set of words.
    by_reason: Mutex<BTreeMap<&'static str, u64>>,
}

impl Refusals {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("signet_ca_refusals", "Requests refused, by reason", self.family.clone());
    }

    pub(super) fn count(&self, reason: &'static str, is_shed: bool) {
        self.family.get_or_create(&ReasonLabels { reason }).inc();
        if !is_shed {
            *self.by_reason.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
        }
    }

    pub(super) fn by_reason(&self) -> BTreeMap<&'static str, u64> {
        self.by_reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
