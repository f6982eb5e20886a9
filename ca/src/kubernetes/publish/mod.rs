//! Publishing the roots where Kubernetes workloads look for them.
//!
//! In every enabled namespace a ConfigMap, and one ClusterTrustBundle where the cluster serves that API, each kept by a
//! loop that compares what is wanted with what is seen and is never done: an edit, a deletion, a new namespace and new
//! roots are all the same to it. One replica writes; all watch, so that each can tell how far the roots have spread.

mod board;
mod bundle;
mod form;
mod keeper;
mod objects;
mod policy;
mod roots;
mod write;

pub use board::Spread;
pub use policy::Policy;
pub(super) use policy::{Decision, Owned};
pub(super) use write::is_owned;

use std::convert::Infallible;
use std::sync::Arc;

use signet_kubernetes::{ApiClient, Follower, Outage, Pace};
use signet_runtime::{Clock, HealthHandle, Shutdown};
use tokio::sync::watch;

use super::Leadership;
use crate::authority::Authority;
use crate::metrics::KubernetesMetrics;
use bundle::{BundleForm, Looker};
use keeper::{Keeper, Publishing};
use objects::{ConfigMaps, MapForm, Namespaces, SharedBoard};

/// What is published where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigMapsConfig {
    /// The ConfigMaps' name.
    pub name: String,
    /// Namespaces that do not get one.
    pub excluded: Vec<String>,
    /// Labels of those that do, if not all.
    pub selector: Option<String>,
    /// Whose fields may be overwritten.
    pub policy: Policy,
}

/// The task that keeps the ConfigMaps, and the watches that it lives on.
pub struct Publisher {
    namespaces: Follower<Namespaces>,
    maps: Follower<ConfigMaps>,
    keeper: Keeper<MapForm>,
}

impl Publisher {
    /// Publishes the roots of `authority` while this replica leads. Gives how far they have spread.
    pub fn new(
        client: &ApiClient,
        config: ConfigMapsConfig,
        authority: watch::Receiver<Arc<Authority>>,
        leadership: Leadership,
        around: Around<'_>,
    ) -> (Self, watch::Receiver<Spread>) {
        let Around { cluster, clock, pace, metrics, health } = around;
        let form = MapForm { name: config.name, claim: config.policy.claim() };
        let board = SharedBoard::new();
        let namespaces = Namespaces { board: board.clone(), excluded: config.excluded, selector: config.selector };
        let maps = ConfigMaps::new(board.clone(), form.clone());
        let (names, maps_told) = (metrics.watch(cluster, "namespaces"), metrics.watch(cluster, "configmaps"));
        let namespaces = Follower::new(client.clone(), namespaces, clock.clone(), pace, names);
        let maps = Follower::new(client.clone(), maps, clock.clone(), pace, maps_told);
        let (client, metrics) = (client.clone(), metrics.publish());
        let policy = config.policy;
        let publishing = Publishing { client, policy, roots: authority, leadership, health, metrics };
        let keeper = Keeper::new(form, board, publishing);
        let spread = keeper.spread();
        (Self { namespaces, maps, keeper }, spread)
    }

    /// The number of the latest bundle that was seen in every namespace; zero before the first.
    pub fn everywhere(&self) -> watch::Receiver<u64> {
        self.keeper.everywhere()
    }

    /// Publishes until shutdown begins.
    ///
    /// # Errors
    /// None.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), Infallible> {
        let (namespaces, maps) = (self.namespaces.run(shutdown.clone()), self.maps.run(shutdown.clone()));
        let (first, second, third) = tokio::join!(namespaces, maps, self.keeper.run(shutdown));
        first.and(second).and(third)
    }
}

/// The task that keeps the ClusterTrustBundle, where the cluster serves that API.
pub struct BundlePublisher {
    looker: Looker,
    keeper: Keeper<BundleForm>,
}

impl BundlePublisher {
    /// Publishes the roots of `authority` while this replica leads.
    pub fn new(
        client: &ApiClient,
        policy: Policy,
        authority: watch::Receiver<Arc<Authority>>,
        leadership: Leadership,
        around: Around<'_>,
    ) -> Self {
        let Around { pace, metrics, health, .. } = around;
        let board = SharedBoard::new();
        let outage = Outage::new(pace.retry(), "cluster trust bundle");
        let (looker, form) = Looker::new(client.clone(), board.clone(), policy.claim(), outage);
        let (client, metrics) = (client.clone(), metrics.publish_bundle());
        let publishing = Publishing { client, policy, roots: authority, leadership, health, metrics };
        Self { looker, keeper: Keeper::new(form, board, publishing) }
    }

    /// The number of the latest bundle that was seen there, or that there was no place for; zero before the first.
    pub fn everywhere(&self) -> watch::Receiver<u64> {
        self.keeper.everywhere()
    }

    /// Publishes until shutdown begins.
    ///
    /// # Errors
    /// None.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), Infallible> {
        let (first, second) = tokio::join!(self.looker.run(shutdown.clone()), self.keeper.run(shutdown));
        first.and(second)
    }
}

/// What surrounds a part of the process.
pub struct Around<'a> {
    /// The cluster's name in metrics.
    pub cluster: &'a str,
    /// Tells the time.
    pub clock: &'a Clock,
    /// How patiently objects are followed.
    pub pace: Pace,
    /// What is told.
    pub metrics: &'a KubernetesMetrics,
    /// The part's voice in readiness.
    pub health: HealthHandle,
}

#[cfg(test)]
mod tests;
