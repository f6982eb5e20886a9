//! Field and label selectors.

use serde_json::Value;

use crate::call::Call;
use crate::kinds::{Kind, POD};
use crate::status::Failure;

/// Fields that any kind can be selected by, and those of pods.
const FIELDS: [&str; 2] = ["metadata.name", "metadata.namespace"];
const POD_FIELDS: [&str; 4] = ["spec.nodeName", "spec.serviceAccountName", "status.phase", "status.podIP"];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Is(String),
    IsNot(String),
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Missing,
}

impl Test {
    fn holds(&self, value: Option<&str>) -> bool {
        let among = |list: &[String]| value.is_some_and(|value| list.iter().any(|item| item == value));
        match self {
            Self::Is(wanted) => value == Some(wanted),
            Self::IsNot(unwanted) => value != Some(unwanted),
            Self::In(list) => among(list),
            Self::NotIn(list) => !among(list),
            Self::Exists => value.is_some(),
            Self::Missing => value.is_none(),
        }
    }
}

/// What a list or watch is restricted to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    fields: Vec<(String, Test)>,
    labels: Vec<(String, Test)>,
}

impl Selector {
    pub(crate) fn of(call: &Call, kind: &Kind) -> Result<Self, Failure> {
        let fields = call.parameter("fieldSelector").map(parse).unwrap_or_default();
        for (field, _) in &fields {
            let known = FIELDS.contains(&field.as_str()) || (*kind == POD && POD_FIELDS.contains(&field.as_str()));
            if !known {
                return Err(Failure::bad_request(format!("field label not supported: {field}")));
            }
        }
        Ok(Self { fields, labels: call.parameter("labelSelector").map(parse).unwrap_or_default() })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.labels.is_empty()
    }

    pub(crate) fn selects(&self, object: &Value) -> bool {
        // A field that is not set counts as empty, a label does not.
        let field = |name: &str| object.pointer(&format!("/{}", name.replace('.', "/"))).and_then(Value::as_str);
        let label = |name: &str| object["metadata"]["labels"][name].as_str();
        self.fields.iter().all(|(name, test)| test.holds(Some(field(name).unwrap_or_default())))
            && self.labels.iter().all(|(name, test)| test.holds(label(name)))
    }
}

fn parse(text: &str) -> Vec<(String, Test)> {
    split(text).iter().map(|term| parse_term(term.trim())).collect()
}

/// Splits at commas that are not in brackets.
fn split(text: &str) -> Vec<String> {
    let (mut terms, mut depth) = (vec![String::new()], 0);
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        match terms.last_mut() {
            Some(last) if c != ',' || depth > 0 => last.push(c),
            _ => terms.push(String::new()),
        }
    }
    terms.retain(|term| !term.trim().is_empty());
    terms
}

fn parse_term(term: &str) -> (String, Test) {
    let list =
        |list: &str| list.trim().trim_matches(['(', ')']).split(',').map(|item| item.trim().to_owned()).collect();
    let key = |text: &str| text.trim().to_owned();
    if let Some((name, values)) = term.split_once(" notin ") {
        return (key(name), Test::NotIn(list(values)));
    }
    if let Some((name, values)) = term.split_once(" in ") {
        return (key(name), Test::In(list(values)));
    }
    if let Some((name, value)) = term.split_once("!=") {
        return (key(name), Test::IsNot(key(value)));
    }
    if let Some((name, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        return (key(name), Test::Is(key(value)));
    }
    match term.strip_prefix('!') {
        Some(name) => (key(name), Test::Missing),
        None => (key(term), Test::Exists),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selectors_select() {
        let object = json!({
            "metadata": { "name": "web", "labels": { "app": "web", "tier": "front" } },
            "spec": { "nodeName": "node-1" },
        });
        let labels = |text: &str| Selector { labels: parse(text), fields: vec![] }.selects(&object);
        let fields = |text: &str| Selector { fields: parse(text), labels: vec![] }.selects(&object);
        for good in ["app=web", "app==web,tier!=back", "app in (api, web)", "tier notin (back)", "app", "!gone", ""] {
            assert!(labels(good), "{good}");
        }
        for bad in ["app=api", "gone", "!app", "app notin (web,api)", "gone in (a)"] {
            assert!(!labels(bad), "{bad}");
        }
        assert!(fields("spec.nodeName=node-1,status.phase!=Failed"));
        assert!(!fields("metadata.name=api"));
    }
}
