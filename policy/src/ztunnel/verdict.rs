//! What ztunnel decides for a workload: which Authorizations it knows and looks up there, and their order.

use super::evaluate::Connection;
use super::{Authorization, Refused, Scope, authorization, converted_peer, peer_reference, static_strict};
use crate::model::{Labels, PeerAuthentication, World};
use crate::select::{Destination, Point, Selection, Switches};

/// Everything that ztunnel was sent, and what one workload lists by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// Every policy, of every namespace.
    pub sent: Vec<Authorization>,
    /// `NAMESPACE/NAME` of those that the workload lists.
    pub listed: Vec<String>,
    /// Policies by their index in [`World::authorization`] that reach the workload and were not sent.
    pub refused: Vec<(usize, Refused)>,
}

/// What ztunnel decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<'k> {
    /// Whether the connection lives.
    pub allowed: bool,
    /// The policy that decided; `None` for the default.
    pub by: Option<&'k Authorization>,
    /// Names that the workload lists and nobody sent. ztunnel passes over them, though one may be a refusal.
    pub unknown: Vec<&'k str>,
    /// Dry runs that match; they never decide.
    pub dry_runs: Vec<&'k Authorization>,
}

impl Known {
    /// What ztunnel knows when a mesh has these policies, for a workload with these labels.
    pub fn new(world: &World, switches: Switches, destination: &Destination) -> Self {
        let root = &*world.mesh.root_namespace;
        let selection = Selection { root_namespace: root, switches, destination, point: Point::Ztunnel };
        let mut known = Self::default();
        for (index, policy) in selection.select(&world.authorization) {
            match authorization(policy, root, switches.ztunnel_dry_run) {
                Ok(sent) => known.take(sent),
                Err(why) => known.refused.push((index, why)),
            }
        }
        known.peers(&world.peer, root, &destination.namespace, &destination.labels);
        known
    }

    fn take(&mut self, sent: Authorization) {
        if sent.scope == Scope::WorkloadSelector {
            self.listed.push(format!("{}/{}", sent.namespace, sent.name));
        }
        self.sent.push(sent);
    }

    /// Adds what PeerAuthentications become. A name may be listed that nobody sends: Istio does that.
    pub fn peers(&mut self, all: &[PeerAuthentication], root: &str, namespace: &str, labels: &Labels) {
        if !all.is_empty() {
            self.sent.push(static_strict(root));
        }
        self.sent.extend(all.iter().filter_map(|policy| converted_peer(policy, all, root)));
        self.listed.extend(peer_reference(all, root, namespace, labels));
    }

    /// Decides one connection to a workload in `namespace`.
    pub fn decide(&self, namespace: &str, connection: &Connection<'_>) -> Answer<'_> {
        let (dry_runs, enforced): (Vec<_>, Vec<_>) =
            self.sent.iter().filter(|sent| self.applies(sent, namespace)).partition(|sent| sent.dry_run);
        let matching =
            |denies: bool| enforced.iter().copied().find(|sent| sent.denies == denies && sent.matches(connection));
        let (allowed, by) = match (matching(true), matching(false)) {
            (Some(refusal), _) => (false, Some(refusal)),
            (None, Some(permission)) => (true, Some(permission)),
            (None, None) => (enforced.iter().all(|sent| sent.denies), None),
        };
        let dry_runs = dry_runs.into_iter().filter(|sent| sent.matches(connection)).collect();
        Answer { allowed, by, unknown: self.unknown(), dry_runs }
    }

    fn applies(&self, sent: &Authorization, namespace: &str) -> bool {
        match sent.scope {
            Scope::Global => true,
            Scope::Namespace => sent.namespace == namespace,
            Scope::WorkloadSelector => self.listed.iter().any(|name| is_named(sent, name)),
        }
    }

    fn unknown(&self) -> Vec<&str> {
        let known = |name: &&String| self.sent.iter().any(|sent| is_named(sent, name));
        self.listed.iter().filter(|name| !known(name)).map(String::as_str).collect()
    }
}

fn is_named(sent: &Authorization, name: &str) -> bool {
    name.split_once('/') == Some((&sent.namespace, &sent.name))
}
