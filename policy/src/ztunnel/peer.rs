//! PeerAuthentication as ztunnel gets it: refusals of callers without identity.
//!
//! A workload that wants mutual TLS on every port lists one policy that all such workloads share. One that wants it on
//! some ports lists a policy of its own. DISABLE is PERMISSIVE here.

use super::{Authorization, Clause, Match, Pair, Rule, Scope};
use crate::model::{Labels, Mode, PeerAuthentication, StringPattern};

/// The name of the policy that refuses every caller without identity, in the root namespace.
pub const STATIC_STRICT: &str = "istio_converted_static_strict";
/// What the name of a policy for chosen ports begins with.
const CONVERTED: &str = "converted_peer_authentication_";

/// The policy that every workload with mutual TLS on all ports lists. It is sent as soon as there is any
/// PeerAuthentication.
pub fn static_strict(root_namespace: &str) -> Authorization {
    refusal(STATIC_STRICT.to_owned(), root_namespace, vec![Rule { clauses: vec![strict()] }])
}

/// What ztunnel gets of one PeerAuthentication among all of them; `None` where nothing of its own.
pub fn converted_peer(
    policy: &PeerAuthentication,
    all: &[PeerAuthentication],
    root_namespace: &str,
) -> Option<Authorization> {
    let own = &*policy.meta.namespace;
    if own == root_namespace || policy.selector.is_none() || policy.ports.is_empty() {
        return None;
    }
    let unselected =
        |wanted: &str| oldest(all.iter().filter(|other| other.selector.is_none() && *other.meta.namespace == *wanted));
    let above = Above {
        mesh_is_strict: unselected(root_namespace).and_then(mode) == Some(Mode::Strict),
        namespace: unselected(own).map(mode),
    };
    let own_mode = mode(policy);
    let mut rules = Vec::new();
    let mut exception: Vec<Clause> = (own_mode == Some(Mode::Strict)).then(strict).into_iter().collect();
    let mut excepts = false;
    for entry in &policy.ports {
        let Ok(port) = u16::try_from(entry.port.value) else { continue };
        if entry.mode == Some(Mode::Strict) && !above.covers_strict(own_mode) {
            let ports = Pair { any_of: vec![port], none_of: Vec::new() };
            let only = Match { destination_ports: ports, ..plaintext() };
            rules.push(Rule { clauses: vec![Clause { matches: vec![only] }] });
        } else if matches!(entry.mode, Some(Mode::Permissive | Mode::Disable)) && !above.covers_permissive(own_mode) {
            let ports = Pair { any_of: Vec::new(), none_of: vec![port] };
            let other = Match { destination_ports: ports, ..Match::default() };
            exception.push(Clause { matches: vec![other] });
            excepts = true;
        }
    }
    if excepts {
        exception.extend(above.is_strict().then(strict));
        rules.push(Rule { clauses: exception });
    }
    (!rules.is_empty()).then(|| refusal(format!("{CONVERTED}{}", policy.meta.name), own, rules))
}

/// What the mesh and the namespace say.
struct Above {
    mesh_is_strict: bool,
    /// Of the namespace's policy, if there is one: its mode.
    namespace: Option<Option<Mode>>,
}

impl Above {
    fn is_strict(&self) -> bool {
        self.namespace.flatten().map_or(self.mesh_is_strict, |mode| mode == Mode::Strict)
    }

    /// Whether a STRICT port needs no rule of its own. That the policy's own mode is not looked at when the mesh is
    /// strict is Istio's oversight.
    fn covers_strict(&self, own: Option<Mode>) -> bool {
        let by_namespace = own.is_none() && self.namespace.flatten() == Some(Mode::Strict);
        let by_mesh = self.namespace.flatten().is_none() && self.mesh_is_strict;
        own == Some(Mode::Strict) || by_namespace || by_mesh
    }

    /// Whether a port that is not strict needs no exception. A namespace policy that is there and UNSET counts as one
    /// that is not strict: an oversight too.
    fn covers_permissive(&self, own: Option<Mode>) -> bool {
        let by_parent = match self.namespace {
            Some(mode) => mode != Some(Mode::Strict),
            None => !self.mesh_is_strict,
        };
        own.map_or(by_parent, |mode| mode != Mode::Strict)
    }
}

/// The policy, as `NAMESPACE/NAME`, that a workload lists because of PeerAuthentications; nothing where plaintext is
/// welcome. Whether a policy of that name is ever sent is another question: see [`converted_peer`].
pub fn peer_reference(
    all: &[PeerAuthentication],
    root_namespace: &str,
    namespace: &str,
    labels: &Labels,
) -> Option<String> {
    let level =
        |wanted: &str| oldest(all.iter().filter(|policy| !policy.selects() && *policy.meta.namespace == *wanted));
    let mesh = level(root_namespace).and_then(mode);
    let in_namespace = if namespace == root_namespace { None } else { level(namespace).and_then(mode) };
    let parent_is_strict = in_namespace.or(mesh) == Some(Mode::Strict);
    let chosen = |policy: &&PeerAuthentication| {
        let selector = policy.selector.as_ref().filter(|_| policy.selects());
        selector.is_some_and(|selector| selector.labels.is_subset_of(labels))
    };
    let in_reach = all.iter().filter(|policy| *policy.meta.namespace == *namespace && namespace != root_namespace);
    let workload = oldest(in_reach.filter(chosen));
    let mode = workload.and_then(mode);
    let some_port = |wanted: &[Mode]| {
        workload.is_some_and(|policy| {
            policy.ports.iter().any(|entry| entry.mode.is_some_and(|mode| wanted.contains(&mode)))
        })
    };
    let is_converted = match (mode, parent_is_strict) {
        (Some(Mode::Strict), _) => some_port(&[Mode::Permissive, Mode::Disable]),
        (Some(_), _) | (None, false) => some_port(&[Mode::Strict]),
        // DISABLE is not looked for here.
        (None, true) => some_port(&[Mode::Permissive]),
    };
    let is_strict = mode.map_or(parent_is_strict, |mode| mode == Mode::Strict);
    match workload.filter(|_| is_converted) {
        Some(policy) => Some(format!("{namespace}/{CONVERTED}{}", policy.meta.name)),
        None => is_strict.then(|| format!("{root_namespace}/{STATIC_STRICT}")),
    }
}

fn mode(policy: &PeerAuthentication) -> Option<Mode> {
    policy.mode.as_ref().map(|mode| mode.value)
}

fn oldest<'p>(policies: impl Iterator<Item = &'p PeerAuthentication>) -> Option<&'p PeerAuthentication> {
    policies.min_by_key(|policy| policy.meta.created)
}

/// Callers without identity.
fn plaintext() -> Match {
    let principals = Pair { any_of: Vec::new(), none_of: vec![StringPattern::Presence] };
    Match { principals, ..Match::default() }
}

fn strict() -> Clause {
    Clause { matches: vec![plaintext()] }
}

fn refusal(name: String, namespace: &str, rules: Vec<Rule>) -> Authorization {
    Authorization {
        name,
        namespace: namespace.to_owned(),
        scope: Scope::WorkloadSelector,
        denies: true,
        rules,
        dry_run: false,
    }
}
