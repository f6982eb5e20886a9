//! One answer about a cluster's objects from everything that may give it: the view, a moment of waiting, and one live
//! read.
//!
//! Whether something exists is only said when it is known. A watch is always a little behind, so an object that is not
//! there, or not as it was expected, is waited for and then asked for before anybody is refused for it.

use std::sync::Arc;
use std::time::Duration;

use signet_identity::Timestamp;

use super::live::{BoundedReads, LiveError, LiveObjects};
use super::{AccountObject, ClusterView, Freshness, PodObject};

/// How long to wait for an object that the watch has not brought yet.
const ARRIVAL_WAIT: Duration = Duration::from_millis(1500);

/// Why nothing can be said about an object now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KnowledgeError {
    /// The objects were not listed yet.
    #[error("cluster's objects have not been listed yet")]
    Unsynced,
    /// The watch is silent for too long.
    #[error("cluster's objects were last heard of {} s ago, which is more than is accepted", age.as_secs())]
    Stale {
        /// For how long.
        age: Duration,
    },
    /// Too many objects to know them all, and nobody to ask.
    #[error("cluster has more objects than can be known")]
    Incomplete,
    /// The view does not have it, and asking failed.
    #[error("object is not known, and it could not be asked for")]
    NotRead(#[from] LiveError),
}

impl KnowledgeError {
    /// A stable word for logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unsynced => "objects_unsynced",
            Self::Stale { .. } => "objects_stale",
            Self::Incomplete => "objects_incomplete",
            Self::NotRead(_) => "object_not_read",
        }
    }
}

/// What can be known about a cluster's objects. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Knowledge {
    view: ClusterView,
    live: Option<BoundedReads>,
    stale_after: Duration,
}

impl Knowledge {
    /// What `view` knows while it is not older than `stale_after`, and `live` for what it does not have yet.
    pub fn new(view: ClusterView, live: Option<Arc<dyn LiveObjects>>, stale_after: Duration) -> Self {
        Self { view, live: live.map(BoundedReads::new), stale_after }
    }

    /// The pod of this name, if possible one that `suits`; `None` when it does not exist.
    ///
    /// # Errors
    /// [`KnowledgeError`]: it is not known.
    pub async fn pod(
        &self,
        namespace: &str,
        name: &str,
        now: Timestamp,
        suits: impl Fn(&PodObject) -> bool,
    ) -> Result<Option<Arc<PodObject>>, KnowledgeError> {
        let is_whole = self.is_whole(now)?;
        if let Some(pod) = self.view.wait_for_pod(namespace, name, ARRIVAL_WAIT, suits).await {
            return Ok(Some(pod));
        }
        match &self.live {
            Some(live) => Ok(live.read(|objects| objects.pod(namespace, name)).await?.map(Arc::new)),
            None if is_whole => Ok(self.view.pod(namespace, name)),
            None => Err(KnowledgeError::Incomplete),
        }
    }

    /// The service account of this name, if possible one that `suits`; `None` when it does not exist.
    ///
    /// # Errors
    /// [`KnowledgeError`]: it is not known.
    pub async fn account(
        &self,
        namespace: &str,
        name: &str,
        now: Timestamp,
        suits: impl Fn(&AccountObject) -> bool,
    ) -> Result<Option<Arc<AccountObject>>, KnowledgeError> {
        let is_whole = self.is_whole(now)?;
        if let Some(account) = self.view.wait_for_account(namespace, name, ARRIVAL_WAIT, suits).await {
            return Ok(Some(account));
        }
        match &self.live {
            Some(live) => Ok(live.read(|objects| objects.account(namespace, name)).await?.map(Arc::new)),
            None if is_whole => Ok(self.view.account(namespace, name)),
            None => Err(KnowledgeError::Incomplete),
        }
    }

    /// Whether a pod of a service account that `suits` is on a node.
    ///
    /// # Errors
    /// [`KnowledgeError`]: it is not known.
    pub async fn is_at(
        &self,
        node: &str,
        namespace: &str,
        service_account: &str,
        now: Timestamp,
        suits: impl Fn(&PodObject) -> bool,
    ) -> Result<bool, KnowledgeError> {
        let is_whole = self.is_whole(now)?;
        let arrived = self.view.wait_for_pod_at(node, namespace, service_account, ARRIVAL_WAIT, &suits).await;
        match &self.live {
            _ if arrived.is_some() => Ok(true),
            Some(live) => {
                let pods = live.read_for(node, |objects| objects.pods_at(node, namespace, service_account)).await?;
                let is_there = |pod: &PodObject| {
                    *pod.namespace == *namespace
                        && *pod.service_account == *service_account
                        && pod.node.as_deref() == Some(node)
                };
                Ok(pods.iter().any(|pod| is_there(pod) && suits(pod)))
            }
            None if is_whole => Ok(false),
            None => Err(KnowledgeError::Incomplete),
        }
    }

    /// Whether a service account for which `suits` holds exists, and a pod of it for which `pod_suits` holds, where that
    /// is asked for. Waits for nothing and asks nobody: whoever asks does so for what has been there for long.
    ///
    /// # Errors
    /// [`KnowledgeError`]: it is not known.
    pub fn knows(
        &self,
        namespace: &str,
        service_account: &str,
        now: Timestamp,
        suits: impl Fn(&AccountObject) -> bool,
        pod_suits: Option<impl Fn(&PodObject) -> bool>,
    ) -> Result<bool, KnowledgeError> {
        let is_whole = self.is_whole(now)?;
        let has_account = self.view.account(namespace, service_account).is_some_and(|account| suits(&account));
        let is_there =
            has_account && pod_suits.is_none_or(|suits| self.view.has_pod_of(namespace, service_account, suits));
        if is_there || is_whole { Ok(is_there) } else { Err(KnowledgeError::Incomplete) }
    }

    /// Whether what the view does not have does not exist.
    fn is_whole(&self, now: Timestamp) -> Result<bool, KnowledgeError> {
        match self.view.freshness(now, self.stale_after) {
            Freshness::Unsynced => Err(KnowledgeError::Unsynced),
            Freshness::Stale { age } => Err(KnowledgeError::Stale { age }),
            Freshness::Incomplete => Ok(false),
            Freshness::Fresh => Ok(true),
        }
    }
}
