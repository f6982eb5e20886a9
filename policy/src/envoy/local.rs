//! The filters that a proxy decides with on its own: AUDIT, DENY and ALLOW, in this order.

use super::rule;
use super::tree::{Permission, Policy, Principal, RbacAction, Rules};
use super::{Filter, Rbac, RenderOptions};
use crate::model::{Action, AuthorizationPolicy};

/// What the results of a dry run are found under.
const DRY_RUN_ALLOW: &str = "istio_dry_run_allow_";
/// The same for DENY.
const DRY_RUN_DENY: &str = "istio_dry_run_deny_";

/// A filter for each action that some policy has. CUSTOM policies are passed over: see [`super::custom_filters`].
pub fn local_filters(policies: &[&AuthorizationPolicy], options: &RenderOptions<'_>) -> Vec<Filter> {
    let filter = |action| {
        let built = Built::of(policies.iter().copied().filter(|policy| policy.action == action), options, "", "");
        let prefix = match built.watched.as_ref().map(|rules| rules.action) {
            None | Some(RbacAction::Allow) => DRY_RUN_ALLOW,
            Some(RbacAction::Deny) => DRY_RUN_DENY,
            Some(RbacAction::Log) => "",
        };
        let rbac = Rbac {
            rules: built.enforced,
            shadow_rules: built.watched,
            shadow_rules_stat_prefix: prefix.to_owned(),
            stat_prefix: String::new(),
        };
        (rbac.rules.is_some() || rbac.shadow_rules.is_some()).then(|| Filter::rbac(options.chain, rbac))
    };
    [Action::Audit, Action::Deny, Action::Allow].into_iter().filter_map(filter).collect()
}

/// The rules of policies of one action; `None` where no policy is of that kind.
pub(super) struct Built {
    /// Those that count.
    pub(super) enforced: Option<Rules>,
    /// Those that are on trial.
    pub(super) watched: Option<Rules>,
}

impl Built {
    /// Writes every rule under its name between `before` and `behind`.
    pub(super) fn of<'p>(
        policies: impl Iterator<Item = &'p AuthorizationPolicy>,
        options: &RenderOptions<'_>,
        before: &str,
        behind: &str,
    ) -> Self {
        let mut built = Self { enforced: None, watched: None };
        for policy in policies {
            let rules = if policy.is_dry_run() { &mut built.watched } else { &mut built.enforced };
            let rules = rules.get_or_insert_with(|| Rules { action: wire(policy.action), ..Rules::default() });
            let key = |index: usize| format!("{before}{}{behind}", policy.rule_name(index));
            if policy.rules.is_empty() {
                rules.policies.insert(key(0), never());
            }
            for (index, rule) in policy.rules.iter().enumerate() {
                let written = rule.as_ref().and_then(|rule| rule::policy(rule, policy.action, options).ok());
                rules.policies.extend(written.map(|written| (key(index), written)));
            }
        }
        built
    }
}

/// CUSTOM is written as DENY: what it matches is what the external service is asked about.
fn wire(action: Action) -> RbacAction {
    match action {
        Action::Allow => RbacAction::Allow,
        Action::Audit => RbacAction::Log,
        Action::Deny | Action::Custom => RbacAction::Deny,
    }
}

/// What a policy without rules is: one that matches nothing.
fn never() -> Policy {
    Policy {
        permissions: vec![Permission::NotRule(Box::new(Permission::Any(true)))],
        principals: vec![Principal::NotId(Box::new(Principal::Any(true)))],
    }
}
