//! From the policies that reach a destination to what an enforcement point does with them.
//!
//! A rule stays what it is: (any clause of `from`) and (any clause of `to`) and (every `when`), each clause a
//! conjunction of checks on single attributes. That is a union of boxes over independent dimensions without being
//! multiplied out; deciding walks it, and analysis may. What the point cannot enforce is settled here, by the rules of
//! the plane, and every such change is told: see [`Unenforceable`].

mod check;
mod index;
mod key;
mod lower;
mod set;
#[cfg(test)]
mod tests;

pub(crate) use check::{Check, Matcher};
pub(crate) use index::Index;
pub(crate) use lower::Lowering;
pub use lower::{Effect, Unenforceable};

use crate::model::{Action, AuthorizationPolicy, World};
use crate::request::Request;
use crate::select::{Point, Selection};

/// A rule of the world: the index of its policy in [`World::authorization`], and its own index in the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId {
    /// Index of the policy.
    pub policy: u32,
    /// Index of the rule as it was written.
    pub rule: u32,
}

/// A conjunction of checks; without any, it holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conjunction {
    pub(crate) checks: Vec<Check>,
}

impl Conjunction {
    pub(crate) fn holds(&self, request: &Request<'_>) -> bool {
        self.checks.iter().all(|check| check.holds(request))
    }
}

/// A rule as an enforcement point has it.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) id: RuleId,
    /// None means anybody.
    pub(crate) from: Vec<Conjunction>,
    /// None means anything.
    pub(crate) to: Vec<Conjunction>,
    pub(crate) when: Conjunction,
}

impl Rule {
    pub(crate) fn matches(&self, request: &Request<'_>) -> bool {
        let any = |clauses: &[Conjunction]| clauses.is_empty() || clauses.iter().any(|clause| clause.holds(request));
        self.when.holds(request) && any(&self.to) && any(&self.from)
    }
}

/// The rules of one action, with their index.
#[derive(Debug, Clone, Default)]
pub(crate) struct RuleSet {
    /// Whether a policy is there at all, with or without rules.
    pub(crate) attached: bool,
    pub(crate) rules: Vec<Rule>,
    pub(crate) index: Index,
}

impl RuleSet {
    /// Some rule that matches.
    pub(crate) fn find(&self, request: &Request<'_>) -> Option<RuleId> {
        let mut found = None;
        self.index.candidates(request, |at| {
            found = self.rules.get(at).filter(|rule| rule.matches(request)).map(|rule| rule.id);
            found.is_some()
        });
        found
    }

    /// Every rule that matches, by the index.
    pub(crate) fn find_all(&self, request: &Request<'_>) -> Vec<RuleId> {
        let mut found = Vec::new();
        self.index.candidates(request, |at| {
            found.extend(self.rules.get(at).filter(|rule| rule.matches(request)).map(|rule| rule.id));
            false
        });
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Every rule that matches, by looking at each: what the index must agree with.
    pub(crate) fn walk(&self, request: &Request<'_>) -> Vec<RuleId> {
        let mut found: Vec<_> = self.rules.iter().filter(|rule| rule.matches(request)).map(|rule| rule.id).collect();
        found.sort_unstable();
        found
    }
}

/// What a point does for a destination.
#[derive(Debug, Clone)]
pub struct Compiled {
    point: Point,
    pub(crate) allow: RuleSet,
    pub(crate) deny: RuleSet,
    pub(crate) audit: RuleSet,
    /// Rules of CUSTOM policies whose provider is asked.
    pub(crate) custom: RuleSet,
    /// Rules of CUSTOM policies whose provider cannot be asked: what they match is refused.
    pub(crate) custom_refused: RuleSet,
    pub(crate) dry_allow: RuleSet,
    pub(crate) dry_deny: RuleSet,
    unenforceable: Vec<Unenforceable>,
}

impl Compiled {
    /// Compiles what reaches a destination at a point other than ztunnel, whose rules are those of `ztunnel`.
    pub fn new(world: &World, selection: &Selection<'_>) -> Self {
        lower::compile(world, selection)
    }

    /// Where it is enforced.
    pub fn point(&self) -> Point {
        self.point
    }

    /// Everything that this point cannot enforce as it was written, and what it does instead.
    pub fn unenforceable(&self) -> &[Unenforceable] {
        &self.unenforceable
    }

    fn empty(point: Point) -> Self {
        let none = RuleSet::default;
        Self {
            point,
            allow: none(),
            deny: none(),
            audit: none(),
            custom: none(),
            custom_refused: none(),
            dry_allow: none(),
            dry_deny: none(),
            unenforceable: Vec::new(),
        }
    }

    /// The set that the rules of a policy belong to; `None` where nothing is enforced.
    fn set(&mut self, policy: &AuthorizationPolicy, can_ask: bool) -> Option<&mut RuleSet> {
        Some(match (policy.action, policy.is_dry_run()) {
            (Action::Allow, false) => &mut self.allow,
            (Action::Allow, true) => &mut self.dry_allow,
            (Action::Deny, false) => &mut self.deny,
            (Action::Deny, true) => &mut self.dry_deny,
            (Action::Audit, false) => &mut self.audit,
            (Action::Audit, true) => return None,
            (Action::Custom, false) if can_ask => &mut self.custom,
            // A dry run of CUSTOM is refused by the API; where it slips in, proxies enforce a refusal.
            (Action::Custom, _) => &mut self.custom_refused,
        })
    }

    fn sets(&mut self) -> [&mut RuleSet; 7] {
        [
            &mut self.allow,
            &mut self.deny,
            &mut self.audit,
            &mut self.custom,
            &mut self.custom_refused,
            &mut self.dry_allow,
            &mut self.dry_deny,
        ]
    }
}
