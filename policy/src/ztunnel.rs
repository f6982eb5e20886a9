//! What policies become in ztunnel, the node's proxy that sees connections only.
//!
//! ztunnel has one message for both AuthorizationPolicy and PeerAuthentication. What it cannot see is dropped by
//! rules of its own, which are not those of Envoy: see `authorization`. Modes of mutual TLS become refusals of
//! plaintext: see `peer`. Both are Istio's to the letter, known defects included; findings about them belong to checks.
//! `evaluate` matches as ztunnel does, `verdict` decides in its order.

mod authorization;
mod evaluate;
mod form;
mod peer;
mod verdict;

pub use authorization::{Refused, authorization};
pub use evaluate::{Connection, Peer};
pub use peer::{STATIC_STRICT, converted_peer, peer_reference, static_strict};
pub use verdict::{Answer, Known};

use crate::model::{Cidr, ServiceAccountPattern, StringPattern};

/// `istio.security.Authorization`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// Name of the policy.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Whom it is for.
    pub scope: Scope,
    /// Whether a match refuses; else it lets through.
    pub denies: bool,
    /// One of them must match.
    pub rules: Vec<Rule>,
    /// Whether it is only logged.
    pub dry_run: bool,
}

/// Whom an [`Authorization`] is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Every workload.
    Global,
    /// Every workload of its namespace.
    Namespace,
    /// Workloads that list it by name.
    WorkloadSelector,
}

/// Every clause must match; without any it matches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// The clauses.
    pub clauses: Vec<Clause>,
}

/// One of the matches must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clause {
    /// The matches.
    pub matches: Vec<Match>,
}

/// Six pairs of lists, each of which must hold. One without any values never matches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Match {
    /// On the namespace of the caller.
    pub namespaces: Pair<StringPattern>,
    /// On its service account.
    pub service_accounts: Pair<ServiceAccountPattern>,
    /// On its identity, without scheme.
    pub principals: Pair<StringPattern>,
    /// On its address.
    pub source_ips: Pair<Cidr>,
    /// On the address of the destination.
    pub destination_ips: Pair<Cidr>,
    /// On its port.
    pub destination_ports: Pair<u16>,
}

/// Values of which one must match, and values of which none may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair<T> {
    /// One must match, if there are any.
    pub any_of: Vec<T>,
    /// None may match.
    pub none_of: Vec<T>,
}

impl<T> Default for Pair<T> {
    fn default() -> Self {
        Self { any_of: Vec::new(), none_of: Vec::new() }
    }
}
