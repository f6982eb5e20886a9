//! AuthorizationPolicy: rules of clauses of conditions, each condition a test of one attribute of a request.
//!
//! A rule is (any `from`) and (any `to`) and (every `when`); a clause is every condition in it; a condition is any of
//! its values and none of its negated ones. A field of `source` and the `when` key for the same attribute become the
//! same kind of [`Test`], so that everything later knows each attribute once.

use std::fmt;

use super::{Meta, Spotted, Target, Test, Text};
use crate::source::Place;

/// What a matching rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Action {
    /// Lets the request through, and nothing that no rule lets through.
    #[default]
    Allow,
    /// Refuses the request.
    Deny,
    /// Marks the request for the log.
    Audit,
    /// Asks an external service.
    Custom,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "ALLOW",
            Self::Deny => "DENY",
            Self::Audit => "AUDIT",
            Self::Custom => "CUSTOM",
        })
    }
}

/// One AuthorizationPolicy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationPolicy {
    /// Name, namespace, age.
    pub meta: Meta,
    /// Whom it is for.
    pub target: Target,
    /// What its rules do.
    pub action: Action,
    /// `provider.name`.
    pub provider: Option<Text>,
    /// By their index in the text; `None` is a rule that is null.
    pub rules: Vec<Option<Rule>>,
    /// The annotation `istio.io/dry-run`: its value, where it is a boolean.
    pub dry_run: Option<Spotted<Option<bool>>>,
}

/// The annotation of a policy that is only watched.
pub(crate) const DRY_RUN: &str = "istio.io/dry-run";

/// A boolean as the control plane reads it (Go's `strconv.ParseBool`); `None` for what is none.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

impl AuthorizationPolicy {
    /// What Envoy calls the rule with this index.
    pub fn rule_name(&self, index: impl fmt::Display) -> String {
        format!("ns[{}]-policy[{}]-rule[{index}]", self.meta.namespace, self.meta.name)
    }

    /// Whether the policy is only watched, never enforced. An annotation that is no boolean counts as false.
    pub fn is_dry_run(&self) -> bool {
        self.dry_run.as_ref().and_then(|dry_run| dry_run.value).unwrap_or(false)
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Where it stands.
    pub at: Place,
    /// Each `source`; none means anybody.
    pub from: Vec<Clause>,
    /// Each `operation`; none means anything.
    pub to: Vec<Clause>,
    /// Each further condition.
    pub when: Vec<When>,
}

/// One `source` or `operation`: every condition must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// Where it stands.
    pub at: Place,
    /// In the order in which proxies are told them, whatever the order in the text.
    pub conditions: Vec<Condition>,
}

/// One item of `when`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// A key that is known.
    Known(Condition),
    /// A key that is not; its rule is no rule.
    Unknown {
        /// The key.
        key: Text,
        /// Whether it had values.
        has_values: bool,
    },
}

/// A test of one attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// As people write it, for instance `paths` or `request.headers[x]`, and where.
    pub name: Text,
    /// The test.
    pub test: Test,
}
