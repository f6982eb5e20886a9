//! One spelling for what dumps spell in several: the names of protobuf JSON, and matchers as they are written today.

use serde_json::{Map, Value};

/// Fields whose value is a mapping with keys of somebody's own, which are no names of fields.
const MAPPINGS: [&str; 4] = ["policies", "providers", "requirementMap", "typedPerFilterConfig"];

/// Matchers of headers as they were written before, and what they are called in a string matcher.
const OLD_MATCHERS: [(&str, &str); 4] =
    [("exactMatch", "exact"), ("prefixMatch", "prefix"), ("suffixMatch", "suffix"), ("safeRegexMatch", "safeRegex")];

/// `value` with every name of a field in lower camel case, and without spellings that mean the same as others.
pub(super) fn canonical(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(canonical).collect(),
        Value::Object(fields) => Value::Object(today(fields.into_iter().map(field).collect())),
        value => value,
    }
}

fn field((name, value): (String, Value)) -> (String, Value) {
    let name = camel(&name);
    let value = match value {
        Value::Object(entries) if MAPPINGS.contains(&name.as_str()) => {
            Value::Object(entries.into_iter().map(|(key, value)| (key, canonical(value))).collect())
        }
        value => canonical(value),
    };
    (name, value)
}

/// Header matchers of old, and the engine of regular expressions, of which there is only one.
fn today(mut fields: Map<String, Value>) -> Map<String, Value> {
    if fields.contains_key("regex") {
        fields.remove("googleRe2");
    }
    let old = OLD_MATCHERS.iter().find(|(old, _)| fields.contains_key("name") && fields.contains_key(*old));
    if let Some((old, new)) = old
        && let Some(value) = fields.remove(*old)
    {
        fields.insert("stringMatch".to_owned(), Value::Object(Map::from_iter([((*new).to_owned(), value)])));
    }
    fields
}

/// `filter_chains` as `filterChains`.
fn camel(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut upper = false;
    for letter in name.chars() {
        match letter {
            '_' if !out.is_empty() => upper = true,
            letter if upper => {
                out.extend(letter.to_uppercase());
                upper = false;
            }
            letter => out.push(letter),
        }
    }
    out
}
