//! Who owns which field: sets of field paths, as `metadata.managedFields` keeps them.
//!
//! The real server knows the schema of each kind; here a few names stand for it (`MAPS`, `ATOMIC`, `KEYED`), enough for
//! the kinds that are served.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// Objects whose keys are data and not fields.
const MAPS: [&str; 6] = ["annotations", "binaryData", "data", "labels", "nodeSelector", "stringData"];
/// Objects that are owned as a whole.
const ATOMIC: [&str; 4] = ["involvedObject", "regarding", "related", "selector"];
/// Lists whose items are owned one by one, with the field that names an item.
const KEYED: [(&str, &str); 2] = [("containers", "name"), ("conditions", "type")];
/// Fields of `metadata` that the server itself sets.
const SERVERS_OWN: [&str; 10] = [
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
];
/// The member itself, not what is in it.
const SELF: &str = ".";

/// A way from the object to one field: `f:<name>`, `k:<key of an item>`, or `.`.
pub(crate) type Path = Vec<String>;
pub(crate) type Fields = BTreeSet<Path>;

/// The fields that `object` sets. `members`: whether maps that hold something count themselves, as they do for whoever
/// created them, but not for whoever applies what is in them.
pub(crate) fn of(object: &Value, members: bool) -> Fields {
    let mut fields = Fields::new();
    walk(&owned(object), &mut Vec::new(), members, &mut fields);
    fields
}

/// The part of an object that managers can own.
fn owned(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(top) = object.as_object_mut() {
        top.retain(|name, _| !matches!(name.as_str(), "apiVersion" | "kind" | "status"));
        if let Some(metadata) = top.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|name, _| !SERVERS_OWN.contains(&name.as_str()));
        }
        if top.get("metadata").and_then(Value::as_object).is_some_and(Map::is_empty) {
            top.remove("metadata");
        }
    }
    object
}

fn walk(value: &Value, path: &mut Path, members: bool, fields: &mut Fields) {
    let name = path.last().and_then(|last| last.strip_prefix("f:")).unwrap_or_default().to_owned();
    match value {
        Value::Null => {}
        Value::Object(object) if !object.is_empty() && !ATOMIC.contains(&name.as_str()) => {
            if members && MAPS.contains(&name.as_str()) {
                fields.insert(with(path, SELF));
            }
            for (name, value) in object {
                path.push(format!("f:{name}"));
                walk(value, path, members, fields);
                path.pop();
            }
        }
        Value::Array(items) if key_of_items(&name).is_some() => {
            for item in items {
                path.push(item_key(&name, item));
                fields.insert(with(path, SELF));
                walk(item, path, members, fields);
                path.pop();
            }
        }
        _ if path.is_empty() => {}
        _ => {
            fields.insert(path.clone());
        }
    }
}

fn with(path: &Path, last: &str) -> Path {
    path.iter().cloned().chain([last.to_owned()]).collect()
}

fn key_of_items(list: &str) -> Option<&'static str> {
    KEYED.iter().find(|(name, _)| *name == list).map(|(_, key)| *key)
}

fn item_key(list: &str, item: &Value) -> String {
    let key = key_of_items(list).unwrap_or_default();
    format!("k:{}", json!({ key: item[key] }))
}

/// The value at `path`.
pub(crate) fn value_at<'a>(object: &'a Value, path: &[String]) -> Option<&'a Value> {
    let mut value = object;
    let mut list = "";
    for step in path {
        value = match step.split_at_checked(2) {
            Some(("f:", name)) => {
                list = name;
                value.get(name)?
            }
            Some(("k:", _)) => value.as_array()?.iter().find(|item| item_key(list, item) == *step)?,
            _ => return Some(value),
        };
    }
    Some(value)
}

/// The fields of `new` that `old` does not have, or has with another value.
pub(crate) fn changed(old: &Value, new: &Value) -> Fields {
    let before = of(old, true);
    let is_new = |path: &Path| {
        let is_member = path.last().is_some_and(|last| last == SELF);
        !before.contains(path) || (!is_member && value_at(old, path) != value_at(new, path))
    };
    of(new, true).into_iter().filter(is_new).collect()
}

/// Removes the field at `path` from `object`, and the maps that it leaves empty.
pub(crate) fn remove(object: &mut Value, path: &[String]) {
    let Some((first, rest)) = path.split_first() else { return };
    if let (Some(name), Some(object)) = (first.strip_prefix("f:"), object.as_object_mut()) {
        if rest.is_empty() {
            object.remove(name);
        } else if let Some(inner) = object.get_mut(name) {
            remove(inner, rest);
            if inner.as_object().is_some_and(Map::is_empty) && MAPS.contains(&name) {
                object.remove(name);
            }
        }
    }
}

/// Lays `applied` over `object`.
pub(crate) fn merge(object: &mut Value, applied: &Value, name: &str) {
    match (object, applied) {
        (Value::Object(object), Value::Object(applied)) if !ATOMIC.contains(&name) => {
            for (name, value) in applied {
                merge(object.entry(name.clone()).or_insert(Value::Null), value, name);
            }
        }
        (Value::Array(items), Value::Array(applied)) if key_of_items(name).is_some() => {
            for item in applied {
                match items.iter_mut().find(|old| item_key(name, old) == item_key(name, item)) {
                    Some(old) => merge(old, item, ""),
                    None => items.push(item.clone()),
                }
            }
        }
        (object, applied) => *object = applied.clone(),
    }
}

/// As `fieldsV1` holds them.
pub(crate) fn to_json(fields: &Fields) -> Value {
    let mut root = Map::new();
    for path in fields {
        let mut place = &mut root;
        for step in path {
            let next = place.entry(step.clone()).or_insert_with(|| json!({}));
            let Value::Object(next) = next else { break };
            place = next;
        }
    }
    Value::Object(root)
}

pub(crate) fn from_json(json: &Value) -> Fields {
    fn gather(value: &Value, path: &mut Path, fields: &mut Fields) {
        let children = value.as_object().filter(|object| !object.is_empty());
        match children {
            Some(children) => {
                for (name, value) in children {
                    path.push(name.clone());
                    gather(value, path, fields);
                    path.pop();
                }
            }
            None if path.is_empty() => {}
            None => {
                fields.insert(path.clone());
            }
        }
    }
    let mut fields = Fields::new();
    gather(json, &mut Vec::new(), &mut fields);
    fields
}

/// As messages show a path: `.data.root-cert.pem`.
pub(crate) fn display(path: &Path) -> String {
    let step = |step: &String| match step.split_at_checked(2) {
        Some(("f:", name)) => format!(".{name}"),
        Some(("k:", key)) => format!("[{}]", key.trim_matches(['{', '}']).replace("\":", "=").replace('"', "")),
        _ => String::new(),
    };
    path.iter().map(step).collect()
}

/// Whoever set fields, and which.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Manager {
    pub(crate) name: String,
    pub(crate) operation: String,
    pub(crate) api_version: String,
    pub(crate) subresource: String,
    pub(crate) time: String,
    pub(crate) fields: Fields,
}

impl Manager {
    pub(crate) fn is(&self, name: &str, operation: &str) -> bool {
        self.name == name && self.operation == operation
    }

    pub(crate) fn read(object: &Value) -> Vec<Self> {
        let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
        let word = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let manager = |entry: &Value| Self {
            name: word(entry, "manager"),
            operation: word(entry, "operation"),
            api_version: word(entry, "apiVersion"),
            subresource: word(entry, "subresource"),
            time: word(entry, "time"),
            fields: from_json(&entry["fieldsV1"]),
        };
        entries.iter().map(manager).collect()
    }

    /// Writes those that own something, appliers first.
    pub(crate) fn write(object: &mut Value, mut managers: Vec<Self>) {
        managers.retain(|manager| !manager.fields.is_empty());
        managers.sort_by(|one, other| (&one.operation, &one.name).cmp(&(&other.operation, &other.name)));
        let entries = managers.iter().map(|manager| {
            let mut entry = json!({
                "manager": manager.name,
                "operation": manager.operation,
                "apiVersion": manager.api_version,
                "time": manager.time,
                "fieldsType": "FieldsV1",
                "fieldsV1": to_json(&manager.fields),
            });
            if !manager.subresource.is_empty() {
                entry["subresource"] = json!(manager.subresource);
            }
            entry
        });
        let entries: Vec<Value> = entries.collect();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            if entries.is_empty() {
                metadata.remove("managedFields");
            } else {
                metadata.insert("managedFields".to_owned(), Value::Array(entries));
            }
        }
    }
}

/// Credits a plain write of `new` over `old` to its author, taking what it changed from all others.
pub(crate) fn credit_update(old: &Value, new: &mut Value, author: Manager) {
    let (changed, left) = (changed(old, new), of(new, true));
    let mut managers = Manager::read(old);
    for manager in &mut managers {
        manager.fields.retain(|path| left.contains(path) && !changed.contains(path));
    }
    if !changed.is_empty() {
        match managers.iter_mut().find(|manager| manager.is(&author.name, &author.operation)) {
            Some(manager) => {
                manager.fields.extend(changed);
                manager.time = author.time;
            }
            None => managers.push(Manager { fields: changed, ..author }),
        }
    }
    Manager::write(new, managers);
}
