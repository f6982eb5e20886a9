//! What is told of the connections to API servers.
//!
//! Labels are the clusters of the configuration and closed sets of words.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::SystemTime;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use signet_identity::Timestamp;
use signet_kubernetes::WatchTold;

use super::{IstiodMetrics, MeshMetrics};
use crate::kubernetes::Spread;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WatchLabels {
    cluster: String,
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RestartLabels {
    cluster: String,
    kind: &'static str,
    reason: &'static str,
}

type Value = Gauge<i64, AtomicI64>;

/// All of it. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct KubernetesMetrics {
    inner: Arc<Inner>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[derive(Debug, Default)]
struct Inner {
    synced: Family<WatchLabels, Value>,
    objects: Family<WatchLabels, Value>,
    heard: Family<WatchLabels, Value>,
    restarts: Family<RestartLabels, Counter>,
    namespaces: Published,
    bundle: Published,
    istiod: IstiodMetrics,
    mesh: MeshMetrics,
}

/// Of one form in which roots are published.
#[derive(Debug, Default)]
struct Published {
    places: Family<StateLabels, Value>,
    writes: Family<ResultLabels, Counter>,
}

impl KubernetesMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let of = &self.inner;
        registry.register(
            "signet_ca_watch_synced",
            "Whether the objects of a kind were listed completely since the start",
            of.synced.clone(),
        );
        registry.register("signet_ca_watch_objects", "Objects of a kind that are known", of.objects.clone());
        registry.register(
            "signet_ca_watch_heard_timestamp",
            "Unix time at which the watch of a kind was last heard from",
            of.heard.clone(),
        );
        registry.register(
            "signet_ca_watch_restarts",
            "Watches that had to begin again before their time, by reason",
            of.restarts.clone(),
        );
        registry.register(
            "signet_ca_roots_namespaces",
            "Namespaces that are to have the roots, by whether they have them",
            of.namespaces.places.clone(),
        );
        registry.register(
            "signet_ca_roots_writes",
            "Attempts to publish the roots in a namespace, by result",
            of.namespaces.writes.clone(),
        );
        registry.register(
            "signet_ca_cluster_trust_bundles",
            "ClusterTrustBundles that are to hold the roots, by whether they do; all are zero where the API is not served",
            of.bundle.places.clone(),
        );
        registry.register(
            "signet_ca_cluster_trust_bundle_writes",
            "Attempts to publish the roots as a ClusterTrustBundle, by result",
            of.bundle.writes.clone(),
        );
        of.istiod.register(registry);
        of.mesh.register(registry);
    }

    /// Of publishing in namespaces.
    pub(crate) fn publish(&self) -> PublishMetrics {
        PublishMetrics::of("config maps", &self.inner.namespaces)
    }

    /// Of publishing as a ClusterTrustBundle.
    pub(crate) fn publish_bundle(&self) -> PublishMetrics {
        PublishMetrics::of("cluster trust bundle", &self.inner.bundle)
    }

    /// Of the certificate that istiod serves with.
    pub(crate) fn istiod(&self) -> IstiodMetrics {
        self.inner.istiod.clone()
    }

    /// Of Istio's mesh config.
    pub(crate) fn mesh(&self) -> MeshMetrics {
        self.inner.mesh.clone()
    }

    /// Of one kind in one cluster.
    pub(crate) fn watch(&self, cluster: &str, kind: &'static str) -> WatchMetrics {
        let labels = WatchLabels { cluster: cluster.to_owned(), kind };
        // Zero is told from the beginning.
        let synced = self.inner.synced.get_or_create(&labels).clone();
        let objects = self.inner.objects.get_or_create(&labels).clone();
        let heard = self.inner.heard.get_or_create(&labels).clone();
        WatchMetrics { labels, synced, objects, heard, restarts: self.inner.restarts.clone() }
    }
}

/// Of one kind in one cluster.
#[derive(Debug, Clone)]
pub(crate) struct WatchMetrics {
    labels: WatchLabels,
    synced: Value,
    objects: Value,
    heard: Value,
    restarts: Family<RestartLabels, Counter>,
}

impl WatchTold for WatchMetrics {
    fn kind(&self) -> &'static str {
        self.labels.kind
    }

    fn listed(&self, count: usize) {
        self.synced.set(1);
        self.counted(count);
    }

    fn counted(&self, count: usize) {
        self.objects.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    fn heard(&self, now: SystemTime) {
        self.heard.set(Timestamp::from(now).unix_secs());
    }

    fn restarted(&self, reason: &'static str) {
        let WatchLabels { cluster, kind } = self.labels.clone();
        self.restarts.get_or_create(&RestartLabels { cluster, kind, reason }).inc();
    }
}

/// Of publishing the roots in one form.
#[derive(Debug, Clone)]
pub(crate) struct PublishMetrics {
    what: &'static str,
    places: Family<StateLabels, Value>,
    writes: Family<ResultLabels, Counter>,
}

impl PublishMetrics {
    fn of(what: &'static str, published: &Published) -> Self {
        Self { what, places: published.places.clone(), writes: published.writes.clone() }
    }

    /// Names the form.
    pub(crate) fn what(&self) -> &'static str {
        self.what
    }

    pub(crate) fn wrote(&self, result: &'static str) {
        self.writes.get_or_create(&ResultLabels { result }).inc();
    }

    pub(crate) fn spread(&self, spread: Spread) {
        let Spread { total, behind, refused } = spread;
        let states = [
            ("published", total.saturating_sub(behind)),
            ("behind", behind.saturating_sub(refused)),
            ("refused", refused),
        ];
        for (state, count) in states {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.places.get_or_create(&StateLabels { state }).set(count);
        }
    }

    #[cfg(test)]
    pub(crate) fn writes(&self, result: &'static str) -> u64 {
        self.writes.get_or_create(&ResultLabels { result }).get()
    }
}
