//! RequestAuthentication: which tokens of a request are looked at, and what is made of them.
//!
//! All rules that reach a workload stand side by side, sorted by issuer. A request without any token passes without
//! claims; one whose token every rule that finds it refuses, does not pass (401). Keys come from the caller, since this
//! room fetches nothing; keys that are missing refuse the token, as a proxy without them does.

mod places;
#[cfg(test)]
mod tests;
mod verify;

pub use verify::Refusal;

use signet_identity::{JwkSet, Timestamp};

use crate::model::{JwtRule, World};
use crate::request::{Claims, Http};
use crate::select::Selection;
use crate::source::Place;

/// Tokens of one request that a rule looks at; more are refused.
pub const TOKENS_MAX: usize = 16;

/// Where the keys of an issuer are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySource<'a> {
    /// At this address.
    Uri(&'a str),
    /// At the address that the issuer's discovery document names.
    Discovery(&'a str),
}

/// A rule and its keys.
#[derive(Debug, Clone)]
struct Provider {
    /// Index of the policy in [`World::request`].
    policy: usize,
    rule: JwtRule,
    keys: Option<JwkSet>,
}

/// What verifies tokens at a workload.
#[derive(Debug, Clone)]
pub struct Providers {
    sorted: Vec<Provider>,
}

/// What came of looking for tokens.
#[derive(Debug, Clone, PartialEq)]
pub enum Authentication {
    /// No rule found a token.
    Absent,
    /// A rule accepted.
    Verified {
        /// What the token says, as policies see it.
        claims: Claims,
        /// The rule, for messages.
        by: By,
    },
    /// Tokens were found and none was accepted: 401.
    Refused(Vec<(By, Refusal)>),
}

/// A rule of a RequestAuthentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct By {
    /// Index of the policy in [`World::request`].
    pub policy: usize,
    /// Where the rule stands.
    pub at: Place,
}

impl Providers {
    /// The rules that reach a destination. `keys` knows what issuers publish; inline keys are read here.
    pub fn new(world: &World, selection: &Selection<'_>, keys: &dyn Fn(KeySource<'_>) -> Option<JwkSet>) -> Self {
        let selected = selection.select(&world.request).into_iter();
        let rules = selected.flat_map(|(policy, found)| found.rules.iter().map(move |rule| (policy, rule)));
        let provider =
            |(policy, rule): (usize, &JwtRule)| Provider { policy, rule: rule.clone(), keys: keys_of(rule, keys) };
        let mut sorted: Vec<Provider> = rules.map(provider).collect();
        sorted.sort_by(|left, right| left.issuer().cmp(right.issuer()));
        Self { sorted }
    }

    /// Looks for tokens in a request and verifies them.
    ///
    /// Of several tokens in several places that several rules accept, the first rule's counts; proxies leave that open.
    pub fn authenticate(&self, http: &Http<'_>, now: Timestamp) -> Authentication {
        if is_preflight(http) {
            return Authentication::Absent;
        }
        let mut refusals = Vec::new();
        for provider in &self.sorted {
            match provider.authenticate(http, now) {
                None => {}
                Some(Ok(claims)) => return Authentication::Verified { claims, by: provider.by() },
                Some(Err(refusal)) => refusals.push((provider.by(), refusal)),
            }
        }
        if refusals.is_empty() { Authentication::Absent } else { Authentication::Refused(refusals) }
    }

    /// Whether there are no rules, so that no token is ever looked at.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }
}

impl Provider {
    fn issuer(&self) -> &str {
        self.rule.issuer.as_ref().map_or("", |issuer| &issuer.value)
    }

    fn by(&self) -> By {
        By { policy: self.policy, at: self.rule.at }
    }

    /// `None` where this rule finds no token. Every token that it finds must be good; the last one's claims count.
    fn authenticate(&self, http: &Http<'_>, now: Timestamp) -> Option<Result<Claims, Refusal>> {
        let tokens = places::tokens(&self.rule, http);
        if tokens.len() > TOKENS_MAX {
            return Some(Err(Refusal::TooMany));
        }
        let mut claims = None;
        for token in tokens {
            match verify::token(&self.rule, self.keys.as_ref(), token, now) {
                Ok(found) => claims = Some(Ok(found)),
                Err(refusal) => return Some(Err(refusal)),
            }
        }
        claims
    }
}

fn keys_of(rule: &JwtRule, keys: &dyn Fn(KeySource<'_>) -> Option<JwkSet>) -> Option<JwkSet> {
    match (&rule.jwks, &rule.jwks_uri, &rule.issuer) {
        (Some(inline), ..) => JwkSet::from_json(inline.value.as_bytes()).ok(),
        (None, Some(uri), _) => keys(KeySource::Uri(&uri.value)),
        (None, None, Some(issuer)) => keys(KeySource::Discovery(&issuer.value)),
        (None, None, None) => None,
    }
}

/// Questions of browsers whether they may ask carry no token and are let through to whoever answers them.
fn is_preflight(http: &Http<'_>) -> bool {
    let has = |name: &str| http.header(name).is_some_and(|value| !value.is_empty());
    http.method == "OPTIONS" && has("origin") && has("access-control-request-method")
}
