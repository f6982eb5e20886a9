//! The tables of `istioctl`, to the letter: `x authz check` for an Envoy, `ztunnel-config policies` for a ztunnel.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::dump::{EnvoyDump, text};
use super::filters::{Decider, RuleName};
use super::ztunnel::ZtunnelDump;

/// How a filter without rules is listed.
const NOTHING: &str = "_anonymous_match_nothing_";
/// Filters are known by these names, and others are passed over.
const NAMES: [&str; 2] = [crate::envoy::HTTP_RBAC, crate::envoy::NETWORK_RBAC];

#[derive(Default)]
struct Rows<'d> {
    names: BTreeMap<&'d str, BTreeSet<String>>,
    rules: BTreeMap<String, BTreeSet<&'d str>>,
}

impl<'d> Rows<'d> {
    fn add(&mut self, action: &'d str, name: String, rule: &'d str) {
        self.rules.entry(name.clone()).or_default().insert(rule);
        self.names.entry(action).or_default().insert(name);
    }

    fn filter(&mut self, decider: &'d Decider) {
        let enforced = decider.part(false);
        let action = match enforced.map_or("", |part| text(part, "action")) {
            "" => "ALLOW",
            action => action,
        };
        let mut any = false;
        for entry in decider.entries() {
            let (name, rule) = match RuleName::parse(entry.key) {
                Some(found) => (format!("{}.{}", found.name, found.namespace), found.rule),
                None => Default::default(),
            };
            if !entry.watched {
                any = true;
                self.add(action, name, rule);
            } else if entry.key.starts_with("istio-ext-authz") {
                self.add("CUSTOM", name, rule);
            }
        }
        if !any {
            self.add(action, NOTHING.to_owned(), "0");
        }
    }
}

impl EnvoyDump {
    /// What `istioctl x authz check -f` prints of this dump. It looks at the chains of listeners that were sent, but not
    /// at their default chains and not at routes, lists a filter that only watches as one that matches nothing, and does
    /// not tell dry runs.
    pub fn istio_table(&self) -> String {
        let mut rows = Rows::default();
        let chains = self.scopes.iter().filter(|scope| scope.is_dynamic && !scope.is_default && scope.route.is_none());
        for decider in chains.flat_map(|scope| &scope.deciders).filter(|decider| NAMES.contains(&&*decider.name)) {
            rows.filter(decider);
        }
        let mut table = vec![["ACTION", "AuthorizationPolicy", "RULES"].map(str::to_owned).to_vec()];
        for action in ["DENY", "ALLOW", "LOG", "CUSTOM"] {
            for name in rows.names.get(action).into_iter().flatten() {
                let count = rows.rules.get(name).map_or(0, BTreeSet::len);
                table.push(vec![action.to_owned(), name.clone(), count.to_string()]);
            }
        }
        aligned(&table, 3)
    }
}

impl ZtunnelDump {
    /// What `istioctl ztunnel-config policies` prints of this dump.
    pub fn istio_table(&self) -> String {
        let mut table = vec![["NAMESPACE", "POLICY NAME", "ACTION", "SCOPE"].map(str::to_owned).to_vec()];
        for ((namespace, name), policy) in &self.policies {
            let word = |field: &str| policy.value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
            table.push(vec![namespace.clone(), name.clone(), word("action"), word("scope")]);
        }
        aligned(&table, 1)
    }
}

/// Columns as wide as their widest cell and `padding`; the last as it is.
fn aligned(rows: &[Vec<String>], padding: usize) -> String {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let mut out = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            out.push_str(cell);
            if column + 1 < row.len() {
                let wanted = width(column).unwrap_or_default() + padding;
                out.extend(std::iter::repeat_n(' ', wanted.saturating_sub(cell.chars().count())));
            }
        }
        out.push('\n');
    }
    out
}
