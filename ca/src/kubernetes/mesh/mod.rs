//! Istio's mesh config (ConfigMap `istio`, key `mesh`), watched for what it says of trust domains.
//!
//! Told by readiness, metrics and the log; issuing goes on whatever it says. One that cannot be read leaves what the
//! last good one said. Where the operator wants it, identities are granted in the mesh's trust domain while that has ours
//! as an alias, so that no proxy refuses either.

mod config;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::time::SystemTime;

use serde::Deserialize;
use signet_identity::TrustDomain;
use signet_kubernetes::{ApiClient, Collection, Follower, Pace, Watched};
use signet_runtime::{Clock, HealthHandle, Shutdown};

use crate::authenticate::Granted;
use crate::metrics::{MeshMetrics, WatchMetrics};
use config::{MeshConfig, Verdict};

const CORE: &str = "api/v1";

/// The key that holds it.
const KEY: &str = "mesh";

/// Where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeshConfigPlace {
    /// The ConfigMap's namespace.
    pub namespace: String,
    /// The ConfigMap's name.
    pub name: String,
    /// Where identities are granted in its trust domain if that has ours as an alias: trust domains that others speak
    /// for, which are never taken.
    pub follow: Option<BTreeSet<TrustDomain>>,
}

/// What of the ConfigMap is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Map {
    metadata: Meta,
    data: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    resource_version: Box<str>,
}

/// The task that watches it.
pub(super) struct MeshWatch(Follower<Mesh>);

impl MeshWatch {
    /// Follows until shutdown begins.
    pub(super) async fn run(self, shutdown: Shutdown) -> Result<(), Infallible> {
        self.0.run(shutdown).await
    }
}

/// Whom the watch tells.
pub(super) struct Told {
    /// Where identities are granted.
    pub(super) granted: Granted,
    pub(super) health: HealthHandle,
    pub(super) metrics: MeshMetrics,
    pub(super) watch: WatchMetrics,
}

/// A watch of the mesh config at `place`, compared with `own`.
pub(super) fn watch(
    client: &ApiClient,
    place: MeshConfigPlace,
    own: TrustDomain,
    clock: &Clock,
    pace: Pace,
    told: Told,
) -> MeshWatch {
    let Told { granted, health, metrics, watch } = told;
    // Without an answer nothing is known to be wrong; that there is none is told by the watch.
    health.ready();
    let selector = format!("metadata.name={}", place.name);
    let mesh = Mesh { place, selector, own, granted, health, metrics, good: None, remark: None, is_there: false };
    MeshWatch(Follower::new(client.clone(), mesh, clock.clone(), pace, watch))
}

/// The mesh config on its way to those who are told.
pub(super) struct Mesh {
    place: MeshConfigPlace,
    selector: String,
    own: TrustDomain,
    granted: Granted,
    health: HealthHandle,
    metrics: MeshMetrics,
    /// The last one that could be read.
    good: Option<MeshConfig>,
    /// What was last told, so that it is logged once.
    remark: Option<String>,
    is_there: bool,
}

impl Mesh {
    /// Takes what is there now.
    fn take(&mut self, text: Option<String>) {
        self.is_there = text.is_some();
        let broken = match text.map(|text| MeshConfig::read(&text)) {
            Some(Ok(config)) => {
                self.good = Some(config);
                None
            }
            Some(Err(error)) => Some(error),
            None => {
                self.good = None;
                None
            }
        };
        let verdict = self.verdict();
        let followed = self.follow(&verdict);
        self.metrics.told(broken.is_none(), verdict != Verdict::Agrees, followed);
        let differs = (verdict != Verdict::Agrees && !followed).then(|| verdict.to_string());
        let broken = broken.map(|error| {
            let MeshConfigPlace { namespace, name, .. } = &self.place;
            format!("the mesh config {namespace}/{name} is not used, what it said before stays: {error}")
        });
        let remark = [broken, differs].into_iter().flatten().collect::<Vec<_>>().join("; ");
        self.tell((!remark.is_empty()).then_some(remark), &verdict);
    }

    fn verdict(&self) -> Verdict {
        let reserved = self.place.follow.as_ref();
        match self.good.as_ref().map_or(Verdict::Agrees, |good| good.against(&self.own)) {
            Verdict::Aliased { theirs } if reserved.is_some_and(|reserved| reserved.contains(&theirs)) => {
                Verdict::Reserved { theirs }
            }
            verdict => verdict,
        }
    }

    /// Grants identities where the mesh has them, if that is wanted and safe; whether it is another trust domain.
    fn follow(&self, verdict: &Verdict) -> bool {
        let theirs = match verdict {
            Verdict::Aliased { theirs } if self.place.follow.is_some() => Some(theirs.clone()),
            _ => None,
        };
        let is_other = theirs.is_some();
        if self.granted.follow(theirs) {
            let trust_domain = self.granted.current();
            tracing::warn!(%trust_domain, own = %self.own, "identities are granted in this trust domain from now on");
        }
        is_other
    }

    fn tell(&mut self, remark: Option<String>, verdict: &Verdict) {
        match &remark {
            Some(remark) => self.health.degraded(remark.as_str()),
            None => self.health.ready(),
        }
        if remark == self.remark {
            return;
        }
        match &remark {
            Some(remark) if matches!(verdict, Verdict::Foreign { .. } | Verdict::Reserved { .. }) => {
                tracing::error!(remark, trust_domain = %self.own, "trust domain is not the mesh's, it stays as it is");
            }
            Some(remark) => {
                tracing::warn!(remark, trust_domain = %self.own, "mesh config does not go with the settings");
            }
            None => tracing::info!(trust_domain = %self.own, "mesh config goes with the settings again"),
        }
        self.remark = remark;
    }
}

impl Watched for Mesh {
    type Object = Map;
    type Kept = Option<String>;

    fn collection(&self) -> Collection {
        Collection::within(CORE, &self.place.namespace, "configmaps")
    }

    fn field_selector(&self) -> Option<&str> {
        Some(&self.selector)
    }

    fn version<'a>(&self, object: &'a Map) -> &'a str {
        &object.metadata.resource_version
    }

    fn keep(&self, mut object: Map) -> Option<String> {
        object.data.remove(KEY)
    }

    fn replace(&mut self, all: Vec<Option<String>>, _: SystemTime) {
        self.take(all.into_iter().next().flatten());
    }

    fn apply(&mut self, kept: Option<String>) {
        self.take(kept);
    }

    fn delete(&mut self, _: Option<String>) {
        self.take(None);
    }

    fn heard(&mut self, _: SystemTime) {}

    fn count(&self) -> usize {
        usize::from(self.is_there)
    }
}
