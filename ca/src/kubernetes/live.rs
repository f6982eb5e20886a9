//! Asking a cluster's API server for one object at a time, where a view does not suffice.
//!
//! The seam only: who asks over HTTP is elsewhere. Bounded here in number and in time, because who makes us ask is a
//! caller.

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::{AccountObject, PodObject};

/// Most reads under way at once in one cluster.
const READS_MAX: usize = 16;

/// Most of them that node proxies ask for, all together and those of one node: what they ask for need not exist, so
/// they could keep everybody else from asking.
const PROXY_READS_MAX: usize = 12;
const NODE_READS_MAX: usize = 4;

/// How long a read may take, waiting for its turn included.
const READ_DEADLINE: Duration = Duration::from_secs(3);

/// What an asynchronous question gives.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, LiveError>> + Send + 'a>>;

/// Why an API server gave no answer. Never says that an object does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LiveError {
    /// Not reachable, or it answered with an error.
    #[error("API server gave no answer: {reason}")]
    NoAnswer {
        /// What happened; no secret.
        reason: String,
    },
    /// Too slow, or too many were asking.
    #[error("API server gave no answer within {} s", READ_DEADLINE.as_secs())]
    Deadline,
}

/// Reads objects as they are now. An object that does not exist is `None`, everything else that is not an answer an
/// error.
pub trait LiveObjects: Debug + Send + Sync {
    /// The pod of this name.
    fn pod<'a>(&'a self, namespace: &'a str, name: &'a str) -> Answer<'a, Option<PodObject>>;

    /// The service account of this name.
    fn account<'a>(&'a self, namespace: &'a str, name: &'a str) -> Answer<'a, Option<AccountObject>>;

    /// The pods of a service account on a node; a few hundred at most.
    fn pods_at<'a>(&'a self, node: &'a str, namespace: &'a str, service_account: &'a str)
    -> Answer<'a, Vec<PodObject>>;
}

/// A cluster's objects, read within bounds.
#[derive(Debug, Clone)]
pub(super) struct BoundedReads {
    objects: Arc<dyn LiveObjects>,
    turns: Arc<Semaphore>,
    proxy_turns: Arc<Semaphore>,
    /// Turns of the nodes whose proxies ask now.
    nodes: Arc<Mutex<HashMap<Box<str>, Arc<Semaphore>>>>,
}

impl BoundedReads {
    pub(super) fn new(objects: Arc<dyn LiveObjects>) -> Self {
        let [turns, proxy_turns] = [READS_MAX, PROXY_READS_MAX].map(|max| Arc::new(Semaphore::new(max)));
        Self { objects, turns, proxy_turns, nodes: Arc::default() }
    }

    pub(super) async fn read<'a, T>(
        &'a self,
        question: impl FnOnce(&'a dyn LiveObjects) -> Answer<'a, T>,
    ) -> Result<T, LiveError> {
        in_time(self.ask(question)).await
    }

    /// As [`BoundedReads::read`] for the proxy of `node`, which waits for its own turns only.
    pub(super) async fn read_for<'a, T>(
        &'a self,
        node: &str,
        question: impl FnOnce(&'a dyn LiveObjects) -> Answer<'a, T>,
    ) -> Result<T, LiveError> {
        let turns = self.nodes().entry(node.into()).or_insert_with(|| Arc::new(Semaphore::new(NODE_READS_MAX))).clone();
        let asking = Asking { of: self, node, turns: Some(turns) };
        in_time(async {
            let turns = asking.turns.as_ref().ok_or(LiveError::Deadline)?;
            let _own = turns.acquire().await.map_err(|_| LiveError::Deadline)?;
            let _proxies = self.proxy_turns.acquire().await.map_err(|_| LiveError::Deadline)?;
            self.ask(question).await
        })
        .await
    }

    async fn ask<'a, T>(&'a self, question: impl FnOnce(&'a dyn LiveObjects) -> Answer<'a, T>) -> Result<T, LiveError> {
        let _turn = self.turns.acquire().await.map_err(|_| LiveError::Deadline)?;
        question(&*self.objects).await
    }

    fn nodes(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<Semaphore>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn in_time<T>(asking: impl Future<Output = Result<T, LiveError>>) -> Result<T, LiveError> {
    tokio::time::timeout(READ_DEADLINE, asking).await.unwrap_or(Err(LiveError::Deadline))
}

/// One question of a node's proxy. With the last one the node is forgotten, so no more of them are remembered than
/// ask.
struct Asking<'a> {
    of: &'a BoundedReads,
    node: &'a str,
    turns: Option<Arc<Semaphore>>,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut nodes = self.of.nodes();
        self.turns = None;
        // New clones are made under the same lock.
        if nodes.get(self.node).is_some_and(|turns| Arc::strong_count(turns) == 1) {
            nodes.remove(self.node);
        }
    }
}

#[cfg(test)]
mod tests;
