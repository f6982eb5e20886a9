//! What is accepted and hardly means what its author thinks. Each of these needs one policy and no proof.

mod identities;
mod rules;
mod values;

use super::authorization::conditions;
use super::findings::Findings;
use crate::model::{Action, AuthorizationPolicy, PeerAuthentication, RequestAuthentication, World};
use crate::problem::Code;

/// What one AuthorizationPolicy hides.
pub(super) fn authorization(policy: &AuthorizationPolicy, world: &World, findings: &mut Findings) {
    if policy.rules.is_empty() && policy.action == Action::Allow {
        let message = "an ALLOW policy without rules: everything in its scope is refused that no other policy allows";
        findings.tell(Code::DeniesAll, policy.meta.at, message);
    }
    empty_selector(policy.target.selector.as_ref(), findings);
    rules::check(policy, findings);
    for rule in policy.rules.iter().flatten() {
        for condition in conditions(rule) {
            values::check(policy.action, condition, &world.mesh, findings);
            identities::check(condition, &world.mesh, findings);
        }
    }
}

/// What one PeerAuthentication hides.
pub(super) fn peer(policy: &PeerAuthentication, findings: &mut Findings) {
    empty_selector(policy.selector.as_ref(), findings);
}

/// What one RequestAuthentication hides.
pub(super) fn request(policy: &RequestAuthentication, findings: &mut Findings) {
    empty_selector(policy.target.selector.as_ref(), findings);
    if policy.rules.is_empty() {
        findings.tell(Code::NoTokenRules, policy.meta.at, "there are no `jwtRules`: no token is verified");
    }
    for presence in policy.rules.iter().filter_map(|rule| rule.presence.as_ref()) {
        if &*presence.value == "REQUIRED" {
            let message = "`presence: REQUIRED` is accepted, and a request without token still passes";
            let hint = "add a DENY policy with `notRequestPrincipals: [\"*\"]`";
            findings.advise(Code::PresenceInert, presence.at, message, hint);
        }
    }
}

fn empty_selector(selector: Option<&crate::model::Selector>, findings: &mut Findings) {
    if let Some(selector) = selector.filter(|selector| selector.labels.is_empty()) {
        let message = "a selector without labels: sidecars take it for the whole namespace, ztunnel for nobody";
        findings.advise(Code::EmptySelector, selector.at, message, "leave `selector` out");
    }
}
