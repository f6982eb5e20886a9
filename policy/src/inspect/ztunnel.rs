//! What a ztunnel says it knows: policies, and which of them each workload lists by name.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::compare::{Difference, Kind};
use super::dump::{list, text};
use crate::ztunnel::Authorization;

/// `(NAMESPACE, NAME)`.
type Named = (String, String);

/// What a ztunnel knows.
#[derive(Debug, Clone)]
pub struct ZtunnelDump {
    /// Its policies, by namespace and name.
    pub policies: BTreeMap<Named, ZtunnelPolicy>,
    /// Its workloads.
    pub workloads: Vec<ListedBy>,
}

/// One policy as it stands in the dump, in the form of ztunnel's static configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct ZtunnelPolicy {
    /// All of it.
    pub value: Value,
}

/// The policies that a workload lists, `NAMESPACE/NAME` each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedBy {
    /// The workload's namespace.
    pub namespace: String,
    /// The workload's name.
    pub name: String,
    /// What it lists.
    pub policies: BTreeSet<String>,
}

impl ZtunnelDump {
    /// Whether it looks like one: Envoy's has other names.
    pub(super) fn is_one(dump: &Value) -> bool {
        dump.get("policies").is_some() && (dump.get("workloads").is_some() || dump.get("services").is_some())
    }

    pub(super) fn new(dump: &Value) -> Self {
        let policies = items(dump, "policies").map(|policy| {
            let named = (text(policy, "namespace").to_owned(), text(policy, "name").to_owned());
            (named, ZtunnelPolicy { value: plain(policy) })
        });
        let workloads = items(dump, "workloads").map(|workload| ListedBy {
            namespace: text(workload, "namespace").to_owned(),
            name: text(workload, "name").to_owned(),
            policies: list(workload, "authorizationPolicies").filter_map(Value::as_str).map(str::to_owned).collect(),
        });
        Self { policies: policies.collect(), workloads: workloads.collect() }
    }

    /// Every difference between its policies and those that were rendered; none where they are equal.
    pub fn compare(&self, wanted: &[Authorization]) -> Vec<Difference> {
        let wanted: BTreeMap<Named, Value> = wanted
            .iter()
            .map(|policy| ((policy.namespace.clone(), policy.name.clone()), plain(&policy.to_local_config())))
            .collect();
        let names: BTreeSet<&Named> = wanted.keys().chain(self.policies.keys()).collect();
        let mut differences = Vec::new();
        for name in names {
            match (wanted.get(name), self.policies.get(name)) {
                (Some(want), Some(have)) => differences.extend(policy(name, want, &have.value)),
                (Some(want), None) => differences.push(difference(Kind::Missing, name, None, want, "")),
                (None, Some(have)) => differences.push(difference(Kind::Unexpected, name, None, &have.value, "")),
                (None, None) => {}
            }
        }
        differences
    }

    /// The same for what a workload lists. `None` where the dump does not know the workload.
    pub fn compare_listed(&self, namespace: &str, name: &str, wanted: &[String]) -> Option<Vec<Difference>> {
        let listed = self.workloads.iter().find(|one| one.namespace == namespace && one.name == name)?;
        let wanted: BTreeSet<&String> = wanted.iter().collect();
        let found: BTreeSet<&String> = listed.policies.iter().collect();
        let told = |kind: Kind, policy: &&&String| Difference {
            kind,
            action: "listed",
            policy: Some((**policy).clone()),
            rule: None,
            detail: format!("by the workload `{namespace}/{name}`"),
        };
        let missing = wanted.difference(&found).map(|policy| told(Kind::Missing, &policy));
        Some(missing.chain(found.difference(&wanted).map(|policy| told(Kind::Unexpected, &policy))).collect())
    }
}

/// Entries of a list, or values of a mapping: both have been in use.
fn items<'v>(dump: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    let mapped = dump.get(name).and_then(Value::as_object).into_iter().flatten().map(|(_, value)| value);
    list(dump, name).chain(mapped)
}

/// Without what is left out by one writer and written by another: empty lists, nothing, and `dryRun` that is not.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let says = |name: &str, value: &Value| match value {
                Value::Null => false,
                Value::Bool(false) => name != "dryRun",
                Value::Array(items) => !items.is_empty() || name == "presence",
                _ => true,
            };
            let left = fields.iter().filter(|(name, value)| says(name, value));
            Value::Object(left.map(|(name, value)| (name.clone(), plain(value))).collect::<Map<String, Value>>())
        }
        Value::Array(items) => items.iter().map(plain).collect(),
        value => value.clone(),
    }
}

fn difference(kind: Kind, name: &Named, rule: Option<String>, policy: &Value, detail: &str) -> Difference {
    let action = if text(policy, "action") == "Deny" { "DENY" } else { "ALLOW" };
    let (namespace, name) = name;
    Difference { kind, action, policy: Some(format!("{namespace}/{name}")), rule, detail: detail.to_owned() }
}

fn policy(name: &Named, want: &Value, have: &Value) -> Vec<Difference> {
    let mut differences = Vec::new();
    for field in ["scope", "action", "dryRun"] {
        if want.get(field) != have.get(field) {
            let word =
                |value: &Value| value.get(field).map_or_else(|| "nothing".to_owned(), |value| format!("`{value}`"));
            let detail = format!("`{field}`: {}, wanted {}", word(have), word(want));
            differences.push(difference(Kind::Different, name, None, want, &detail));
        }
    }
    let rules = |value: &Value| list(value, "rules").cloned().collect::<Vec<Value>>();
    let (wanted, found) = (rules(want), rules(have));
    for index in 0..wanted.len().max(found.len()) {
        let kind = match (wanted.get(index), found.get(index)) {
            (Some(want), Some(have)) if want == have => continue,
            (Some(_), Some(_)) => Kind::Different,
            (Some(_), None) => Kind::Missing,
            (None, _) => Kind::Unexpected,
        };
        differences.push(difference(kind, name, Some(index.to_string()), want, ""));
    }
    differences
}
