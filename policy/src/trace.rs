//! A decision told in full: every rule that reaches the destination, each condition of it, the value that it saw and
//! which pattern matched.
//!
//! Slow and complete where `decide` is quick: it looks at the model, value by value, and allocates as it likes. That
//! both agree is a property under test.

mod saw;
#[cfg(test)]
mod tests;

use crate::compile::{Compiled, Effect, Lowering, RuleId, Unenforceable};
use crate::decide::Reasons;
use crate::model::{Action, AuthorizationPolicy, Clause, Condition, Rule, When, World};
use crate::request::Request;
use crate::select::Selection;
use crate::source::Place;

/// What a rule, clause or condition comes to. The third is never one of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It holds.
    Matches,
    /// It does not.
    DoesNotMatch,
    /// This point cannot enforce it as it was written, and does this instead.
    NotEnforceable(Effect),
}

/// A decision with everything that led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The decision, and the rules that made it.
    pub reasons: Reasons,
    /// Every policy that reaches the destination, in the order of selection.
    pub policies: Vec<PolicyTrace>,
    /// Everything that the point cannot enforce as it was written, and what it does instead.
    pub unenforceable: Vec<Unenforceable>,
}

/// One policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyTrace {
    /// Its index in [`World::authorization`].
    pub policy: u32,
    /// What its rules do.
    pub action: Action,
    /// Whether it is only watched.
    pub dry_run: bool,
    /// Each rule, by its index; `None` for one that is null.
    pub rules: Vec<Option<RuleTrace>>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleTrace {
    /// Which one.
    pub id: RuleId,
    /// Where it stands.
    pub at: Place,
    /// What it comes to here.
    pub outcome: Outcome,
    /// Each `source`; none means anybody.
    pub from: Vec<ClauseTrace>,
    /// Each `operation`; none means anything.
    pub to: Vec<ClauseTrace>,
    /// Each further condition.
    pub when: Vec<ConditionTrace>,
    /// How many conditions keep it from matching, by the shortest way: the nearest rule has the fewest.
    pub missing: usize,
}

/// One `source` or `operation`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClauseTrace {
    /// Where it stands.
    pub at: Place,
    /// Whether every condition that counts holds.
    pub held: bool,
    /// Its conditions.
    pub conditions: Vec<ConditionTrace>,
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionTrace {
    /// As people write it.
    pub name: Box<str>,
    /// Where it stands.
    pub at: Place,
    /// What it comes to; `NotEnforceable(ConditionDropped)` counts as if it were not there.
    pub outcome: Outcome,
    /// What the request has there; `None` for nothing.
    pub saw: Option<String>,
    /// Each value with what it comes to.
    pub values: Vec<ValueTrace>,
}

/// One value of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueTrace {
    /// As it was written.
    pub text: Box<str>,
    /// Where it was written.
    pub at: Place,
    /// Whether it must not match.
    pub negated: bool,
    /// Whether it does; `None` for one that is no pattern.
    pub matched: Option<bool>,
}

/// Traces one request at a point other than ztunnel.
pub fn trace(world: &World, selection: &Selection<'_>, request: &Request<'_>) -> Trace {
    let compiled = Compiled::new(world, selection);
    let policy = |(index, policy): (usize, &AuthorizationPolicy)| {
        let lowering = Lowering::new(world, selection.point, policy);
        let tracer = Tracer { lowering, request, policy: u32::try_from(index).unwrap_or(u32::MAX) };
        let rules = (0_u32..).zip(&policy.rules);
        PolicyTrace {
            policy: tracer.policy,
            action: policy.action,
            dry_run: policy.is_dry_run(),
            rules: rules.map(|(index, rule)| rule.as_ref().map(|rule| tracer.rule(index, rule))).collect(),
        }
    };
    Trace {
        reasons: compiled.reasons(world, request),
        policies: selection.select(&world.authorization).into_iter().map(policy).collect(),
        unenforceable: compiled.unenforceable().to_vec(),
    }
}

struct Tracer<'a> {
    lowering: Lowering<'a>,
    request: &'a Request<'a>,
    policy: u32,
}

impl Tracer<'_> {
    fn rule(&self, index: u32, rule: &Rule) -> RuleTrace {
        let from: Vec<ClauseTrace> = rule.from.iter().map(|clause| self.clause(clause)).collect();
        let to: Vec<ClauseTrace> = rule.to.iter().map(|clause| self.clause(clause)).collect();
        let when: Vec<ConditionTrace> = rule.when.iter().map(|when| self.when(when)).collect();
        let all = || from.iter().chain(&to).flat_map(|clause| &clause.conditions).chain(&when);
        let is_dropped = all().any(|condition| condition.outcome == Outcome::NotEnforceable(Effect::RuleDropped));
        let missing = fewest(&from) + fewest(&to) + when.iter().filter(|condition| !condition.holds()).count();
        let outcome = match (is_dropped, missing) {
            (true, _) => Outcome::NotEnforceable(Effect::RuleDropped),
            (false, 0) => Outcome::Matches,
            (false, _) => Outcome::DoesNotMatch,
        };
        RuleTrace { id: RuleId { policy: self.policy, rule: index }, at: rule.at, outcome, from, to, when, missing }
    }

    fn clause(&self, clause: &Clause) -> ClauseTrace {
        let conditions: Vec<ConditionTrace> = clause.conditions.iter().map(|each| self.condition(each)).collect();
        ClauseTrace { at: clause.at, held: conditions.iter().all(ConditionTrace::holds), conditions }
    }

    fn when(&self, when: &When) -> ConditionTrace {
        match when {
            When::Known(condition) => self.condition(condition),
            When::Unknown { key, .. } => ConditionTrace {
                name: key.value.clone(),
                at: key.at,
                outcome: Outcome::NotEnforceable(Effect::RuleDropped),
                saw: None,
                values: Vec::new(),
            },
        }
    }

    fn condition(&self, condition: &Condition) -> ConditionTrace {
        let test = &condition.test;
        let mut values: Vec<ValueTrace> = test
            .singles()
            .iter()
            .map(|single| {
                let matched = self.lowering.checks(&single.test).iter().all(|check| check.holds(self.request));
                let matched = matched && !self.lowering.is_early(test.field());
                ValueTrace { text: single.text.clone(), at: single.at, negated: single.negated, matched: Some(matched) }
            })
            .collect();
        let broken = test.broken();
        let is_broken = !broken.is_empty();
        values.extend(broken.iter().map(|(text, at, _)| ValueTrace {
            text: (*text).into(),
            at: *at,
            negated: false,
            matched: None,
        }));
        let outcome = self.outcome(condition, is_broken, &values);
        let name = &condition.name;
        ConditionTrace { name: name.value.clone(), at: name.at, outcome, saw: saw::saw(test, self.request), values }
    }

    fn outcome(&self, condition: &Condition, is_broken: bool, values: &[ValueTrace]) -> Outcome {
        let field = condition.test.field();
        let is_unseen = self.lowering.is_unseen(field);
        if (is_unseen || is_broken) && self.lowering.drops_rules() {
            return Outcome::NotEnforceable(Effect::RuleDropped);
        }
        if is_unseen {
            return Outcome::NotEnforceable(Effect::ConditionDropped);
        }
        let of = |negated: bool| values.iter().filter(move |value| value.negated == negated);
        let mut wanted = of(false).filter_map(|value| value.matched).peekable();
        let any = wanted.peek().is_none() || wanted.any(|matched| matched);
        let none = !of(true).any(|value| value.matched == Some(true));
        match (any && none, self.lowering.is_early(field)) {
            (true, _) => Outcome::Matches,
            (false, true) => Outcome::NotEnforceable(Effect::NeverHolds),
            (false, false) => Outcome::DoesNotMatch,
        }
    }
}

impl ConditionTrace {
    /// Whether it stands in nobody's way.
    pub fn holds(&self) -> bool {
        matches!(self.outcome, Outcome::Matches | Outcome::NotEnforceable(Effect::ConditionDropped))
    }
}

/// Of some clauses, the one that lacks least: how many conditions of it do not hold.
fn fewest(clauses: &[ClauseTrace]) -> usize {
    let lacking = |clause: &ClauseTrace| clause.conditions.iter().filter(|condition| !condition.holds()).count();
    clauses.iter().map(lacking).min().unwrap_or(0)
}
