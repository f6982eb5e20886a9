//! What an Envoy makes of the policies: trust domains are rewritten, and what a point cannot see is dropped.
//!
//! ALLOW drops the whole rule, so that nothing is let through by the rest of it. DENY, AUDIT and CUSTOM drop the
//! condition alone and match more than was written. Both are told.

mod condition;
mod providers;

use std::collections::BTreeSet;

pub(crate) use self::condition::Lowering;
use self::providers::Asked;
use super::{Check, Compiled, Conjunction, Index, Matcher, Rule, RuleId};
use crate::model::{AuthorizationPolicy, Clause, Condition, When, World};
use crate::select::Selection;
use crate::source::Place;

/// What a point does instead of what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// The rule is dropped: it never matches here.
    RuleDropped,
    /// The condition is dropped: the rule matches more than was written.
    ConditionDropped,
    /// The value is dropped from its list.
    ValueDropped,
    /// The policy is dropped.
    PolicyDropped,
    /// The provider of a CUSTOM policy cannot be asked: whatever its rules match is refused.
    Refused,
    /// A condition that can never hold here, since what it looks at is known only later.
    NeverHolds,
}

/// Something that a point cannot enforce as it was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unenforceable {
    /// Index of the policy in [`World::authorization`].
    pub policy: u32,
    /// Index of the rule, when it is about one.
    pub rule: Option<u32>,
    /// The condition, provider or value that it is about, in the user's words.
    pub subject: Box<str>,
    /// Where that stands.
    pub at: Place,
    /// What happens instead.
    pub effect: Effect,
}

pub(super) fn compile(world: &World, selection: &Selection<'_>) -> Compiled {
    let selected = selection.select(&world.authorization);
    let mut compiled = Compiled::empty(selection.point);
    let mut told = BTreeSet::new();
    let asked = Asked::new(&world.mesh, selection, selected.iter().map(|(_, policy)| *policy));
    for (index, policy) in selected {
        let lowering = Lowering::new(world, selection.point, policy);
        let mut lower = Lower { policy: u32::try_from(index).unwrap_or(u32::MAX), lowering, told: &mut told };
        let can_ask = match asked.about(policy) {
            providers::Answer::Ask => true,
            providers::Answer::Refuse => false,
            providers::Answer::Drop => {
                lower.tell(None, &policy.meta.name, policy.meta.at, Effect::PolicyDropped);
                continue;
            }
        };
        if !can_ask {
            lower.tell(None, provider_name(policy), policy.meta.at, Effect::Refused);
        }
        let Some(set) = compiled.set(policy, can_ask) else {
            lower.tell(None, &policy.meta.name, policy.meta.at, Effect::PolicyDropped);
            continue;
        };
        set.attached = true;
        set.rules.extend(lower.rules(policy));
    }
    for set in compiled.sets() {
        set.index = Index::new(&set.rules);
    }
    compiled.unenforceable = told.into_iter().collect();
    compiled
}

fn provider_name(policy: &AuthorizationPolicy) -> &str {
    policy.provider.as_ref().map_or("provider", |provider| &provider.value)
}

struct Lower<'a> {
    policy: u32,
    lowering: Lowering<'a>,
    told: &'a mut BTreeSet<Unenforceable>,
}

impl Lower<'_> {
    fn tell(&mut self, rule: Option<u32>, subject: &str, at: Place, effect: Effect) {
        self.told.insert(Unenforceable { policy: self.policy, rule, subject: subject.into(), at, effect });
    }

    fn rules(&mut self, policy: &AuthorizationPolicy) -> Vec<Rule> {
        let numbered = (0_u32..).zip(&policy.rules);
        numbered.filter_map(|(index, rule)| self.rule(index, rule.as_ref(), policy.meta.at)).collect()
    }

    fn rule(&mut self, index: u32, rule: Option<&crate::model::Rule>, at: Place) -> Option<Rule> {
        let Some(rule) = rule else {
            self.tell(Some(index), "rules", at, Effect::RuleDropped);
            return None;
        };
        let mut when = Conjunction::default();
        for item in &rule.when {
            match item {
                When::Known(condition) => self.condition(index, condition, &mut when)?,
                When::Unknown { key, .. } => {
                    self.tell(Some(index), &key.value, key.at, Effect::RuleDropped);
                    return None;
                }
            }
        }
        let from = self.clauses(index, &rule.from)?;
        let to = self.clauses(index, &rule.to)?;
        Some(Rule { id: RuleId { policy: self.policy, rule: index }, from, to, when })
    }

    fn clauses(&mut self, rule: u32, clauses: &[Clause]) -> Option<Vec<Conjunction>> {
        let clause = |clause: &Clause| {
            let mut conjunction = Conjunction::default();
            clause.conditions.iter().try_for_each(|each| self.condition(rule, each, &mut conjunction))?;
            Some(conjunction)
        };
        clauses.iter().map(clause).collect()
    }

    /// Adds what is left of a condition; `None` when the rule goes with it.
    fn condition(&mut self, rule: u32, condition: &Condition, into: &mut Conjunction) -> Option<()> {
        let drops_rules = self.lowering.drops_rules();
        let field = condition.test.field();
        let name = &condition.name;
        if self.lowering.is_unseen(field) {
            let effect = if drops_rules { Effect::RuleDropped } else { Effect::ConditionDropped };
            self.tell(Some(rule), &name.value, name.at, effect);
            return (!drops_rules).then_some(());
        }
        let is_early = self.lowering.is_early(field);
        if is_early {
            self.tell(Some(rule), &name.value, name.at, Effect::NeverHolds);
        }
        for (text, at, _) in condition.test.broken() {
            let effect = if drops_rules { Effect::RuleDropped } else { Effect::ValueDropped };
            self.tell(Some(rule), text, at, effect);
            if drops_rules {
                return None;
            }
        }
        let never = |check: Check| if is_early { Check { matcher: Matcher::Never, ..check } } else { check };
        into.checks.extend(self.lowering.checks(&condition.test).into_iter().map(never));
        Some(())
    }
}
