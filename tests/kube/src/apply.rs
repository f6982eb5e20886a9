//! Server-side apply: what is wished for is laid over what is there, field by field, each with an owner.

use serde_json::{Value, json};

use crate::fields::{self, Fields, Manager};
use crate::status::Failure;

/// Who applies, and how.
pub(crate) struct Applier {
    pub(crate) manager: Manager,
    pub(crate) force: bool,
}

const APPLY: &str = "Apply";

/// Lays `applied` over `live`.
///
/// # Errors
/// 409 with one cause for each field that somebody else owns and that would change.
pub(crate) fn apply(live: &Value, applied: &Value, applier: Applier) -> Result<Value, Failure> {
    let wanted = fields::of(applied, false);
    let mut managers = Manager::read(live);
    let is_applier = |manager: &Manager| manager.is(&applier.manager.name, APPLY);

    let mut conflicts = Vec::new();
    for manager in managers.iter().filter(|manager| !is_applier(manager)) {
        let differs = |path: &&Vec<String>| fields::value_at(live, path) != fields::value_at(applied, path);
        for path in wanted.iter().filter(|path| manager.fields.contains(*path)).filter(differs) {
            let owner = format!("{:?} using {}", manager.name, manager.api_version);
            conflicts.push((fields::display(path), owner));
        }
    }
    if !conflicts.is_empty() && !applier.force {
        return Err(Failure::owned(&conflicts));
    }

    let changed: Fields =
        wanted.iter().filter(|path| fields::value_at(live, path) != fields::value_at(applied, path)).cloned().collect();
    let mut object = live.clone();
    let before = managers.iter().find(|manager| is_applier(manager)).map(|manager| manager.fields.clone());
    for path in before.iter().flatten().filter(|path| !wanted.contains(*path)) {
        let is_shared = managers.iter().any(|manager| !is_applier(manager) && manager.fields.contains(path));
        if !is_shared {
            fields::remove(&mut object, path);
        }
    }
    fields::merge(&mut object, &content(applied), "");
    for manager in managers.iter_mut().filter(|manager| !is_applier(manager)) {
        manager.fields.retain(|path| !changed.contains(path));
    }
    let time = match managers.iter().find(|manager| is_applier(manager)) {
        Some(old) if old.fields == wanted && changed.is_empty() => old.time.clone(),
        _ => applier.manager.time.clone(),
    };
    managers.retain(|manager| !is_applier(manager));
    managers.push(Manager { operation: APPLY.to_owned(), fields: wanted, time, ..applier.manager });
    Manager::write(&mut object, managers);
    Ok(object)
}

/// What of an applied object is laid over the live one: not what names it or what the server sets.
fn content(applied: &Value) -> Value {
    let mut content = applied.clone();
    if let Some(metadata) = content["metadata"].as_object_mut() {
        for name in ["managedFields", "resourceVersion", "uid", "creationTimestamp"] {
            metadata.remove(name);
        }
    }
    if let Some(top) = content.as_object_mut() {
        top.remove("apiVersion");
        top.remove("kind");
    }
    content
}

/// The object that an apply patch creates.
pub(crate) fn create(applied: &Value, applier: Applier) -> Value {
    let mut object = applied.clone();
    object["metadata"]["managedFields"] = json!([]);
    let fields = fields::of(applied, false);
    Manager::write(&mut object, vec![Manager { operation: APPLY.to_owned(), fields, ..applier.manager }]);
    object
}
