//! Bodies without what differs from one server to the next.

use serde_json::Value;

/// Fields whose values are any.
const ANY: [(&str, &str); 14] = [
    ("buildDate", "<build>"),
    ("continue", "<continue>"),
    ("creationTimestamp", "<time>"),
    ("deletionTimestamp", "<time>"),
    ("expirationTimestamp", "<time>"),
    ("gitCommit", "<build>"),
    ("gitVersion", "<build>"),
    ("jwks_uri", "<url>"),
    ("kid", "<key>"),
    ("n", "<key>"),
    ("resourceVersion", "<version>"),
    ("time", "<time>"),
    ("token", "<token>"),
    ("x", "<key>"),
];

pub(crate) fn normal(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let entry = |(name, value): (&String, &Value)| {
                let any = ANY.iter().find(|(known, _)| known == name).filter(|_| value.is_string());
                (name.clone(), any.map_or_else(|| normal(value), |(_, word)| Value::from(*word)))
            };
            let mut object: serde_json::Map<String, Value> = object.iter().map(entry).collect();
            // What the server makes of a `generateName`.
            if let (Some(Value::String(prefix)), Some(Value::String(name))) =
                (object.get("generateName"), object.get("name"))
                && name.starts_with(prefix.as_str())
            {
                let length = name.len() - prefix.len();
                object.insert("name".to_owned(), format!("{prefix}<{length} letters>").into());
            }
            Value::Object(object)
        }
        Value::Array(items) => Value::Array(items.iter().map(normal).collect()),
        Value::String(text) => Value::String(without_uuids(text)),
        other => other.clone(),
    }
}

fn without_uuids(text: &str) -> String {
    let is_uuid = |part: &str| {
        let lengths: Vec<usize> = part.split('-').map(str::len).collect();
        lengths == [8, 4, 4, 4, 12] && part.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        match rest.split_at_checked(36) {
            Some((head, tail)) if is_uuid(head) => {
                out.push_str("<uuid>");
                rest = tail;
            }
            _ => {
                out.push(c);
                rest = rest.split_at_checked(c.len_utf8()).map_or("", |(_, tail)| tail);
            }
        }
    }
    out
}

#[test]
fn what_is_any_is_replaced_and_nothing_else() {
    let body = serde_json::json!({
        "uid": "2b1d3708-1345-435f-ac48-7830b3bd5646",
        "metadata": { "resourceVersion": "7", "name": "a-xyz", "generateName": "a-" },
        "message": "pod UID (2b1d3708-1345-435f-ac48-7830b3bd5646) does not match",
        "code": 7,
    });
    let normal = normal(&body);
    assert_eq!(normal["uid"], "<uuid>");
    assert_eq!(normal["metadata"]["name"], "a-<3 letters>");
    assert_eq!(normal["message"], "pod UID (<uuid>) does not match");
    assert_eq!(normal["code"], 7);
}
