//! What becomes of a request at an enforcement point, and which rules made it so.
//!
//! The order is the proxies': CUSTOM, then DENY, then ALLOW; AUDIT and dry runs never decide. `decide` finds some rule
//! that settles the matter and allocates nothing; `reasons` finds all of them.

use crate::compile::{Compiled, RuleId, RuleSet};
use crate::model::World;
use crate::request::{Request, Token};

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Let through.
    Allow,
    /// Refused: 403, or the connection is closed.
    Deny,
    /// The request lacks what the point always sees, so nobody can tell. Enforcement refuses it.
    Undecided,
}

/// What settled the matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// This rule matches.
    Rule(RuleId),
    /// There is no ALLOW policy, so everything is let through that nothing refuses.
    NoAllowPolicy,
    /// There are ALLOW policies, and no rule of theirs matches.
    NoRuleMatches,
    /// A token was presented and not accepted: 401.
    TokenRefused,
    /// The point sees HTTP, and the request has none.
    NoHttp,
}

/// The answer and what settled it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// The answer; where `asks` is set, the answer if the external service has no objection.
    pub verdict: Verdict,
    /// What settled it. Where several rules would have, some of them.
    pub cause: Cause,
    /// A CUSTOM rule that matches: its provider is asked first, and its no is final.
    pub asks: Option<RuleId>,
}

/// Every rule that matters, in the order of policies and rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reasons {
    /// The decision; its cause is the rule that Envoy names.
    pub decision: Decision,
    /// CUSTOM rules that match and whose provider is asked.
    pub custom: Vec<RuleId>,
    /// Rules that refuse: DENY, and CUSTOM whose provider cannot be asked.
    pub deny: Vec<RuleId>,
    /// ALLOW rules that match.
    pub allow: Vec<RuleId>,
    /// AUDIT rules that match.
    pub audit: Vec<RuleId>,
    /// What the dry runs add: the verdict if they were enforced.
    pub dry_run: DryRun,
}

/// What dry-run policies would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DryRun {
    /// The verdict if every dry-run policy were enforced; `None` when there are none.
    pub verdict: Option<Verdict>,
    /// Dry-run DENY rules that match.
    pub deny: Vec<RuleId>,
    /// Dry-run ALLOW rules that match.
    pub allow: Vec<RuleId>,
}

impl Compiled {
    /// Decides one request.
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        if !self.can_judge(request) {
            return Decision { verdict: Verdict::Undecided, cause: Cause::NoHttp, asks: None };
        }
        let asks = self.custom.find(request);
        if let Some(rule) = self.custom_refused.find(request) {
            return Decision { verdict: Verdict::Deny, cause: Cause::Rule(rule), asks };
        }
        if self.refuses_token(request) {
            return Decision { verdict: Verdict::Deny, cause: Cause::TokenRefused, asks };
        }
        let (verdict, cause) = settle(self.deny.find(request), self.allow.attached, || self.allow.find(request));
        Decision { verdict, cause, asks }
    }

    /// Decides one request and tells every rule that matches.
    pub fn reasons(&self, world: &World, request: &Request<'_>) -> Reasons {
        self.collect(world, request, RuleSet::find_all)
    }

    /// The same by looking at every rule, without the index. Slow; it is what the index is held to.
    pub fn walk(&self, world: &World, request: &Request<'_>) -> Reasons {
        self.collect(world, request, RuleSet::walk)
    }

    fn can_judge(&self, request: &Request<'_>) -> bool {
        !self.point().sees_http() || request.http.is_some()
    }

    /// Tokens are verified after CUSTOM and before everything else, where HTTP is seen.
    fn refuses_token(&self, request: &Request<'_>) -> bool {
        self.point().sees_http() && request.token == Token::Refused
    }

    fn collect(
        &self,
        world: &World,
        request: &Request<'_>,
        find: fn(&RuleSet, &Request<'_>) -> Vec<RuleId>,
    ) -> Reasons {
        let nothing = Vec::new;
        if !self.can_judge(request) {
            let decision = Decision { verdict: Verdict::Undecided, cause: Cause::NoHttp, asks: None };
            let dry_run = DryRun { verdict: None, deny: nothing(), allow: nothing() };
            return Reasons {
                decision,
                custom: nothing(),
                deny: nothing(),
                allow: nothing(),
                audit: nothing(),
                dry_run,
            };
        }
        let custom = find(&self.custom, request);
        let early = find(&self.custom_refused, request);
        let late = find(&self.deny, request);
        let allow = find(&self.allow, request);
        let first = |rules: &[RuleId]| rules.iter().copied().min_by_key(|rule| effective_name(world, *rule));
        let (verdict, cause) = match first(&early) {
            Some(rule) => (Verdict::Deny, Cause::Rule(rule)),
            None if self.refuses_token(request) => (Verdict::Deny, Cause::TokenRefused),
            None => settle(first(&late), self.allow.attached, || first(&allow)),
        };
        let decision = Decision { verdict, cause, asks: first(&custom) };
        let deny = [early, late].concat();
        let dry_run = self.dry_run(&decision, find(&self.dry_deny, request), find(&self.dry_allow, request));
        Reasons { decision, custom, audit: find(&self.audit, request), deny, allow, dry_run }
    }

    fn dry_run(&self, decision: &Decision, deny: Vec<RuleId>, allow: Vec<RuleId>) -> DryRun {
        let there = self.dry_deny.attached || self.dry_allow.attached;
        let enforced_deny = decision.verdict == Verdict::Deny && decision.cause != Cause::NoRuleMatches;
        let attached = self.allow.attached || self.dry_allow.attached;
        let enforced_allow = decision.verdict == Verdict::Allow && decision.cause != Cause::NoAllowPolicy;
        let lets_through = !attached || enforced_allow || !allow.is_empty();
        let denied = enforced_deny || !deny.is_empty() || !lets_through;
        let verdict = if denied { Verdict::Deny } else { Verdict::Allow };
        DryRun { verdict: there.then_some(verdict), deny, allow }
    }
}

/// What DENY and ALLOW rules settle; ALLOW rules are looked for only where they matter.
fn settle(deny: Option<RuleId>, attached: bool, allow: impl FnOnce() -> Option<RuleId>) -> (Verdict, Cause) {
    match deny {
        Some(rule) => (Verdict::Deny, Cause::Rule(rule)),
        None if !attached => (Verdict::Allow, Cause::NoAllowPolicy),
        None => match allow() {
            Some(rule) => (Verdict::Allow, Cause::Rule(rule)),
            None => (Verdict::Deny, Cause::NoRuleMatches),
        },
    }
}

/// The name of a rule in Envoy. The first match by this name is the one that Envoy tells.
pub fn effective_name(world: &World, rule: RuleId) -> String {
    let policy = usize::try_from(rule.policy).ok().and_then(|index| world.authorization.get(index));
    policy.map(|policy| policy.rule_name(rule.rule)).unwrap_or_default()
}
