//! PeerAuthentication put together: which connections a workload accepts on each port, who decided that, and who was
//! overruled and why.
//!
//! This is what sidecars and gateways do. What ztunnel is told differs; `ztunnel` has that, and compares.

use crate::model::{Labels, Mode, PeerAuthentication};

/// What holds for a workload whose mesh says nothing.
const DEFAULT: Mode = Mode::Permissive;

/// The modes of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective<'a> {
    /// For every port that `ports` does not name.
    pub mode: Mode,
    /// The policy whose mode that is; `None` for the default.
    pub decided_by: Option<&'a PeerAuthentication>,
    /// Ports of the workload (not of a service) with a mode of their own, rising.
    pub ports: Vec<PortEffective<'a>>,
    /// Policies that reach the workload and do not count, or not fully.
    pub overruled: Vec<Overruled<'a>>,
}

/// The mode of one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortEffective<'a> {
    /// The workload's port.
    pub port: u32,
    /// Its mode.
    pub mode: Mode,
    /// The policy that names the port.
    pub decided_by: &'a PeerAuthentication,
}

/// A policy that does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overruled<'a> {
    /// The policy.
    pub policy: &'a PeerAuthentication,
    /// Why.
    pub why: Why<'a>,
}

/// Why a policy does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why<'a> {
    /// There is an older one of the same reach.
    Younger(&'a PeerAuthentication),
    /// One of narrower reach has a mode.
    Narrower(&'a PeerAuthentication),
    /// It has no mode, so what is wider holds.
    Unset,
    /// A selector in the root namespace selects nothing, not even there.
    SelectorInRoot,
    /// Its ports do not count, since it has no selector.
    PortsWithoutSelector,
}

impl Effective<'_> {
    /// The mode of a port.
    pub fn at(&self, port: u16) -> Mode {
        let found = self.ports.binary_search_by_key(&u32::from(port), |entry| entry.port).ok();
        found.and_then(|index| self.ports.get(index)).map_or(self.mode, |entry| entry.mode)
    }

    /// Whether a connection without certificate is accepted on a port.
    pub fn accepts_plaintext(&self, port: u16) -> bool {
        self.at(port) != Mode::Strict
    }

    /// Whether a connection with one is, so that its caller has an identity.
    pub fn accepts_mutual_tls(&self, port: u16) -> bool {
        self.at(port) != Mode::Disable
    }
}

/// How far a policy reaches, from wide to narrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Mesh,
    Namespace,
    Workload,
}

/// The modes of a workload with these labels in `namespace`. Policies that do not reach it are not looked at.
pub fn effective<'a>(
    policies: &'a [PeerAuthentication],
    root_namespace: &str,
    namespace: &str,
    labels: &Labels,
) -> Effective<'a> {
    let mut overruled = Vec::new();
    let mut candidates: Vec<(Reach, &PeerAuthentication)> = Vec::new();
    for policy in policies {
        match reach(policy, root_namespace, namespace, labels) {
            Some(Ok(reach)) => candidates.push((reach, policy)),
            Some(Err(why)) => overruled.push(Overruled { policy, why }),
            None => {}
        }
    }
    candidates.sort_by(|left, right| (left.0, left.1.meta.age()).cmp(&(right.0, right.1.meta.age())));
    let mut winners: Vec<(Reach, &PeerAuthentication)> = Vec::new();
    for (reach, policy) in candidates {
        match winners.last() {
            Some((same, winner)) if *same == reach => overruled.push(Overruled { policy, why: Why::Younger(winner) }),
            _ => winners.push((reach, policy)),
        }
    }
    let decided_by = winners.iter().rev().map(|(_, policy)| *policy).find(|policy| policy.mode.is_some());
    let mode = decided_by.and_then(|policy| policy.mode.as_ref()).map_or(DEFAULT, |mode| mode.value);
    overruled.extend(winners.iter().filter_map(|(reach, policy)| losing(*reach, policy, decided_by)));
    let narrowest = winners.last().filter(|(reach, _)| *reach == Reach::Workload).map(|(_, policy)| *policy);
    Effective { mode, decided_by, ports: narrowest.map(|policy| ports(policy, mode)).unwrap_or_default(), overruled }
}

/// How far a policy reaches; `None` when it does not reach the workload, an error when it says it does and does not.
fn reach<'a>(
    policy: &PeerAuthentication,
    root_namespace: &str,
    namespace: &str,
    labels: &Labels,
) -> Option<Result<Reach, Why<'a>>> {
    let selected = policy.selector.as_ref().is_none_or(|selector| selector.labels.is_subset_of(labels));
    let in_root = &*policy.meta.namespace == root_namespace;
    match (in_root, policy.selects()) {
        (true, true) => selected.then_some(Err(Why::SelectorInRoot)),
        (true, false) => Some(Ok(Reach::Mesh)),
        (false, _) if &*policy.meta.namespace != namespace || !selected => None,
        (false, true) => Some(Ok(Reach::Workload)),
        (false, false) => Some(Ok(Reach::Namespace)),
    }
}

fn losing<'a>(
    reach: Reach,
    policy: &'a PeerAuthentication,
    decided_by: Option<&'a PeerAuthentication>,
) -> Option<Overruled<'a>> {
    let why = match decided_by {
        _ if reach != Reach::Workload && !policy.ports.is_empty() => Why::PortsWithoutSelector,
        Some(winner) if std::ptr::eq(winner, policy) => return None,
        _ if policy.mode.is_none() && policy.ports.is_empty() => Why::Unset,
        Some(winner) if policy.mode.is_some() => Why::Narrower(winner),
        _ => return None,
    };
    Some(Overruled { policy, why })
}

fn ports(policy: &PeerAuthentication, mode: Mode) -> Vec<PortEffective<'_>> {
    let entry = |port: &crate::model::PortMode| PortEffective {
        port: port.port.value,
        mode: port.mode.unwrap_or(mode),
        decided_by: policy,
    };
    policy.ports.iter().map(entry).collect()
}

#[cfg(test)]
mod tests;
