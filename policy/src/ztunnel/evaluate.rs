//! What ztunnel makes of a connection: its own evaluation, quirks included.

use std::net::IpAddr;

use super::{Authorization, Clause, Match, Pair, Rule};
use crate::identity::SCHEME;
use crate::model::Cidr;

/// A connection as ztunnel sees it.
#[derive(Debug, Clone, Copy)]
pub struct Connection<'a> {
    /// Who is at the other end; `None` for plaintext.
    pub identity: Option<Peer<'a>>,
    /// The address at the other end.
    pub source_ip: IpAddr,
    /// The pod's address.
    pub destination_ip: IpAddr,
    /// The pod's port.
    pub destination_port: u16,
}

/// An identity of five parts, the only kind that ztunnel takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer<'a> {
    /// Everything behind the scheme.
    pub name: &'a str,
    /// The part behind `ns`.
    pub namespace: &'a str,
    /// The part behind `sa`.
    pub service_account: &'a str,
}

impl<'a> Peer<'a> {
    /// Takes a SPIFFE id apart; `None` for one that ztunnel refuses to speak with. Empty parts pass, as they do there.
    pub fn parse(id: &'a str) -> Option<Self> {
        let name = id.strip_prefix(SCHEME)?;
        let mut parts = name.split('/');
        let (_, ns, namespace) = (parts.next()?, parts.next()?, parts.next()?);
        let (sa, service_account) = (parts.next()?, parts.next()?);
        (ns == "ns" && sa == "sa" && parts.next().is_none()).then_some(Self { name, namespace, service_account })
    }
}

impl Authorization {
    /// Whether a rule matches, whatever follows from that. Without rules none does.
    pub fn matches(&self, connection: &Connection<'_>) -> bool {
        self.matching_rule(connection).is_some()
    }

    /// The index of the first rule that matches.
    pub fn matching_rule(&self, connection: &Connection<'_>) -> Option<usize> {
        self.rules.iter().position(|rule| rule.matches(connection))
    }
}

impl Rule {
    fn matches(&self, connection: &Connection<'_>) -> bool {
        self.clauses.iter().all(|clause| clause.matches(connection))
    }
}

impl Clause {
    fn matches(&self, connection: &Connection<'_>) -> bool {
        self.matches.is_empty() || self.matches.iter().any(|found| found.matches(connection))
    }
}

impl Match {
    /// One that asks for nothing matches nothing.
    fn matches(&self, connection: &Connection<'_>) -> bool {
        let peer = connection.identity;
        // Who has no identity has an empty namespace, which a pattern may mean.
        let namespace = peer.map_or("", |peer| peer.namespace);
        !self.is_empty()
            && self.destination_ips.holds(|block| contains(block, connection.destination_ip))
            && self.source_ips.holds(|block| contains(block, connection.source_ip))
            && self.destination_ports.holds(|port| *port == connection.destination_port)
            && self.service_accounts.holds(|account| {
                peer.is_some_and(|peer| peer.namespace == &*account.namespace && peer.service_account == &*account.name)
            })
            && self.principals.holds(|pattern| peer.is_some_and(|peer| pattern.matches_non_empty(peer.name)))
            && self.namespaces.holds(|pattern| pattern.matches_non_empty(namespace))
    }

    fn is_empty(&self) -> bool {
        self.namespaces.is_empty()
            && self.service_accounts.is_empty()
            && self.principals.is_empty()
            && self.source_ips.is_empty()
            && self.destination_ips.is_empty()
            && self.destination_ports.is_empty()
    }
}

impl<T> Pair<T> {
    fn holds(&self, matches: impl Fn(&T) -> bool) -> bool {
        (self.any_of.is_empty() || self.any_of.iter().any(&matches)) && !self.none_of.iter().any(&matches)
    }

    fn is_empty(&self) -> bool {
        self.any_of.is_empty() && self.none_of.is_empty()
    }
}

fn contains(block: &Cidr, address: IpAddr) -> bool {
    block.contains(address)
}
