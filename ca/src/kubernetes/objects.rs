//! The objects of a cluster that decisions need, and the indexes over them.
//!
//! Pure: no lock, no clock, no client. Bounded in the number of objects and in the length of every text; what does not
//! fit is counted, because a view that left something out must not conclude anything from absence.

use std::collections::HashMap;
use std::sync::Arc;

use signet_identity::Timestamp;

/// Most pods of one cluster, a third more than Kubernetes supports.
pub(super) const PODS_MAX: usize = 200_000;

/// Most service accounts of one cluster.
pub(super) const ACCOUNTS_MAX: usize = 200_000;

/// Longest name or UID in bytes (RFC 1123 subdomain; a UID has 36).
pub(super) const TEXT_MAX_BYTES: usize = 253;

/// Where a pod is in its life (`status.phase`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PodPhase {
    /// Not all containers have started.
    #[default]
    Pending,
    /// Running.
    Running,
    /// All containers ended well.
    Succeeded,
    /// All containers ended, one at least badly.
    Failed,
    /// The node has not been heard from, or the word is not known here.
    Unknown,
}

impl PodPhase {
    /// Whether the pod will never run again.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

impl From<&str> for PodPhase {
    fn from(word: &str) -> Self {
        match word {
            "Pending" | "" => Self::Pending,
            "Running" => Self::Running,
            "Succeeded" => Self::Succeeded,
            "Failed" => Self::Failed,
            _ => Self::Unknown,
        }
    }
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PodObject {
    /// `metadata.namespace`.
    pub namespace: Box<str>,
    /// `metadata.name`.
    pub name: Box<str>,
    /// `metadata.uid`.
    pub uid: Box<str>,
    /// `spec.serviceAccountName`.
    pub service_account: Box<str>,
    /// `spec.nodeName`; none before it is scheduled.
    pub node: Option<Box<str>>,
    /// `status.phase`.
    pub phase: PodPhase,
    /// `metadata.creationTimestamp`.
    pub created_at: Option<Timestamp>,
    /// `metadata.deletionTimestamp`: when its grace period ends, once it is being deleted.
    pub deleted_at: Option<Timestamp>,
    /// Whether Istio's node agent has taken it into the mesh: the annotation `ambient.istio.io/redirection` is
    /// `enabled`.
    pub enrolled: bool,
}

/// A service account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountObject {
    /// `metadata.namespace`.
    pub namespace: Box<str>,
    /// `metadata.name`.
    pub name: Box<str>,
    /// `metadata.uid`.
    pub uid: Box<str>,
    /// `metadata.creationTimestamp`.
    pub created_at: Option<Timestamp>,
    /// `metadata.deletionTimestamp`, once it is being deleted.
    pub deleted_at: Option<Timestamp>,
}

/// Something with a namespace and a name.
pub(super) trait Named {
    fn key(&self) -> (&str, &str);
    fn fits(&self) -> bool;
}

fn fit(texts: &[&str]) -> bool {
    texts.iter().all(|text| text.len() <= TEXT_MAX_BYTES)
}

impl Named for PodObject {
    fn key(&self) -> (&str, &str) {
        (&self.namespace, &self.name)
    }

    fn fits(&self) -> bool {
        let node = self.node.as_deref().unwrap_or_default();
        fit(&[&self.namespace, &self.name, &self.uid, &self.service_account, node])
    }
}

impl Named for AccountObject {
    fn key(&self) -> (&str, &str) {
        (&self.namespace, &self.name)
    }

    fn fits(&self) -> bool {
        fit(&[&self.namespace, &self.name, &self.uid])
    }
}

/// Objects by namespace and name.
#[derive(Debug)]
pub(super) struct ByName<T> {
    namespaces: HashMap<Box<str>, HashMap<Box<str>, Arc<T>>>,
    len: usize,
    max: usize,
    /// Whether an object was left out since the last list.
    left_out: bool,
}

impl<T: Named> ByName<T> {
    pub(super) fn new(max: usize) -> Self {
        Self { namespaces: HashMap::new(), len: 0, max, left_out: false }
    }

    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<&Arc<T>> {
        self.namespaces.get(namespace)?.get(name)
    }

    /// Puts `object` in its place; gives what was there.
    pub(super) fn insert(&mut self, object: &Arc<T>) -> Option<Arc<T>> {
        let (namespace, name) = object.key();
        let replaces = self.get(namespace, name).is_some();
        if !object.fits() || (!replaces && self.len >= self.max) {
            self.left_out = true;
            // What is known of an object that cannot be kept any more is wrong.
            return self.remove(namespace, name);
        }
        let replaced = match self.namespaces.get_mut(namespace) {
            Some(names) => names.insert(name.into(), object.clone()),
            None => {
                let names = HashMap::from([(name.into(), object.clone())]);
                self.namespaces.insert(namespace.into(), names);
                None
            }
        };
        self.len += usize::from(!replaces);
        replaced
    }

    pub(super) fn remove(&mut self, namespace: &str, name: &str) -> Option<Arc<T>> {
        let names = self.namespaces.get_mut(namespace)?;
        let removed = names.remove(name)?;
        if names.is_empty() {
            self.namespaces.remove(namespace);
        }
        self.len -= 1;
        Some(removed)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_complete(&self) -> bool {
        !self.left_out
    }
}

/// The pods of one service account by their addresses in memory, which tell them apart and cost no names.
type Together = HashMap<usize, Arc<PodObject>>;

/// Pods by name, by the node they are on, and by their service account.
#[derive(Debug)]
pub(super) struct Pods {
    by_name: ByName<PodObject>,
    /// A kubelet runs a few hundred pods at most, so a list serves.
    by_node: HashMap<Box<str>, Vec<Arc<PodObject>>>,
    /// By namespace and service account, of which one may have most pods there are.
    by_account: HashMap<Box<str>, HashMap<Box<str>, Together>>,
}

impl Pods {
    pub(super) fn new(max: usize) -> Self {
        Self { by_name: ByName::new(max), by_node: HashMap::new(), by_account: HashMap::new() }
    }

    pub(super) fn by_name(&self) -> &ByName<PodObject> {
        &self.by_name
    }

    pub(super) fn on_node(&self, node: &str) -> &[Arc<PodObject>] {
        self.by_node.get(node).map_or(&[], Vec::as_slice)
    }

    pub(super) fn of_account(&self, namespace: &str, service_account: &str) -> impl Iterator<Item = &Arc<PodObject>> {
        let together = self.by_account.get(namespace).and_then(|accounts| accounts.get(service_account));
        together.into_iter().flat_map(HashMap::values)
    }

    pub(super) fn insert(&mut self, pod: &Arc<PodObject>) {
        if let Some(replaced) = self.by_name.insert(pod) {
            self.leave_node(&replaced);
            self.leave_account(&replaced);
        }
        let (namespace, name) = pod.key();
        if self.by_name.get(namespace, name).is_none() {
            return;
        }
        let accounts = self.by_account.entry(namespace.into()).or_default();
        accounts.entry(pod.service_account.clone()).or_default().insert(Arc::as_ptr(pod).addr(), pod.clone());
        if let Some(node) = pod.node.as_deref() {
            match self.by_node.get_mut(node) {
                Some(there) => there.push(pod.clone()),
                None => {
                    self.by_node.insert(node.into(), vec![pod.clone()]);
                }
            }
        }
    }

    pub(super) fn remove(&mut self, namespace: &str, name: &str) {
        if let Some(removed) = self.by_name.remove(namespace, name) {
            self.leave_node(&removed);
            self.leave_account(&removed);
        }
    }

    fn leave_account(&mut self, pod: &Arc<PodObject>) {
        let Some(accounts) = self.by_account.get_mut(&pod.namespace) else { return };
        let Some(together) = accounts.get_mut(&pod.service_account) else { return };
        together.remove(&Arc::as_ptr(pod).addr());
        if together.is_empty() {
            accounts.remove(&pod.service_account);
        }
        if accounts.is_empty() {
            self.by_account.remove(&pod.namespace);
        }
    }

    fn leave_node(&mut self, pod: &Arc<PodObject>) {
        let Some(node) = pod.node.as_deref() else { return };
        let Some(there) = self.by_node.get_mut(node) else { return };
        there.retain(|other| !Arc::ptr_eq(other, pod));
        if there.is_empty() {
            self.by_node.remove(node);
        }
    }
}
