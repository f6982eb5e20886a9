//! Identities that a proxy of a whole node may ask for: those of the pods beside it.
//!
//! Such a proxy holds the traffic of its node's pods anyway. What it must not get is the identity of anything that does
//! not run there, so every step is checked against what is known of the cluster now, and what is not known is not
//! granted.

use std::sync::atomic::{AtomicBool, Ordering};

use signet_identity::{SpiffeId, SpiffeIdError, Timestamp, WorkloadError, WorkloadName};

use crate::authenticate::{Caller, Cluster, Clusters, has_ended};
use crate::kubernetes::{Knowledge, KnowledgeError, PodObject};

/// Why a caller is not granted another's identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImpersonationError {
    /// Its service account is not a node proxy's in its cluster, or no Kubernetes token vouches for it.
    #[error("caller is no trusted node proxy")]
    NotTrusted,
    /// Its token is bound to no pod.
    #[error("caller's token is not bound to a pod")]
    NoPod,
    /// What it asks for is not one SPIFFE id.
    #[error("requested identity is not a SPIFFE id")]
    Id(#[from] SpiffeIdError),
    /// What it asks for is no workload's.
    #[error("requested identity is no workload's")]
    Workload(#[from] WorkloadError),
    /// What it asks for lives elsewhere.
    #[error("requested identity is of another trust domain than the cluster's")]
    TrustDomain,
    /// The cluster may not vouch for the namespace.
    #[error("cluster may not vouch for the requested namespace")]
    Namespace,
    /// The cluster's objects are not watched, so nobody can say who runs beside the caller.
    #[error("cluster's objects are not watched here")]
    NotWatched,
    /// The caller's own pod does not exist any more, or is another one than its token says.
    #[error("caller's pod is not the one that its token names")]
    CallerPod,
    /// The caller's own pod does not run.
    #[error("caller's pod does not run")]
    CallerNotRunning,
    /// No pod of that service account is on the caller's node.
    #[error("no pod of the requested service account runs on the caller's node")]
    NotOnNode,
    /// Only pods that the proxy does not serve are.
    #[error("pods of the requested service account on the caller's node are not enrolled in the mesh")]
    NotEnrolled,
    /// It could not be found out.
    #[error("it is not known what runs beside the caller")]
    Unknown(#[from] KnowledgeError),
}

impl ImpersonationError {
    /// Whether the caller may still be in the right.
    pub fn is_undecided(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }

    /// A stable word for logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotTrusted => "impersonation",
            Self::NoPod => "impersonation_without_pod",
            Self::Id(_) | Self::Workload(_) => "impersonation_id",
            Self::TrustDomain => "impersonation_trust_domain",
            Self::Namespace => "impersonation_namespace",
            Self::NotWatched => "impersonation_not_watched",
            Self::CallerPod => "impersonation_caller_pod",
            Self::CallerNotRunning => "impersonation_caller_not_running",
            Self::NotOnNode => "impersonation_not_on_node",
            Self::NotEnrolled => "impersonation_not_enrolled",
            Self::Unknown(error) => error.reason(),
        }
    }
}

/// The identity `wanted`, if `caller` may have it at `now`.
pub(super) async fn impersonate(
    clusters: &Clusters,
    caller: &Caller,
    wanted: &str,
    now: Timestamp,
) -> Result<SpiffeId, ImpersonationError> {
    let cluster = trusting(clusters, caller).ok_or(ImpersonationError::NotTrusted)?;
    let (id, workload) = requested(cluster, wanted)?;
    let knowledge = cluster.knowledge().ok_or(ImpersonationError::NotWatched)?;
    let node = node_of(caller, knowledge, now).await?;
    let (namespace, account) = (workload.namespace.as_str(), workload.service_account.as_str());
    let is_stranger_there = AtomicBool::new(false);
    let suits = |pod: &PodObject| {
        let is_ours = pod.enrolled || !cluster.serves_enrolled_only();
        let may_be = may_be_served(pod, now);
        is_stranger_there.fetch_or(may_be && !is_ours, Ordering::Relaxed);
        may_be && is_ours
    };
    match knowledge.is_at(&node, namespace, account, now, suits).await? {
        true => Ok(id),
        false if is_stranger_there.into_inner() => Err(ImpersonationError::NotEnrolled),
        false => Err(ImpersonationError::NotOnNode),
    }
}

/// The caller's cluster, if it trusts the caller's service account with the identities of a node.
fn trusting<'a>(clusters: &'a Clusters, caller: &Caller) -> Option<&'a Cluster> {
    // By its own name: what the caller called it was resolved when the caller was identified.
    let cluster = clusters.named(Some(caller.cluster()?))?;
    let is_trusted = caller.workload().is_some_and(|workload| cluster.node_proxies().contains(workload));
    is_trusted.then_some(cluster)
}

/// What is asked for, as one clean id of a workload that the cluster may vouch for.
fn requested(cluster: &Cluster, wanted: &str) -> Result<(SpiffeId, WorkloadName), ImpersonationError> {
    let id: SpiffeId = wanted.parse()?;
    if !cluster.granted().holds(&id) {
        return Err(ImpersonationError::TrustDomain);
    }
    let workload = WorkloadName::from_spiffe_id(&id)?;
    if !cluster.vouches_for(&workload.namespace) {
        return Err(ImpersonationError::Namespace);
    }
    Ok((id, workload))
}

/// The node of the caller's own pod, which must be the pod that its token names, and run.
async fn node_of(caller: &Caller, knowledge: &Knowledge, now: Timestamp) -> Result<Box<str>, ImpersonationError> {
    let (Some(wanted), Some(workload)) = (caller.pod(), caller.workload()) else {
        return Err(ImpersonationError::NoPod);
    };
    let is_same = |pod: &PodObject| {
        *pod.uid == *wanted.uid
            && *pod.service_account == *workload.service_account.as_str()
            && caller.node().is_none_or(|node| pod.node.as_deref() == Some(node.name.as_str()))
    };
    let pod = knowledge.pod(workload.namespace.as_str(), &wanted.name, now, is_same).await?;
    let pod = pod.filter(|pod| is_same(pod)).ok_or(ImpersonationError::CallerPod)?;
    if pod.phase.is_over() || has_ended(pod.deleted_at, now) {
        return Err(ImpersonationError::CallerNotRunning);
    }
    pod.node.clone().ok_or(ImpersonationError::CallerPod)
}

/// Whether a pod may need its identity: it has not run to its end, and is not past its grace period.
fn may_be_served(pod: &PodObject, now: Timestamp) -> bool {
    !pod.phase.is_over() && !has_ended(pod.deleted_at, now)
}
