//! Rules that ask for tokens, and who verifies them.

use crate::check::authorization::conditions;
use crate::check::findings::Findings;
use crate::model::{
    AuthorizationPolicy, Condition, Meta, RequestAuthentication, StringPattern, Target, Test, World, Written,
};
use crate::problem::Code;

/// Every condition of a policy on a token.
fn on_tokens(policy: &AuthorizationPolicy) -> impl Iterator<Item = &Condition> {
    let all = policy.rules.iter().flatten().flat_map(conditions);
    all.filter(|condition| matches!(condition.test, Test::RequestPrincipal(_) | Test::Claim(..)))
}

/// Tells rules that ask for tokens which nobody verifies, or for issuers that nobody accepts.
pub(super) fn demanded(policy: &AuthorizationPolicy, world: &World, findings: &mut Findings) {
    let Some(first) = on_tokens(policy).next() else { return };
    let mesh = &world.mesh.root_namespace;
    let near = |other: &&RequestAuthentication| {
        !other.rules.is_empty() && may_meet((&policy.meta, &policy.target), (&other.meta, &other.target), mesh)
    };
    let verifying: Vec<&RequestAuthentication> = world.request.iter().filter(near).collect();
    if verifying.is_empty() {
        let message =
            format!("`{}` asks for a token, and no RequestAuthentication that was read verifies one there", first.name);
        let hint = "without one no request has an identity of its own here";
        return findings.advise(Code::TokenUnverified, first.name.at, message, hint);
    }
    let rules = || verifying.iter().flat_map(|other| &other.rules);
    if rules().any(|rule| rule.issuer.is_none()) {
        return;
    }
    let accepted: Vec<&str> = rules().filter_map(|rule| rule.issuer.as_ref()).map(|issuer| &*issuer.value).collect();
    for condition in on_tokens(policy) {
        issuers(condition, &mut |text, at| {
            if !accepted.contains(&text) {
                let message = format!("no RequestAuthentication there accepts tokens of `{text}`");
                findings.advise(Code::TokenIssuer, at, message, format!("accepted: `{}`", accepted.join("`, `")));
            }
        });
    }
}

/// The issuers that a condition names as they are.
fn issuers(condition: &Condition, tell: &mut dyn FnMut(&str, crate::source::Place)) {
    match &condition.test {
        Test::RequestPrincipal(values) => {
            for value in &values.any_of {
                if let Ok(pattern) = &value.pattern
                    && let StringPattern::Exact(issuer) = &pattern.issuer
                {
                    tell(issuer, value.at);
                }
            }
        }
        Test::Claim(names, values) if matches!(names.as_slice(), [name] if &**name == "iss") => {
            for Written { pattern, at, .. } in &values.any_of {
                if let Ok(StringPattern::Exact(issuer)) = pattern {
                    tell(issuer, *at);
                }
            }
        }
        _ => {}
    }
}

/// Tells a RequestAuthentication beside which nobody asks for a token.
pub(super) fn verified(policy: &RequestAuthentication, world: &World, findings: &mut Findings) {
    if policy.rules.is_empty() {
        return;
    }
    let mesh = &world.mesh.root_namespace;
    let asks = |other: &AuthorizationPolicy| {
        may_meet((&policy.meta, &policy.target), (&other.meta, &other.target), mesh)
            && on_tokens(other).next().is_some()
    };
    if !world.authorization.iter().any(asks) {
        let message = "tokens are verified, and no AuthorizationPolicy that was read asks for one: without token a request passes";
        let hint = "add a DENY policy with `notRequestPrincipals: [\"*\"]`";
        findings.advise(Code::TokenNotDemanded, policy.meta.at, message, hint);
    }
}

/// Whether two policies may reach the same workload.
fn may_meet(one: (&Meta, &Target), other: (&Meta, &Target), root: &str) -> bool {
    let ((one_meta, one), (other_meta, other)) = (one, other);
    let is_root = |meta: &Meta| &*meta.namespace == root;
    let near = one_meta.namespace == other_meta.namespace || is_root(one_meta) || is_root(other_meta);
    let apart = match (&one.selector, &other.selector) {
        (Some(one), Some(other)) => {
            one.labels.iter().any(|(name, value)| other.labels.get(name).is_some_and(|label| label != value))
        }
        _ => false,
    };
    let same = |(name, kind): (&str, &str)| other.references.iter().any(|one| (&*one.name, &*one.kind) == (name, kind));
    let attached = one.references.is_empty()
        || other.references.is_empty()
        || one.references.iter().any(|reference| same((&reference.name, &reference.kind)));
    near && !apart && attached
}
