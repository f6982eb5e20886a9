//! Traps in the shape of a rule, and between the rules of one policy.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::check::authorization::conditions;
use crate::check::findings::Findings;
use crate::model::{Action, AuthorizationPolicy, Clause, Condition, Field, Rule, When};
use crate::problem::Code;

pub(super) fn check(policy: &AuthorizationPolicy, findings: &mut Findings) {
    let rules: Vec<&Rule> = policy.rules.iter().flatten().collect();
    for rule in &rules {
        alone(policy.action, rule, findings);
    }
    same_twice(&rules, findings);
    if matches!(policy.action, Action::Allow | Action::Deny) {
        siblings(policy.action, &rules, findings);
    }
}

fn alone(action: Action, rule: &Rule, findings: &mut Findings) {
    let matches_all = rule.from.is_empty() && rule.to.is_empty() && rule.when.is_empty();
    match action {
        _ if matches_all => {
            let effect = match action {
                Action::Allow => "everything is let through that no DENY policy refuses",
                Action::Deny => "everything is refused",
                Action::Audit => "everything is marked",
                Action::Custom => "the provider is asked about everything",
            };
            findings.tell(Code::MatchesAll, rule.at, format!("a rule that everything matches: {effect}"));
        }
        Action::Allow => open_to_plaintext(rule, findings),
        Action::Deny => http_only(rule, findings),
        _ => {}
    }
}

fn is_identity(field: Field) -> bool {
    matches!(field, Field::Principal | Field::Namespace | Field::ServiceAccount | Field::TrustDomain)
}

/// Whether the condition says who somebody is, or only who somebody is not.
fn names(condition: &Condition) -> bool {
    let [any_of, _] = condition.test.texts();
    !any_of.is_empty() && (is_identity(condition.test.field()) || condition.test.field() == Field::RequestPrincipal)
}

fn excludes(condition: &Condition) -> bool {
    let [any_of, none_of] = condition.test.texts();
    any_of.is_empty() && !none_of.is_empty() && is_identity(condition.test.field())
}

fn open_to_plaintext(rule: &Rule, findings: &mut Findings) {
    let when: Vec<&Condition> = conditions_of_when(rule).collect();
    if when.iter().any(|condition| names(condition)) {
        return;
    }
    let open = |conditions: &mut dyn Iterator<Item = &Condition>| {
        let mut found = None;
        for condition in conditions {
            if names(condition) {
                return None;
            }
            if excludes(condition) {
                found = found.or(Some(condition.name.at));
            }
        }
        found
    };
    let clauses = rule.from.iter().filter_map(|clause| open(&mut clause.conditions.iter()));
    let of_when = when.iter().find(|condition| excludes(condition)).map(|condition| condition.name.at);
    for at in clauses.chain(of_when) {
        let message = "this only excludes identities, and a caller without one (plaintext) is none of them";
        let hint = "add `principals: [\"*\"]`, or make the port STRICT by a PeerAuthentication";
        findings.advise(Code::OpenToPlaintext, at, message, hint);
    }
}

fn conditions_of_when(rule: &Rule) -> impl Iterator<Item = &Condition> {
    rule.when.iter().filter_map(|when| match when {
        When::Known(condition) => Some(condition),
        When::Unknown { .. } => None,
    })
}

fn http_only(rule: &Rule, findings: &mut Findings) {
    let stays = |condition: &Condition| !condition.test.field().needs_http();
    let unknown = rule.when.iter().any(|when| matches!(when, When::Unknown { .. }));
    let some_stays =
        |clauses: &[Clause]| !clauses.is_empty() && clauses.iter().all(|clause| clause.conditions.iter().any(stays));
    let kept = some_stays(&rule.from) || some_stays(&rule.to) || conditions_of_when(rule).any(stays);
    if unknown || kept || conditions(rule).next().is_none() {
        return;
    }
    let message = "every condition here needs HTTP: on a TCP port this refuses everything, at ztunnel nothing";
    let hint = "add `ports` with the HTTP ports that are meant, and enforce it at a waypoint where there is ztunnel";
    findings.advise(Code::HttpOnlyDeny, rule.at, message, hint);
}

/// What a rule says, without where it stands.
fn digest(rule: &Rule) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut put = |condition: &Condition| {
        condition.test.field().hash(&mut hasher);
        condition.name.value.hash(&mut hasher);
        for list in condition.test.texts() {
            list.len().hash(&mut hasher);
            list.iter().for_each(|(text, _)| text.hash(&mut hasher));
        }
    };
    for list in [&rule.from, &rule.to] {
        for clause in list {
            clause.conditions.iter().for_each(&mut put);
        }
    }
    conditions_of_when(rule).for_each(&mut put);
    (rule.from.iter().map(|clause| clause.conditions.len()).collect::<Vec<_>>(), rule.to.len(), rule.when.len())
        .hash(&mut hasher);
    rule.to.iter().for_each(|clause| clause.conditions.len().hash(&mut hasher));
    hasher.finish()
}

fn same_twice(rules: &[&Rule], findings: &mut Findings) {
    let mut seen = HashSet::with_capacity(rules.len());
    for rule in rules {
        if !seen.insert(digest(rule)) {
            findings.tell(Code::SameRuleTwice, rule.at, "the same rule stands above already");
        }
    }
}

/// A dash too many makes two rules of one: `- from: …` and `- to: …` beside each other.
fn siblings(action: Action, rules: &[&Rule], findings: &mut Findings) {
    let shape = |rule: &Rule| (rule.from.is_empty(), rule.to.is_empty());
    for pair in rules.windows(2) {
        let [first, second] = pair else { continue };
        if let ((false, true), (true, false)) | ((true, false), (false, true)) = (shape(first), shape(second)) {
            let verb = if action == Action::Deny { "refuses" } else { "lets through" };
            let message =
                format!("this rule and the one above: one says only who, the other only what, and each {verb}");
            let hint = "if both must hold, make one rule of them: drop the dash before the second";
            findings.advise(Code::SiblingRules, second.at, message, hint);
        }
    }
}
