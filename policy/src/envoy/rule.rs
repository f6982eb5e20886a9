//! One rule as one policy of Envoy's.
//!
//! Where a value cannot be enforced (it speaks of HTTP in a chain of bytes, or it is no pattern), an ALLOW loses the
//! whole rule, so that it allows less; any other action loses the value, and with its last value the condition, so
//! that it matches more.

use super::node::Node;
use super::pattern;
use super::tree::{Permission, Policy, Principal};
use super::{Chain, RenderOptions};
use crate::model::{Action, Clause, Condition, Rule, StringPattern, Test, TrustDomainPattern, Values, When, Written};
use crate::trust_domain;

/// Values that one condition may grow to by rewriting it once for each `from`. Beyond it, a condition is rewritten no
/// more: what it means stays the same, only the size would not.
const REWRITTEN_VALUES_MAX: usize = 4096;

/// The rule cannot be enforced here, and must be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dropped;

/// What Envoy is told of `rule`.
pub(super) fn policy(rule: &Rule, action: Action, options: &RenderOptions<'_>) -> Result<Policy, Dropped> {
    let mut when: Vec<&Condition> = Vec::new();
    for item in &rule.when {
        match item {
            When::Known(condition) => when.push(condition),
            When::Unknown { .. } => return Err(Dropped),
        }
    }
    let (asked, asking): (Vec<&Condition>, Vec<&Condition>) =
        when.into_iter().partition(|condition| condition.test.field().is_permission());
    let writer = Writer { action, options, passes: rule.from.len().max(1) };
    Ok(Policy {
        permissions: entries(&rule.to, &asked, |condition, _| writer.permission(condition))?,
        principals: entries(&rule.from, &asking, |condition, shared| writer.principal(condition, shared))?,
    })
}

/// One entry for each clause, or one if there is none, each with the conditions of `when` behind its own.
fn entries<N: Node>(
    clauses: &[Clause],
    when: &[&Condition],
    write: impl Fn(&Condition, bool) -> Result<Vec<N>, Dropped>,
) -> Result<Vec<N>, Dropped> {
    let entry = |own: &[Condition]| {
        let mut nodes = Vec::new();
        for condition in own {
            nodes.extend(write(condition, false)?);
        }
        for condition in when {
            nodes.extend(write(condition, true)?);
        }
        Ok(N::all_of(if nodes.is_empty() { vec![N::any()] } else { nodes }))
    };
    match clauses {
        [] => Ok(vec![entry(&[])?]),
        clauses => clauses.iter().map(|clause| entry(&clause.conditions)).collect(),
    }
}

/// Writes conditions for one action and one chain.
struct Writer<'a> {
    action: Action,
    options: &'a RenderOptions<'a>,
    /// How often conditions that every `from` shares are rewritten by Istio.
    passes: usize,
}

impl Writer<'_> {
    fn permission(&self, condition: &Condition) -> Result<Vec<Permission>, Dropped> {
        if let Some(nodes) = self.without_http(condition)? {
            return Ok(nodes);
        }
        let header = |name: &str, any_case, pattern: &StringPattern| {
            Permission::Header(pattern::header(name, pattern, any_case))
        };
        match &condition.test {
            Test::Host(values) => self.each(values, |pattern| header(":authority", true, pattern)),
            Test::Method(values) => self.each(values, |pattern| header(":method", false, pattern)),
            Test::Path(values) => self.each(values, pattern::path),
            Test::DestinationPort(values) => self.each(values, |port| Permission::DestinationPort((*port).into())),
            Test::DestinationIp(values) => self.each(values, |cidr| Permission::DestinationIp(pattern::cidr(*cidr))),
            Test::Sni(values) => self.each(values, |name| Permission::RequestedServerName(pattern::string(name))),
            Test::Metadata { filter, key, values } => {
                self.together(values, |patterns| pattern::metadata(filter, key, patterns))
            }
            _ => Ok(Vec::new()),
        }
    }

    fn principal(&self, condition: &Condition, shared: bool) -> Result<Vec<Principal>, Dropped> {
        if let Some(nodes) = self.without_http(condition)? {
            return Ok(nodes);
        }
        let identity = |matcher| pattern::identity(matcher, self.options.identity_in_filter_state);
        match &condition.test {
            Test::Principal(values) => {
                let values = self.replaced(values, if shared { self.passes } else { 1 });
                Ok(both(&values, |name| identity(pattern::principal(name)), Node::one_of))
            }
            Test::TrustDomain(values) => {
                let values = self.expanded(values)?;
                Ok(both(&values, |domain| identity(pattern::trust_domain(domain)), Node::one_of))
            }
            Test::RequestPrincipal(values) => self.together(values, |patterns| {
                let pair = |pattern: &&crate::model::RequestPrincipal| {
                    let issuer = pattern::claim_string("iss", &pattern.issuer);
                    Principal::all_of(vec![issuer, pattern::claim_string("sub", &pattern.subject)])
                };
                match patterns {
                    [only] => pair(only),
                    several => Principal::one_of(several.iter().map(pair).collect()),
                }
            }),
            Test::ServiceAccount(values) => self.each(values, |account| identity(pattern::service_account(account))),
            Test::Namespace(values) => self.each(values, |glob| identity(pattern::namespace(glob))),
            Test::RemoteIp(values) => self.each(values, |cidr| Principal::RemoteIp(pattern::cidr(*cidr))),
            Test::SourceIp(values) => self.each(values, |cidr| Principal::DirectRemoteIp(pattern::cidr(*cidr))),
            Test::Header(name, values) => {
                self.each(values, |pattern| Principal::Header(pattern::header(name, pattern, false)))
            }
            Test::Claim(names, values) => self.together(values, |patterns| pattern::claim(names, patterns)),
            _ => Ok(Vec::new()),
        }
    }

    /// What becomes of a condition on HTTP where there is none: nothing at all, or no rule.
    fn without_http<N>(&self, condition: &Condition) -> Result<Option<Vec<N>>, Dropped> {
        let test = &condition.test;
        if self.options.chain == Chain::Http || !test.field().needs_http() || test.is_empty() {
            return Ok(None);
        }
        if self.action == Action::Allow { Err(Dropped) } else { Ok(Some(Vec::new())) }
    }

    /// A node for each value, of which one must match; then one for the negated values.
    fn each<T, N: Node>(&self, values: &Values<T>, node: impl Fn(&T) -> N) -> Result<Vec<N>, Dropped> {
        Ok(both(&self.usable(values)?, |pattern| node(pattern), Node::one_of))
    }

    /// One node for all values; then one for the negated values.
    fn together<T, N: Node>(&self, values: &Values<T>, node: impl Fn(&[&T]) -> N) -> Result<Vec<N>, Dropped> {
        let usable = self.usable(values)?;
        let positive = (!usable.any_of.is_empty()).then(|| node(&usable.any_of));
        let negative = (!usable.none_of.is_empty()).then(|| N::not(node(&usable.none_of)));
        Ok(positive.into_iter().chain(negative).collect())
    }

    /// The values that are patterns.
    fn usable<'v, T>(&self, values: &'v Values<T>) -> Result<Lists<&'v T>, Dropped> {
        let usable = |list: &'v [Written<T>]| {
            let patterns: Vec<&T> = list.iter().filter_map(|written| written.pattern.as_ref().ok()).collect();
            let all = patterns.len() == list.len();
            if all || self.action != Action::Allow { Ok(patterns) } else { Err(Dropped) }
        };
        Ok(Lists { any_of: usable(&values.any_of)?, none_of: usable(&values.none_of)? })
    }

    /// Names in every trust domain of the mesh.
    fn replaced(&self, values: &Values<StringPattern>, passes: usize) -> Lists<StringPattern> {
        let list = |list: &[Written<StringPattern>]| {
            let mut names: Vec<String> = list.iter().map(|written| written.text.to_string()).collect();
            for _ in 0..passes {
                if names.len() > REWRITTEN_VALUES_MAX {
                    break;
                }
                names = names.iter().flat_map(|name| trust_domain::replace(name, self.options.trust_domains)).collect();
            }
            names.iter().map(|name| StringPattern::parse(name)).collect()
        };
        Lists { any_of: list(&values.any_of), none_of: list(&values.none_of) }
    }

    /// Trust domains with those that mean the same.
    fn expanded(&self, values: &Values<TrustDomainPattern>) -> Result<Lists<StringPattern>, Dropped> {
        self.usable(values)?;
        let list = |list: &[Written<TrustDomainPattern>]| {
            let usable = list.iter().filter(|written| written.pattern.is_ok());
            let texts: Vec<&str> = usable.map(|written| &*written.text).collect();
            let all = trust_domain::expand(&texts, self.options.trust_domains);
            all.iter().map(|domain| StringPattern::parse(domain)).collect()
        };
        Ok(Lists { any_of: list(&values.any_of), none_of: list(&values.none_of) })
    }
}

/// What is left of the two lists of a condition.
struct Lists<T> {
    any_of: Vec<T>,
    none_of: Vec<T>,
}

fn both<T, N: Node>(lists: &Lists<T>, node: impl Fn(&T) -> N, join: impl Fn(Vec<N>) -> N) -> Vec<N> {
    let joined = |list: &[T]| (!list.is_empty()).then(|| join(list.iter().map(&node).collect()));
    joined(&lists.any_of).into_iter().chain(joined(&lists.none_of).map(N::not)).collect()
}
