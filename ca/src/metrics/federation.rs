//! What is counted of peers. Their names come from the configuration, so no caller can make the list of series grow.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use signet_identity::{Timestamp, TrustDomain};

/// How a question to a peer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FetchOutcome {
    /// Its bundle was read.
    Ok,
    /// It was not.
    Failed,
    /// It was, and refused, because it went back.
    Rejected,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PeerLabels {
    trust_domain: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FetchLabels {
    trust_domain: String,
    result: &'static str,
}

/// Counters of peers. Cheap to clone; clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct FederationMetrics {
    fetches: Family<FetchLabels, Counter>,
    confirmed_at: Family<PeerLabels, Gauge>,
    stale: Family<PeerLabels, Gauge>,
    roots: Family<PeerLabels, Gauge>,
    token_keys: Family<PeerLabels, Gauge>,
}

impl FederationMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("signet_ca_federation_fetches", "Questions to peers, by result", self.fetches.clone());
        registry.register(
            "signet_ca_federation_confirmed_timestamp",
            "Unix time at which a peer last confirmed its bundle",
            self.confirmed_at.clone(),
        );
        registry.register(
            "signet_ca_federation_stale",
            "Whether a peer was silent for three of its refresh intervals",
            self.stale.clone(),
        );
        registry.register("signet_ca_federation_roots", "Roots in a peer's bundle", self.roots.clone());
        registry.register("signet_ca_federation_token_keys", "Token keys in a peer's bundle", self.token_keys.clone());
    }

    pub(crate) fn fetched(&self, peer: &TrustDomain, outcome: FetchOutcome) {
        let result = match outcome {
            FetchOutcome::Ok => "ok",
            FetchOutcome::Failed => "failed",
            FetchOutcome::Rejected => "rejected",
        };
        self.fetches.get_or_create(&FetchLabels { trust_domain: peer.to_string(), result }).inc();
    }

    pub(crate) fn show(
        &self,
        peer: &TrustDomain,
        roots: usize,
        token_keys: usize,
        confirmed_at: Option<Timestamp>,
        is_stale: bool,
    ) {
        let labels = PeerLabels { trust_domain: peer.to_string() };
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.roots.get_or_create(&labels).set(count(roots));
        self.token_keys.get_or_create(&labels).set(count(token_keys));
        self.stale.get_or_create(&labels).set(is_stale.into());
        if let Some(at) = confirmed_at {
            self.confirmed_at.get_or_create(&labels).set(at.unix_secs());
        }
    }
}
