//! Whether what a token is bound to still exists: the checks that an API server makes at each review, made here from
//! what is known of the cluster.
//!
//! The rules are the API server's own: the service account and the pod must exist with the UIDs that the token names,
//! and must not have been deleted for longer than a minute.

use std::time::Duration;

use signet_identity::{Timestamp, WorkloadName};

use super::claims::ObjectRef;
use crate::kubernetes::{Knowledge, KnowledgeError, PodObject};

/// How long after its deletion time an object still vouches, as in API servers.
const DELETED_LEEWAY: Duration = Duration::from_secs(60);

/// Why the holder of a token is no more, or cannot be looked up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LivenessError {
    /// No such service account.
    #[error("service account does not exist any more")]
    AccountGone,
    /// The name now belongs to another object.
    #[error("service account was created again since the token was made")]
    AccountReplaced,
    /// Being deleted for longer than the leeway.
    #[error("service account was deleted at {at}")]
    AccountDeleted {
        /// When.
        at: Timestamp,
    },
    /// No such pod.
    #[error("pod does not exist any more")]
    PodGone,
    /// The name now belongs to another object.
    #[error("pod was created again since the token was made")]
    PodReplaced,
    /// Its grace period ended longer ago than the leeway.
    #[error("pod was deleted at {at}")]
    PodDeleted {
        /// When.
        at: Timestamp,
    },
    /// The pod runs as another service account.
    #[error("pod does not run as the token's service account")]
    PodAccount,
    /// The pod is on another node, or on none.
    #[error("pod is not on the token's node")]
    PodNode,
    /// It could not be found out.
    #[error("it is not known whether the token's holder still exists")]
    Unknown(#[from] KnowledgeError),
}

impl LivenessError {
    pub(super) fn is_undecided(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }

    /// A stable word for logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::AccountGone => "service_account_gone",
            Self::AccountReplaced => "service_account_replaced",
            Self::AccountDeleted { .. } => "service_account_deleted",
            Self::PodGone => "pod_gone",
            Self::PodReplaced => "pod_replaced",
            Self::PodDeleted { .. } => "pod_deleted",
            Self::PodAccount => "pod_service_account",
            Self::PodNode => "pod_node",
            Self::Unknown(error) => error.reason(),
        }
    }
}

/// What a token is bound to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound<'a> {
    pub(super) workload: &'a WorkloadName,
    pub(super) service_account_uid: &'a str,
    pub(super) pod: Option<&'a ObjectRef>,
    pub(super) node: Option<&'a ObjectRef>,
}

impl Bound<'_> {
    /// Checks all of it against what is known at `now`.
    pub(super) async fn check(&self, knowledge: &Knowledge, now: Timestamp) -> Result<(), LivenessError> {
        self.check_account(knowledge, now).await?;
        match self.pod {
            Some(pod) => self.check_pod(pod, knowledge, now).await,
            None => Ok(()),
        }
    }

    async fn check_account(&self, knowledge: &Knowledge, now: Timestamp) -> Result<(), LivenessError> {
        let (namespace, name) = (self.workload.namespace.as_str(), self.workload.service_account.as_str());
        let is_same = |uid: &str| uid == self.service_account_uid;
        let account = knowledge.account(namespace, name, now, |account| is_same(&account.uid)).await?;
        let account = account.ok_or(LivenessError::AccountGone)?;
        if !is_same(&account.uid) {
            return Err(LivenessError::AccountReplaced);
        }
        match ended(account.deleted_at, now) {
            Some(at) => Err(LivenessError::AccountDeleted { at }),
            None => Ok(()),
        }
    }

    async fn check_pod(&self, wanted: &ObjectRef, knowledge: &Knowledge, now: Timestamp) -> Result<(), LivenessError> {
        let namespace = self.workload.namespace.as_str();
        let is_same = |pod: &PodObject| *pod.uid == *wanted.uid && self.is_on_node(pod);
        let pod = knowledge.pod(namespace, &wanted.name, now, is_same).await?.ok_or(LivenessError::PodGone)?;
        if *pod.uid != *wanted.uid {
            return Err(LivenessError::PodReplaced);
        }
        if *pod.service_account != *self.workload.service_account.as_str() {
            return Err(LivenessError::PodAccount);
        }
        if !self.is_on_node(&pod) {
            return Err(LivenessError::PodNode);
        }
        match ended(pod.deleted_at, now) {
            Some(at) => Err(LivenessError::PodDeleted { at }),
            None => Ok(()),
        }
    }

    /// Tokens made before Kubernetes 1.30 name no node.
    fn is_on_node(&self, pod: &PodObject) -> bool {
        self.node.is_none_or(|node| pod.node.as_deref() == Some(node.name.as_str()))
    }
}

/// When an object ended, if its deletion time is over the leeway ago.
fn ended(deleted_at: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    deleted_at.filter(|at| now > at.plus(DELETED_LEEWAY))
}

/// Whether an object's deletion time is over the leeway ago.
pub(crate) fn has_ended(deleted_at: Option<Timestamp>, now: Timestamp) -> bool {
    ended(deleted_at, now).is_some()
}
