//! Secrets that are looked for because a proxy asked: how they stand, when they end.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use signet_identity::Timestamp;

use super::Metrics;
use crate::sds::ResourceName;

/// How a secret may stand.
const STATES: [&str; 3] = ["ready", "stale", "absent"];

#[derive(Debug, Default)]
pub(super) struct Resources {
    standing: Family<StandingLabels, Gauge>,
    faults: Family<Kind, Counter>,
    /// The keeper bounds how many names there are.
    ends: Family<Name, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StandingLabels {
    kind: &'static str,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Name {
    resource: String,
}

impl Resources {
    pub(super) fn register(&self, to: &mut Registry) {
        to.register("sds_resources", "Secrets looked for, by how they stand", self.standing.clone());
        to.register("sds_resource_faults", "Secrets found unusable or not found", self.faults.clone());
        to.register("sds_resource_not_after_seconds", "End of validity, Unix time", self.ends.clone());
    }
}

impl Metrics {
    /// How every secret that is looked for stands.
    pub fn resources<'a>(&self, all: impl Iterator<Item = (&'a ResourceName, &'static str)>) {
        let standing = &self.all.resources.standing;
        for kind in ResourceName::KINDS {
            for state in STATES {
                standing.get_or_create(&StandingLabels { kind, state }).set(0);
            }
        }
        for (name, state) in all {
            standing.get_or_create(&StandingLabels { kind: name.kind(), state }).inc();
        }
    }

    /// What was found of a secret is unusable, or nothing was found.
    pub fn resource_fault(&self, name: &ResourceName) {
        self.all.resources.faults.get_or_create(&Kind { kind: name.kind() }).inc();
    }

    /// When a secret ends, if it does.
    pub fn resource_ends(&self, name: &ResourceName, at: Option<Timestamp>) {
        if let Some(at) = at {
            let name = Name { resource: name.to_string() };
            self.all.resources.ends.get_or_create(&name).set(at.unix_secs());
        }
    }

    /// A secret is not looked for any more.
    pub fn resource_forgotten(&self, name: &ResourceName) {
        self.all.resources.ends.remove(&Name { resource: name.to_string() });
    }
}
