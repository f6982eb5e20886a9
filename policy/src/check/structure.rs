//! Rules on what stands beside what: those that the schema states in CEL, and those on what is there and empty.

use super::findings::Findings;
use crate::model::ObjectKind;
use crate::problem::{Code, Problem};
use crate::source::{Entry, Node, Value};

/// Most labels of a selector.
const LABELS_MAX: usize = 4096;
/// Longest value of a label.
const LABEL_VALUE_MAX: usize = 63;

pub(super) fn check(kind: ObjectKind, spec: &Node, findings: &mut Findings) {
    selector(spec, findings);
    match kind {
        ObjectKind::AuthorizationPolicy => {
            one_target(spec, findings);
            items(spec, "rules").iter().for_each(|node| rule(node, findings));
        }
        ObjectKind::RequestAuthentication => {
            one_target(spec, findings);
            items(spec, "jwtRules").iter().for_each(|node| one_key_set(node, findings));
        }
        _ => ports(spec, findings),
    }
}

/// What is there: null counts as absent.
fn present<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    node.get(name).filter(|value| value.value != Value::Null)
}

fn items<'n>(node: &'n Node, name: &str) -> &'n [Node] {
    match node.get(name).map(|value| &value.value) {
        Some(Value::List(items)) => items,
        _ => &[],
    }
}

fn entries(node: &Node) -> &[Entry] {
    match &node.value {
        Value::Map(entries) => entries,
        _ => &[],
    }
}

fn one_target(spec: &Node, findings: &mut Findings) {
    let found: Vec<&Node> =
        ["selector", "targetRef", "targetRefs"].iter().filter_map(|name| present(spec, name)).collect();
    if let [_, second, ..] = found.as_slice() {
        let message = "at most one of `selector`, `targetRef` and `targetRefs` may be there";
        let problem = Problem::new(Code::TargetConflict, second.at, message);
        findings.push(problem.with_refusal("only one of targetRefs or selector can be set"));
    }
    let single = present(spec, "targetRef").into_iter();
    for reference in items(spec, "targetRefs").iter().chain(single) {
        let text = |name: &str| reference.get(name).and_then(Node::as_text).unwrap_or_default();
        let (group, kind) = (text("group"), text("kind"));
        let known = matches!(
            (group, kind),
            ("" | "core", "Service")
                | ("networking.istio.io", "ServiceEntry")
                | ("gateway.networking.k8s.io", "Gateway" | "GatewayClass")
        );
        if !known && !kind.is_empty() {
            let message = format!("no policy can be attached to `{kind}` of the group `{group}`");
            let hint = "Service (group `\"\"`), ServiceEntry (`networking.istio.io`), Gateway or GatewayClass \
                        (`gateway.networking.k8s.io`)";
            findings.advise(Code::TargetKind, reference.at, message, hint);
        }
    }
}

fn selector(spec: &Node, findings: &mut Findings) {
    let Some(labels) = spec.get("selector").and_then(|selector| selector.get("matchLabels")) else { return };
    let mut tell = |at, message: String, refusal: &str| {
        findings.push(Problem::new(Code::SelectorLabel, at, message).with_refusal(refusal));
    };
    let count = entries(labels).len();
    if count > LABELS_MAX {
        let message = format!("{count} labels, and at most {LABELS_MAX} are accepted");
        tell(labels.at, message, "spec.selector.matchLabels: Too many: must have at most 4096 items");
    }
    for entry in entries(labels) {
        if entry.key.is_empty() {
            tell(entry.key_at, "the name of a label is empty".to_owned(), "key must not be empty");
        } else if entry.key.contains('*') {
            let message = format!("`{}` holds a `*`; labels are compared as they are", entry.key);
            tell(entry.key_at, message, "wildcard not allowed in label key match");
        }
        let value = entry.node.as_text().unwrap_or_default();
        if value.contains('*') {
            let message = format!("`{value}` holds a `*`; labels are compared as they are");
            tell(entry.node.at, message, "wildcard not allowed in label value match");
        } else if value.chars().count() > LABEL_VALUE_MAX {
            let message = format!("the value has more than {LABEL_VALUE_MAX} characters");
            tell(entry.node.at, message, "Too long: may not be more than 63 bytes");
        }
    }
}

fn rule(node: &Node, findings: &mut Findings) {
    if node.value == Value::Null {
        let hint = "remove it, or write `{}` for a rule that everything matches";
        return findings.advise(Code::NullRule, node.at, "the rule is null; it is skipped", hint);
    }
    for (list, inner) in [("from", "source"), ("to", "operation")] {
        let Some(node) = node.get(list) else { continue };
        let Value::List(clauses) = &node.value else { continue };
        if clauses.is_empty() {
            let message = format!("`{list}` is there and empty");
            findings.advise(Code::EmptyClause, node.at, message, format!("leave `{list}` out to match anything"));
        }
        for clause in clauses {
            self::clause(clause, inner, findings);
        }
    }
}

fn clause(node: &Node, name: &str, findings: &mut Findings) {
    let Some(inner) = present(node, name) else {
        let message = format!("an item without `{name}`");
        return findings.tell(Code::NullRule, node.at, message);
    };
    let says_something = entries(inner).iter().any(|entry| match &entry.node.value {
        Value::List(values) => !values.is_empty(),
        Value::Null => false,
        _ => true,
    });
    if !says_something {
        let message = format!("`{name}` holds no condition");
        let hint = "leave the whole list out to match anything";
        findings.advise(Code::EmptyClause, inner.at, message, hint);
    }
    let accounts = ["serviceAccounts", "notServiceAccounts"].iter().find_map(|name| present(inner, name));
    let others = ["principals", "notPrincipals", "namespaces", "notNamespaces"];
    if let (Some(accounts), true) = (accounts, others.iter().any(|name| present(inner, name).is_some())) {
        let message = "`serviceAccounts` say the namespace already and stand alone";
        let problem = Problem::new(Code::ServiceAccountsMixed, accounts.at, message);
        let hint = "drop `principals` and `namespaces` from this source, or put them into another";
        findings.push(problem.with_hint(hint).with_refusal("Cannot set serviceAccounts with namespaces or principals"));
    }
}

fn one_key_set(node: &Node, findings: &mut Findings) {
    let found: Vec<&Node> = ["jwksUri", "jwks_uri", "jwks"].iter().filter_map(|name| present(node, name)).collect();
    if let [_, second, ..] = found.as_slice() {
        let problem = Problem::new(Code::JwksConflict, second.at, "the keys are given twice");
        findings.push(problem.with_refusal("only one of jwks or jwksUri can be set"));
    }
}

fn ports(spec: &Node, findings: &mut Findings) {
    let Some(ports) = present(spec, "portLevelMtls") else { return };
    let labels = spec.get("selector").and_then(|selector| selector.get("matchLabels"));
    if labels.is_none_or(|labels| entries(labels).is_empty()) {
        let problem =
            Problem::new(Code::PortsWithoutSelector, ports.at, "`portLevelMtls` needs a `selector` with labels");
        let hint = "ports are those of a workload: say which";
        findings.push(problem.with_hint(hint).with_refusal("portLevelMtls requires selector"));
    }
    if matches!(&ports.value, Value::Map(entries) if entries.is_empty()) {
        let refusal = "spec.portLevelMtls in body should have at least 1 properties";
        let problem = Problem::new(Code::TooShort, ports.at, "`portLevelMtls` is there and empty");
        findings.push(problem.with_refusal(refusal));
    }
    for entry in entries(ports) {
        if !entry.key.parse::<u32>().is_ok_and(|port| (1..=65535).contains(&port)) {
            let message = format!("`{}` is not between 1 and 65535", entry.key);
            let problem = Problem::new(Code::PortRange, entry.key_at, message);
            findings.push(problem.with_refusal("port must be between 1-65535"));
        }
    }
}
