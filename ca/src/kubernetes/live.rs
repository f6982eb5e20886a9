//! Asking a cluster's API server for one object at a time, where a view does not suffice.
//!
//! The seam only: who asks over HTTP is elsewhere. Bounded here in number and in time, because who makes us ask is a
//! caller.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::{AccountObject, PodObject};

/// Most reads under way at once in one cluster.
const READS_MAX: usize = 16;

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
}

impl BoundedReads {
    pub(super) fn new(objects: Arc<dyn LiveObjects>) -> Self {
        Self { objects, turns: Arc::new(Semaphore::new(READS_MAX)) }
    }

    pub(super) async fn read<'a, T>(
        &'a self,
        question: impl FnOnce(&'a dyn LiveObjects) -> Answer<'a, T>,
    ) -> Result<T, LiveError> {
        let asking = async {
            let _turn = self.turns.acquire().await.map_err(|_| LiveError::Deadline)?;
            question(&*self.objects).await
        };
        tokio::time::timeout(READ_DEADLINE, asking).await.unwrap_or(Err(LiveError::Deadline))
    }
}
