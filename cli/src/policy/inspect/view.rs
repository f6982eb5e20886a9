//! What was found, as a table and as JSON.

use std::collections::{BTreeMap, BTreeSet};

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};
use signet_policy::inspect::{Difference, Role, RuleName, Scope, ZtunnelDump};
use signet_policy::source::printable;

use crate::output;

/// Most places of one difference that are named.
const PLACES_SHOWN: usize = 3;

/// A policy that is in force.
type Policy = (String, String, bool);

/// Rules, and where they stand.
#[derive(Default)]
struct InForce {
    rules: BTreeSet<String>,
    places: BTreeSet<String>,
}

/// A difference, and where it is.
pub(super) struct Group {
    difference: Option<Difference>,
    detail: String,
    places: Vec<String>,
}

impl Group {
    /// One that is about the dump as a whole.
    pub(super) fn alone(detail: String) -> Self {
        Self { difference: None, detail, places: Vec::new() }
    }
}

/// Everything that is told.
pub(super) struct Report {
    in_force: BTreeMap<Policy, InForce>,
    pub(super) groups: Vec<Group>,
    pub(super) remarks: Vec<String>,
    /// How many places were compared; none where no policies were given.
    pub(super) compared: usize,
}

impl Report {
    pub(super) fn new(remarks: Vec<String>) -> Self {
        Self { in_force: BTreeMap::new(), groups: Vec::new(), remarks, compared: 0 }
    }

    /// Takes up the rules of an Envoy.
    pub(super) fn in_force(&mut self, scopes: &[&Scope]) {
        for scope in scopes {
            for decider in scope.deciders.iter().filter(|one| !matches!(one.role, Role::Tokens | Role::Asks(_))) {
                for entry in decider.entries() {
                    let (policy, rule) = match RuleName::parse(entry.key) {
                        Some(name) => (format!("{}/{}", name.namespace, name.name), name.rule),
                        None => (entry.key.to_owned(), "-"),
                    };
                    let is_trial = entry.watched && !matches!(decider.role, Role::Custom(_));
                    let key = (decider.role.action().to_owned(), policy, is_trial);
                    let found = self.in_force.entry(key).or_default();
                    found.rules.insert(rule.to_owned());
                    found.places.insert(scope.place());
                }
            }
        }
    }

    /// Takes up the policies of a ztunnel.
    pub(super) fn known(&mut self, dump: &ZtunnelDump) {
        for ((namespace, name), policy) in &dump.policies {
            let word = |field: &str| policy.value.get(field).and_then(Value::as_str).unwrap_or_default();
            let is_trial = policy.value.get("dryRun") == Some(&Value::Bool(true));
            let key = (word("action").to_ascii_uppercase(), format!("{namespace}/{name}"), is_trial);
            let found = self.in_force.entry(key).or_default();
            let rules = policy.value.get("rules").and_then(Value::as_array).map_or(0, Vec::len);
            found.rules.extend((0..rules).map(|index| index.to_string()));
            found.places.insert(word("scope").to_owned());
        }
    }

    /// Takes up differences of one place; the same one in several places is told once.
    pub(super) fn differ(&mut self, place: &str, differences: Vec<Difference>) {
        for difference in differences {
            let same = self.groups.iter_mut().find(|group| group.difference.as_ref() == Some(&difference));
            match same {
                Some(group) => group.places.push(place.to_owned()),
                None => {
                    let detail = difference.detail.clone();
                    let places = if place.is_empty() { Vec::new() } else { vec![place.to_owned()] };
                    self.groups.push(Group { difference: Some(difference), detail, places });
                }
            }
        }
    }

    pub(super) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(["ACTION", "POLICY", "RULES", "STATE", "WHERE"]);
        for ((action, policy, is_trial), found) in &self.in_force {
            let state = if *is_trial { "dry run" } else { "in force" };
            let places = shown(&found.places.iter().collect::<Vec<_>>());
            table.add_row([action.clone(), policy.clone(), found.rules.len().to_string(), state.to_owned(), places]);
        }
        let mut lines = vec![table.to_string()];
        if self.in_force.is_empty() {
            lines = vec!["no policy is in force".to_owned()];
        }
        for group in &self.groups {
            lines.push(group.line());
        }
        lines.iter().flat_map(|text| text.lines()).map(|line| printable(line.trim_end())).collect::<Vec<_>>().join("\n")
    }

    pub(super) fn json(&self) -> Value {
        let in_force: Vec<Value> = self
            .in_force
            .iter()
            .map(|((action, policy, is_trial), found)| {
                json!({
                    "action": action, "policy": policy, "rules": found.rules, "dryRun": is_trial,
                    "where": found.places,
                })
            })
            .collect();
        let differences: Vec<Value> = self.groups.iter().map(Group::json).collect();
        let equal = (self.compared > 0 || !self.groups.is_empty()).then_some(self.groups.is_empty());
        json!({
            "equal": equal, "compared": self.compared, "inForce": in_force, "differences": differences,
            "remarks": self.remarks,
        })
    }

    /// What is no data: how it ended, and what keeps the dump from being the whole truth.
    pub(super) fn talk(&self) {
        self.remarks.iter().for_each(|remark| output::talk(&printable(remark)));
        let end = match (self.compared, self.groups.len()) {
            (0, 0) => return,
            (_, 0) => format!("equal in {} places", self.compared),
            (_, count) => format!("{count} differences in {} places", self.compared),
        };
        output::talk(&end);
    }
}

impl Group {
    fn line(&self) -> String {
        let Some(difference) = &self.difference else { return self.detail.clone() };
        let mut parts = vec![format!("{}:", difference.kind), difference.action.to_owned()];
        parts.extend(difference.policy.clone());
        parts.extend(difference.rule.as_ref().map(|rule| format!("rule {rule}")));
        let mut line = parts.join(" ");
        if !self.detail.is_empty() {
            line.push_str(&format!(": {}", self.detail));
        }
        if !self.places.is_empty() {
            line.push_str(&format!(" ({})", shown(&self.places.iter().collect::<Vec<_>>())));
        }
        line
    }

    fn json(&self) -> Value {
        let one = self.difference.as_ref();
        json!({
            "kind": one.map(|one| one.kind.to_string()),
            "action": one.map(|one| one.action),
            "policy": one.and_then(|one| one.policy.clone()),
            "rule": one.and_then(|one| one.rule.clone()),
            "detail": self.detail,
            "where": self.places,
        })
    }
}

fn shown(places: &[&String]) -> String {
    let named: Vec<&str> = places.iter().take(PLACES_SHOWN).map(|place| place.as_str()).collect();
    let more = places.len().saturating_sub(named.len());
    if more == 0 { named.join(", ") } else { format!("{} and {more} more", named.join(", ")) }
}
