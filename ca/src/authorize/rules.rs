//! The operator's rules about what is issued to whom.
//!
//! Pure. A rule says whom it is about and what it takes away: everything, or life. Every rule that is about a request
//! holds for it, whatever their order, so one more rule can only make less of what is issued.

use std::time::Duration;

use signet_identity::{KeyAlgorithm, Timestamp, WorkloadName};

use super::Grant;
use crate::authenticate::{AuthenticatorKind, Caller};
use crate::patterns::{NamePattern, any_matches};
use crate::profile::KeyKind;

/// Whom a rule is about, and what it takes away. Conditions that are left empty are met by everything.
#[derive(Debug, Clone, Default)]
pub struct IssuanceRule {
    /// The granted identity's namespace is one of these.
    pub namespaces: Vec<NamePattern>,
    /// The granted identity's namespace is none of these.
    pub except_namespaces: Vec<NamePattern>,
    /// The granted identity's service account is one of these.
    pub service_accounts: Vec<NamePattern>,
    /// The caller's cluster is one of these.
    pub clusters: Vec<NamePattern>,
    /// The caller's node is one of these.
    pub nodes: Vec<NamePattern>,
    /// The key in the request is of one of these kinds.
    pub keys: Vec<KeyKind>,
    /// One of these vouched for the caller, or may have before its certificate did.
    pub authenticators: Vec<AuthenticatorKind>,
    /// Nothing is issued.
    pub deny: bool,
    /// The longest life.
    pub max_ttl: Option<Duration>,
}

/// A rule forbids it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`rules[{number}]` does not allow it")]
pub struct Forbidden {
    /// Which rule, counted from zero as in messages about settings.
    pub number: usize,
}

/// What the rules leave of a grant. Only this module makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    max_ttl: Option<Duration>,
    known_since: Option<Timestamp>,
    ends_at: Option<Timestamp>,
}

impl Limits {
    /// The longest life, if a rule says so.
    pub fn max_ttl(&self) -> Option<Duration> {
        self.max_ttl
    }

    /// Since when the caller is known, if its certificate may be renewed by itself.
    pub fn known_since(&self) -> Option<Timestamp> {
        self.known_since
    }

    /// When the certificate ends at the latest, whatever was asked for.
    pub fn ends_at(&self) -> Option<Timestamp> {
        self.ends_at
    }

    /// The same for a certificate that may be renewed by itself until `max_age` after `known_since`, and that does not
    /// outlive that if it is itself such a renewal.
    pub(super) fn renewable(self, known_since: Option<Timestamp>, max_age: Duration, now: Timestamp) -> Self {
        let ends_at = known_since.map(|since| since.plus(max_age));
        Self { known_since: Some(known_since.unwrap_or(now)), ends_at, ..self }
    }
}

impl IssuanceRule {
    fn is_about(&self, caller: &Caller, workload: Option<&WorkloadName>, key: Option<KeyAlgorithm>) -> bool {
        let namespace = workload.map(|workload| workload.namespace.as_str());
        let account = workload.map(|workload| workload.service_account.as_str());
        let node = caller.node().map(|node| node.name.as_str());
        // A certificate does not say where its holder lives, nor how it was first identified. A rule about one place or
        // one way is about whoever may be there or may have come so.
        let by_certificate = caller.authenticator() == AuthenticatorKind::ClientCertificate;
        let is_place_met =
            |patterns: &[NamePattern], name: Option<&str>| is_met(patterns, name) || (by_certificate && name.is_none());
        is_met(&self.namespaces, namespace)
            && !namespace.is_some_and(|name| any_matches(&self.except_namespaces, name))
            && is_met(&self.service_accounts, account)
            && is_place_met(&self.clusters, caller.cluster())
            && is_place_met(&self.nodes, node)
            && (self.authenticators.is_empty()
                || by_certificate
                || self.authenticators.contains(&caller.authenticator()))
            && (self.keys.is_empty() || key.is_some_and(|key| self.keys.contains(&KeyKind::of(key))))
    }
}

fn is_met(patterns: &[NamePattern], name: Option<&str>) -> bool {
    patterns.is_empty() || name.is_some_and(|name| any_matches(patterns, name))
}

/// What `rules` leave of `grant`, for a certificate with `key` or for something without one.
pub(super) fn limits(
    rules: &[IssuanceRule],
    caller: &Caller,
    grant: &Grant,
    key: Option<KeyAlgorithm>,
) -> Result<Limits, Forbidden> {
    let mut max_ttl: Option<Duration> = None;
    if rules.is_empty() {
        return Ok(Limits { max_ttl, known_since: None, ends_at: None });
    }
    let workload = WorkloadName::from_spiffe_id(grant.id()).ok();
    for (number, rule) in rules.iter().enumerate() {
        if rule.is_about(caller, workload.as_ref(), key) {
            if rule.deny {
                return Err(Forbidden { number });
            }
            max_ttl = max_ttl.into_iter().chain(rule.max_ttl).min();
        }
    }
    Ok(Limits { max_ttl, known_since: None, ends_at: None })
}
