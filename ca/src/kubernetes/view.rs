//! The live objects of one cluster, as a watch brought them: two halves of one state.
//!
//! [`ClusterViewWriter`] belongs to whoever watches; [`ClusterView`] to whoever decides. A decision needs three things:
//! what is known, whether absence means anything (everything was listed once, nothing was left out), and how old the
//! knowledge is. Knows nothing of any client and reads no clock.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use signet_identity::Timestamp;
use signet_kubernetes::WaitingRoom;

use super::objects::{ACCOUNTS_MAX, AccountObject, ByName, PODS_MAX, PodObject, Pods};

/// What the knowledge of a cluster is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Nothing was listed completely yet: what is missing may exist.
    Unsynced,
    /// The watch has not been heard from for longer than the operator accepts.
    Stale {
        /// For how long.
        age: Duration,
    },
    /// Within bounds, but objects were left out because there are too many: what is missing may exist.
    Incomplete,
    /// Within bounds and whole: what is missing does not exist.
    Fresh,
}

/// How much is known, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Pods.
    pub pods: usize,
    /// Service accounts.
    pub accounts: usize,
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Awaited {
    /// A pod by its name.
    Pod { namespace: Box<str>, name: Box<str> },
    /// A service account by its name.
    Account { namespace: Box<str>, name: Box<str> },
    /// Any pod of a service account on a node.
    Place { node: Box<str>, namespace: Box<str>, service_account: Box<str> },
}

#[derive(Debug)]
struct State {
    pods: Pods,
    pods_heard: Option<Timestamp>,
    accounts: ByName<AccountObject>,
    accounts_heard: Option<Timestamp>,
}

#[derive(Debug)]
struct Shared {
    state: RwLock<State>,
    waiting: WaitingRoom<Awaited>,
    pods_max: usize,
    accounts_max: usize,
}

impl Shared {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        // Every change under the lock is whole or not begun.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The half that a watch fills. The first list of each kind makes the view synced.
#[derive(Debug)]
pub struct ClusterViewWriter {
    shared: Arc<Shared>,
}

/// The half that decisions ask. Cheap to clone; an answer never waits for a list being taken in.
#[derive(Debug, Clone)]
pub struct ClusterView {
    shared: Arc<Shared>,
}

impl ClusterViewWriter {
    /// Both halves, knowing nothing, for up to 200,000 pods and as many service accounts.
    pub fn new() -> (Self, ClusterView) {
        Self::bounded(PODS_MAX, ACCOUNTS_MAX)
    }

    fn bounded(pods_max: usize, accounts_max: usize) -> (Self, ClusterView) {
        let state = State {
            pods: Pods::new(pods_max),
            pods_heard: None,
            accounts: ByName::new(accounts_max),
            accounts_heard: None,
        };
        let waiting = WaitingRoom::default();
        let shared = Arc::new(Shared { state: RwLock::new(state), waiting, pods_max, accounts_max });
        (Self { shared: shared.clone() }, ClusterView { shared })
    }

    /// A pod was added or changed.
    pub fn apply_pod(&self, pod: PodObject) {
        let pod = Arc::new(pod);
        self.shared.write().pods.insert(&pod);
        if !self.shared.waiting.is_empty() {
            self.announce(&pod);
        }
    }

    /// A pod is gone.
    pub fn delete_pod(&self, namespace: &str, name: &str) {
        self.shared.write().pods.remove(namespace, name);
    }

    /// All pods there are, as listed at `now`.
    pub fn replace_pods(&self, pods: impl IntoIterator<Item = PodObject>, now: Timestamp) {
        let mut listed = Pods::new(self.shared.pods_max);
        for pod in pods {
            listed.insert(&Arc::new(pod));
        }
        let replaced = {
            let mut state = self.shared.write();
            state.pods_heard = Some(now);
            std::mem::replace(&mut state.pods, listed)
        };
        // A hundred thousand objects are freed after the lock, not under it.
        drop(replaced);
        self.shared.waiting.all_arrived();
    }

    /// A service account was added or changed.
    pub fn apply_account(&self, account: AccountObject) {
        let account = Arc::new(account);
        self.shared.write().accounts.insert(&account);
        if !self.shared.waiting.is_empty() {
            let (namespace, name) = (account.namespace.clone(), account.name.clone());
            self.shared.waiting.arrived(&Awaited::Account { namespace, name });
        }
    }

    /// A service account is gone.
    pub fn delete_account(&self, namespace: &str, name: &str) {
        self.shared.write().accounts.remove(namespace, name);
    }

    /// All service accounts there are, as listed at `now`.
    pub fn replace_accounts(&self, accounts: impl IntoIterator<Item = AccountObject>, now: Timestamp) {
        let mut listed = ByName::new(self.shared.accounts_max);
        for account in accounts {
            listed.insert(&Arc::new(account));
        }
        let replaced = {
            let mut state = self.shared.write();
            state.accounts_heard = Some(now);
            std::mem::replace(&mut state.accounts, listed)
        };
        drop(replaced);
        self.shared.waiting.all_arrived();
    }

    /// The watch of pods said something at `now`, be it only a bookmark. Means nothing before the first list.
    pub fn heard_pods(&self, now: Timestamp) {
        hear(&mut self.shared.write().pods_heard, now);
    }

    /// The watch of service accounts said something at `now`. Means nothing before the first list.
    pub fn heard_accounts(&self, now: Timestamp) {
        hear(&mut self.shared.write().accounts_heard, now);
    }

    fn announce(&self, pod: &PodObject) {
        let PodObject { namespace, name, service_account, node, .. } = pod.clone();
        if let Some(node) = node {
            let namespace = namespace.clone();
            self.shared.waiting.arrived(&Awaited::Place { node, namespace, service_account });
        }
        self.shared.waiting.arrived(&Awaited::Pod { namespace, name });
    }
}

/// A clock that was set back also sets back what was heard: only the newest word counts.
fn hear(heard: &mut Option<Timestamp>, now: Timestamp) {
    if heard.is_some() {
        *heard = Some(now);
    }
}

impl ClusterView {
    /// The pod of this name.
    pub fn pod(&self, namespace: &str, name: &str) -> Option<Arc<PodObject>> {
        self.shared.read().pods.by_name().get(namespace, name).cloned()
    }

    /// The first pod of a service account on a node for which `suits` holds.
    pub fn pod_at(
        &self,
        node: &str,
        namespace: &str,
        service_account: &str,
        suits: impl Fn(&PodObject) -> bool,
    ) -> Option<Arc<PodObject>> {
        let state = self.shared.read();
        let mut there = state.pods.on_node(node).iter();
        there
            .find(|pod| *pod.namespace == *namespace && *pod.service_account == *service_account && suits(pod))
            .cloned()
    }

    /// The service account of this name.
    pub fn account(&self, namespace: &str, name: &str) -> Option<Arc<AccountObject>> {
        self.shared.read().accounts.get(namespace, name).cloned()
    }

    /// Whether a pod of a service account is there for which `suits` holds. Looks at its pods and at no others.
    pub fn has_pod_of(&self, namespace: &str, service_account: &str, suits: impl Fn(&PodObject) -> bool) -> bool {
        let state = self.shared.read();
        state.pods.of_account(namespace, service_account).any(|pod| suits(pod))
    }

    /// As [`ClusterView::account`] for one that `suits`; waits up to `wait` for one that the watch has not brought yet.
    /// Does not wait when some thousands wait already.
    pub async fn wait_for_account(
        &self,
        namespace: &str,
        name: &str,
        wait: Duration,
        suits: impl Fn(&AccountObject) -> bool,
    ) -> Option<Arc<AccountObject>> {
        let awaited = || Awaited::Account { namespace: namespace.into(), name: name.into() };
        let look = || self.account(namespace, name).filter(|account| suits(account));
        self.shared.waiting.wait(awaited, wait, look).await
    }

    /// As [`ClusterView::pod`] for a pod that `suits`; waits up to `wait` for one that the watch has not brought yet.
    /// Does not wait when some thousands wait already.
    pub async fn wait_for_pod(
        &self,
        namespace: &str,
        name: &str,
        wait: Duration,
        suits: impl Fn(&PodObject) -> bool,
    ) -> Option<Arc<PodObject>> {
        let awaited = || Awaited::Pod { namespace: namespace.into(), name: name.into() };
        let look = || self.pod(namespace, name).filter(|pod| suits(pod));
        self.shared.waiting.wait(awaited, wait, look).await
    }

    /// As [`ClusterView::pod_at`]; waits up to `wait` for one that the watch has not brought yet. Does not wait when
    /// some thousands wait already.
    pub async fn wait_for_pod_at(
        &self,
        node: &str,
        namespace: &str,
        service_account: &str,
        wait: Duration,
        suits: impl Fn(&PodObject) -> bool,
    ) -> Option<Arc<PodObject>> {
        let awaited = || Awaited::Place {
            node: node.into(),
            namespace: namespace.into(),
            service_account: service_account.into(),
        };
        let look = || self.pod_at(node, namespace, service_account, &suits);
        self.shared.waiting.wait(awaited, wait, look).await
    }

    /// What this knowledge is worth at `now`, if it may be `stale_after` old. The older of both kinds counts. A clock
    /// that was set back makes it look younger by as much, until the watch is heard again.
    pub fn freshness(&self, now: Timestamp, stale_after: Duration) -> Freshness {
        let state = self.shared.read();
        let (Some(pods), Some(accounts)) = (state.pods_heard, state.accounts_heard) else {
            return Freshness::Unsynced;
        };
        let age = now.since(pods.min(accounts));
        if age > stale_after {
            Freshness::Stale { age }
        } else if state.pods.by_name().is_complete() && state.accounts.is_complete() {
            Freshness::Fresh
        } else {
            Freshness::Incomplete
        }
    }

    /// When the watch that is further behind was last heard from; none before both lists are there.
    pub fn heard_at(&self) -> Option<Timestamp> {
        let state = self.shared.read();
        Some(state.pods_heard?.min(state.accounts_heard?))
    }

    /// How much is known.
    pub fn counts(&self) -> Counts {
        let state = self.shared.read();
        Counts { pods: state.pods.by_name().len(), accounts: state.accounts.len() }
    }
}

#[cfg(test)]
mod tests;
