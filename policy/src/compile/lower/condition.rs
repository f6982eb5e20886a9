//! From a test of the model to the checks of a point: at most one that must match, and one that must not.

use super::super::set::StringSet;
use super::super::{Check, Matcher};
use crate::model::{
    Action, AuthorizationPolicy, Field, StringPattern, Test, TrustDomainPattern, Values, World, Written,
};
use crate::select::Point;
use crate::trust_domain;

/// What lowering depends on.
#[derive(Clone, Copy)]
pub(crate) struct Lowering<'a> {
    /// The mesh's trust domain and its aliases.
    bundle: &'a [Box<str>],
    sees_http: bool,
    action: Action,
}

impl<'a> Lowering<'a> {
    /// Of a policy at a point.
    pub(crate) fn new(world: &'a World, point: Point, policy: &AuthorizationPolicy) -> Self {
        Self { bundle: &world.mesh.trust_domains, sees_http: point.sees_http(), action: policy.action }
    }

    /// Whether what cannot be enforced takes the whole rule with it, so that it allows less.
    pub(crate) fn drops_rules(&self) -> bool {
        self.action == Action::Allow
    }

    /// Whether the point does not see this attribute.
    pub(crate) fn is_unseen(&self, field: Field) -> bool {
        field.needs_http() && !self.sees_http
    }

    /// Whether this attribute is known only later: external services are asked before any token is verified.
    pub(crate) fn is_early(&self, field: Field) -> bool {
        self.action == Action::Custom && field.needs_token()
    }

    /// The checks of a test. Values that are no patterns are left out; a list of which nothing is left is no check.
    pub(crate) fn checks(&self, test: &Test) -> Vec<Check> {
        match test {
            Test::Principal(values) => self.pair(values, |list| Matcher::Principal(self.principals(list))),
            Test::RequestPrincipal(values) => self.pair(values, |list| Matcher::RequestPrincipal(good(list))),
            Test::ServiceAccount(values) => self.pair(values, |list| Matcher::ServiceAccount(good(list))),
            Test::TrustDomain(values) => self.pair(values, |list| Matcher::TrustDomain(self.trust_domains(list))),
            Test::Namespace(values) => self.pair(values, |list| Matcher::Namespace(good(list))),
            Test::RemoteIp(values) => self.pair(values, |list| Matcher::RemoteIp(good(list))),
            Test::SourceIp(values) => self.pair(values, |list| Matcher::SourceIp(good(list))),
            Test::DestinationIp(values) => self.pair(values, |list| Matcher::DestinationIp(good(list))),
            Test::DestinationPort(values) => self.pair(values, |list| {
                let mut ports = good(list);
                ports.sort_unstable();
                Matcher::DestinationPort(ports)
            }),
            Test::Sni(values) => self.pair(values, |list| Matcher::Sni(StringSet::new(good(list)))),
            Test::Host(values) => self.pair(values, |list| Matcher::Host(hosts(list))),
            Test::Method(values) => self.pair(values, |list| Matcher::Method(StringSet::new(good(list)))),
            Test::Path(values) => self.pair(values, |list| Matcher::Path(good(list))),
            Test::Header(name, values) => {
                let name: Box<str> = name.to_ascii_lowercase().into();
                self.pair(values, |list| Matcher::Header(name.clone(), StringSet::new(good(list))))
            }
            Test::Claim(path, values) => {
                self.pair(values, |list| Matcher::Claim(path.clone(), StringSet::new(good(list))))
            }
            Test::Metadata { filter, key, values } => self.pair(values, |list| Matcher::Metadata {
                filter: filter.clone(),
                key: key.clone(),
                patterns: good(list),
            }),
        }
    }

    fn pair<T>(&self, values: &Values<T>, matcher: impl Fn(&[Written<T>]) -> Matcher) -> Vec<Check> {
        let lists = [(&values.any_of, false), (&values.none_of, true)];
        let left = lists.into_iter().filter(|(list, _)| list.iter().any(|written| written.pattern.is_ok()));
        left.map(|(list, negated)| Check { negated, matcher: matcher(list) }).collect()
    }

    fn principals(&self, list: &[Written<StringPattern>]) -> StringSet {
        let names = list.iter().flat_map(|written| trust_domain::replace(&written.text, self.bundle));
        StringSet::new(names.map(|name| StringPattern::parse(&name)))
    }

    fn trust_domains(&self, list: &[Written<TrustDomainPattern>]) -> Vec<TrustDomainPattern> {
        let good: Vec<&str> = list.iter().filter(|written| written.pattern.is_ok()).map(|w| &*w.text).collect();
        let expanded = trust_domain::expand(&good, self.bundle);
        expanded.iter().filter_map(|domain| TrustDomainPattern::parse(domain).ok()).collect()
    }
}

fn good<T: Clone>(list: &[Written<T>]) -> Vec<T> {
    list.iter().filter_map(|written| written.pattern.as_ref().ok().cloned()).collect()
}

/// Hosts are compared without regard to case: the request's is in lower case already.
fn hosts(list: &[Written<StringPattern>]) -> StringSet {
    StringSet::new(list.iter().map(|written| StringPattern::parse(&written.text.to_ascii_lowercase())))
}
