//! Pods and service accounts on their way from an API server into a view. Only what a view keeps is read.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use signet_identity::Timestamp;
use signet_kubernetes::{ApiClient, Collection, Follower, Pace, Watched};
use signet_runtime::{Clock, Shutdown};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::kubernetes::{AccountObject, ClusterView, ClusterViewWriter, Freshness, PodObject, PodPhase};
use crate::metrics::KubernetesMetrics;
use crate::voice::Voice;

const CORE: &str = "api/v1";

/// The value of Istio's annotation on a pod whose traffic its node agent handles.
const ENROLLED: &str = "enabled";

/// What of `metadata` is read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::kubernetes) struct Meta {
    pub(in crate::kubernetes) name: Box<str>,
    pub(in crate::kubernetes) namespace: Box<str>,
    pub(in crate::kubernetes) uid: Box<str>,
    pub(in crate::kubernetes) resource_version: Box<str>,
    creation_timestamp: Option<Box<str>>,
    deletion_timestamp: Option<Box<str>>,
    annotations: Option<Annotations>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Annotations {
    #[serde(rename = "ambient.istio.io/redirection")]
    redirection: Option<Box<str>>,
}

impl Meta {
    /// When it was or will be deleted. What cannot be read is long past: it says that the end has begun.
    pub(in crate::kubernetes) fn deleted_at(&self) -> Option<Timestamp> {
        Some(instant(self.deletion_timestamp.as_deref()?).unwrap_or(Timestamp::from_unix_secs(0)))
    }

    /// When it was made, if that can be read.
    fn created_at(&self) -> Option<Timestamp> {
        instant(self.creation_timestamp.as_deref()?)
    }
}

fn instant(text: &str) -> Option<Timestamp> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(Timestamp::from_unix_secs(at.unix_timestamp()))
}

/// What of a pod is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::kubernetes) struct Pod {
    metadata: Meta,
    spec: PodSpec,
    status: PodStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    service_account_name: Box<str>,
    node_name: Option<Box<str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PodStatus {
    phase: Box<str>,
}

impl From<Pod> for PodObject {
    fn from(pod: Pod) -> Self {
        let (created_at, deleted_at) = (pod.metadata.created_at(), pod.metadata.deleted_at());
        let redirection = pod.metadata.annotations.and_then(|annotations| annotations.redirection);
        Self {
            namespace: pod.metadata.namespace,
            name: pod.metadata.name,
            uid: pod.metadata.uid,
            service_account: pod.spec.service_account_name,
            node: pod.spec.node_name.filter(|node| !node.is_empty()),
            phase: PodPhase::from(&*pod.status.phase),
            created_at,
            deleted_at,
            enrolled: redirection.as_deref() == Some(ENROLLED),
        }
    }
}

/// What of a service account is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::kubernetes) struct Account {
    metadata: Meta,
}

impl From<Account> for AccountObject {
    fn from(account: Account) -> Self {
        let (created_at, deleted_at) = (account.metadata.created_at(), account.metadata.deleted_at());
        let Meta { namespace, name, uid, .. } = account.metadata;
        Self { namespace, name, uid, created_at, deleted_at }
    }
}

struct Pods {
    writer: Arc<ClusterViewWriter>,
    view: ClusterView,
}

impl Watched for Pods {
    type Object = Pod;
    type Kept = PodObject;

    fn collection(&self) -> Collection {
        Collection::all(CORE, "pods")
    }

    fn version<'a>(&self, object: &'a Pod) -> &'a str {
        &object.metadata.resource_version
    }

    fn keep(&self, object: Pod) -> PodObject {
        object.into()
    }

    fn replace(&mut self, all: Vec<PodObject>, now: SystemTime) {
        self.writer.replace_pods(all, now.into());
    }

    fn apply(&mut self, pod: PodObject) {
        self.writer.apply_pod(pod);
    }

    fn delete(&mut self, pod: PodObject) {
        self.writer.delete_pod(&pod.namespace, &pod.name);
    }

    fn heard(&mut self, now: SystemTime) {
        self.writer.heard_pods(now.into());
    }

    fn count(&self) -> usize {
        self.view.counts().pods
    }
}

struct Accounts {
    writer: Arc<ClusterViewWriter>,
    view: ClusterView,
}

impl Watched for Accounts {
    type Object = Account;
    type Kept = AccountObject;

    fn collection(&self) -> Collection {
        Collection::all(CORE, "serviceaccounts")
    }

    fn version<'a>(&self, object: &'a Account) -> &'a str {
        &object.metadata.resource_version
    }

    fn keep(&self, object: Account) -> AccountObject {
        object.into()
    }

    fn replace(&mut self, all: Vec<AccountObject>, now: SystemTime) {
        self.writer.replace_accounts(all, now.into());
    }

    fn apply(&mut self, account: AccountObject) {
        self.writer.apply_account(account);
    }

    fn delete(&mut self, account: AccountObject) {
        self.writer.delete_account(&account.namespace, &account.name);
    }

    fn heard(&mut self, now: SystemTime) {
        self.writer.heard_accounts(now.into());
    }

    fn count(&self) -> usize {
        self.view.counts().accounts
    }
}

/// The watches that keep one cluster's view; to be run as one task.
pub struct Watches {
    pods: Follower<Pods>,
    accounts: Follower<Accounts>,
    teller: Option<Teller>,
}

/// A view of the cluster behind `client`, and what keeps it. `cluster` is its name in metrics.
pub fn watch_views(
    client: &ApiClient,
    cluster: &str,
    clock: &Clock,
    pace: Pace,
    metrics: &KubernetesMetrics,
) -> (ClusterView, Watches) {
    let (writer, view) = ClusterViewWriter::new();
    let writer = Arc::new(writer);
    let pods = Pods { writer: writer.clone(), view: view.clone() };
    let pods = Follower::new(client.clone(), pods, clock.clone(), pace, metrics.watch(cluster, "pods"));
    let accounts = Accounts { writer, view: view.clone() };
    let told = metrics.watch(cluster, "serviceaccounts");
    let accounts = Follower::new(client.clone(), accounts, clock.clone(), pace, told);
    (view, Watches { pods, accounts, teller: None })
}

impl Watches {
    /// Says in readiness what the view is worth, when knowledge may be `stale_after` old.
    #[must_use]
    pub(crate) fn told_by(mut self, health: Voice, view: ClusterView, clock: Clock, stale_after: Duration) -> Self {
        self.teller = Some(Teller { health, view, clock, stale_after });
        self
    }

    /// Follows until shutdown begins.
    ///
    /// # Errors
    /// None.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), Infallible> {
        let telling = async {
            match self.teller {
                Some(teller) => teller.run(&shutdown).await,
                None => shutdown.begun().await,
            }
        };
        let (pods, accounts) = (self.pods.run(shutdown.clone()), self.accounts.run(shutdown.clone()));
        let (pods, accounts, ()) = tokio::join!(pods, accounts, telling);
        pods.and(accounts)
    }
}

/// Time between two looks at what a view is worth.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Without objects no token can be accepted; with old ones many still can.
struct Teller {
    health: Voice,
    view: ClusterView,
    clock: Clock,
    stale_after: Duration,
}

impl Teller {
    async fn run(self, shutdown: &Shutdown) {
        loop {
            let now = Timestamp::from(self.clock.now());
            match self.view.freshness(now, self.stale_after) {
                Freshness::Unsynced => self.health.lacking("the cluster's objects have not been listed yet"),
                Freshness::Stale { age } => {
                    self.health.lacking(format!("the cluster was last heard of {} s ago", age.as_secs()));
                }
                Freshness::Incomplete => self.health.degraded("the cluster has more objects than can be known"),
                Freshness::Fresh => self.health.ready(),
            }
            tokio::select! {
                // Neither arm holds anything.
                () = shutdown.begun() => return,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
