//! AuthorizationPolicy as ztunnel gets it.
//!
//! What ztunnel cannot see drops the rule from an ALLOW, which then allows less. From a DENY it drops the condition
//! alone; but a `source`, `operation` or `when` that has no condition left matches nothing, so the rule refuses nothing.
//! That is the opposite of what Envoy does with the same rule where it sees bytes only.

use super::{Authorization, Clause, Match, Pair, Rule, Scope};
use crate::model::{self, Action, AuthorizationPolicy, Condition, Field, Test, Values, When};

/// Why ztunnel gets nothing of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Refused {
    /// It is for a gateway or a service, and so for waypoints.
    #[error("a policy with target references is for gateways and waypoints")]
    Targeted,
    /// AUDIT or CUSTOM.
    #[error("ztunnel has no action {0}")]
    Action(Action),
    /// A dry run, and ztunnel would enforce it.
    #[error("dry runs are not sent to ztunnel")]
    DryRun,
}

/// What ztunnel gets of a policy. `dry_runs` is whether the mesh sends those too.
///
/// # Errors
/// Why it gets nothing.
pub fn authorization(
    policy: &AuthorizationPolicy,
    root_namespace: &str,
    dry_runs: bool,
) -> Result<Authorization, Refused> {
    if !policy.target.references.is_empty() {
        return Err(Refused::Targeted);
    }
    let denies = match policy.action {
        Action::Allow => false,
        Action::Deny => true,
        action => return Err(Refused::Action(action)),
    };
    if policy.is_dry_run() && !dry_runs {
        return Err(Refused::DryRun);
    }
    let scope = match policy.target.selector {
        Some(_) => Scope::WorkloadSelector,
        None if *policy.meta.namespace == *root_namespace => Scope::Global,
        None => Scope::Namespace,
    };
    Ok(Authorization {
        name: policy.meta.name.to_string(),
        namespace: policy.meta.namespace.to_string(),
        scope,
        denies,
        rules: policy.rules.iter().flatten().filter_map(|written| rule(written, denies)).collect(),
        dry_run: policy.is_dry_run(),
    })
}

/// One rule; nothing where an ALLOW asks for something that ztunnel cannot see.
fn rule(written: &model::Rule, denies: bool) -> Option<Rule> {
    let conditions = || written.to.iter().chain(&written.from).flat_map(|clause| &clause.conditions);
    let drops = conditions().any(|condition| !is_seen(condition.test.field()));
    let drops = drops || written.when.iter().any(|when| !is_seen_when(when));
    if drops && !denies {
        return None;
    }
    let clause = |clauses: &[model::Clause]| {
        let matches: Vec<Match> = clauses.iter().map(|clause| all(clause.conditions.iter())).collect();
        (!matches.is_empty()).then_some(Clause { matches })
    };
    let when = written.when.iter().map(|when| {
        let seen = match when {
            When::Known(condition) if is_seen_when(when) => Some(condition),
            _ => None,
        };
        Clause { matches: vec![all(seen.into_iter())] }
    });
    let clauses = clause(&written.to).into_iter().chain(clause(&written.from)).chain(when);
    Some(Rule { clauses: clauses.collect() })
}

/// Whether ztunnel sees what a field of `source` or `operation` asks for. Trust domains it does not, but nobody told
/// the control plane: they are left out as if they had not been asked for.
fn is_seen(field: Field) -> bool {
    !field.needs_http() && field != Field::RemoteIp
}

/// The same for `when`, of which fewer keys are known there.
fn is_seen_when(when: &When) -> bool {
    use Field::{DestinationIp, DestinationPort, Namespace, Principal, SourceIp};
    match when {
        When::Known(condition) => {
            matches!(condition.test.field(), DestinationIp | DestinationPort | Namespace | Principal | SourceIp)
        }
        When::Unknown { .. } => false,
    }
}

/// Everything that ztunnel sees of some conditions.
fn all<'c>(conditions: impl Iterator<Item = &'c Condition>) -> Match {
    let mut found = Match::default();
    for condition in conditions {
        match &condition.test {
            Test::Namespace(values) => found.namespaces = pair(values, |glob| glob.plain().clone()),
            Test::Principal(values) => found.principals = pair(values, Clone::clone),
            Test::ServiceAccount(values) => found.service_accounts = pair(values, Clone::clone),
            Test::SourceIp(values) => found.source_ips = pair(values, |cidr| *cidr),
            Test::DestinationIp(values) => found.destination_ips = pair(values, |cidr| *cidr),
            Test::DestinationPort(values) => found.destination_ports = pair(values, |port| *port),
            _ => {}
        }
    }
    found
}

/// The values that are patterns; others are lost on the way.
fn pair<T, U>(values: &Values<T>, map: impl Fn(&T) -> U) -> Pair<U> {
    let usable = |list: &[model::Written<T>]| {
        list.iter().filter_map(|written| written.pattern.as_ref().ok()).map(&map).collect()
    };
    Pair { any_of: usable(&values.any_of), none_of: usable(&values.none_of) }
}
