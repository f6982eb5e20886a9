//! Create, update, patch and delete, with the conflicts that each can meet.

use std::time::Duration;

use rand::Rng as _;
use serde_json::{Value, json};
use signet_identity::Timestamp;

use crate::apply::{self, Applier};
use crate::call::Call;
use crate::fields::{self, Manager};
use crate::kinds::{Kind, NAMESPACE, POD, Target};
use crate::rules;
use crate::status::{self, Failure};
use crate::store::{Key, Store};

/// How an object came to be.
pub(crate) enum Written {
    Created(Value),
    Updated(Value),
}

/// One write: what is asked, on what, by whom and when.
pub(crate) struct Write<'a> {
    pub(crate) store: &'a mut Store,
    pub(crate) call: &'a Call,
    pub(crate) target: &'a Target,
    pub(crate) now: Timestamp,
}

impl Write<'_> {
    pub(crate) fn create(&mut self) -> Result<Value, Failure> {
        let mut object = self.object()?;
        if object["metadata"]["name"].as_str().unwrap_or_default().is_empty() {
            let prefix = object["metadata"]["generateName"].as_str().unwrap_or_default().to_owned();
            if prefix.is_empty() {
                let why = "Required value: name or generateName is required";
                return Err(Failure::invalid(self.kind(), "", "metadata.name", why));
            }
            object["metadata"]["name"] = json!(format!("{prefix}{}", suffix()));
        }
        if !self.target.name.is_empty() {
            object["metadata"]["name"] = json!(self.target.name);
        }
        let author = self.author("Update");
        let created = |object: &mut Value| {
            let fields = fields::of(object, true);
            Manager::write(object, vec![Manager { fields, ..author }]);
        };
        self.insert(object, created)
    }

    pub(crate) fn update(&mut self) -> Result<Written, Failure> {
        let (kind, key) = (self.kind(), self.key());
        let mut object = self.object()?;
        self.check_name(&object)?;
        let Some(old) = self.store.get(&key).cloned() else {
            if kind.create_on_update {
                return self.create().map(Written::Created);
            }
            return Err(Failure::not_found(kind, &self.target.name));
        };
        match object["metadata"]["resourceVersion"].as_str().filter(|version| !version.is_empty()) {
            Some(version) if old["metadata"]["resourceVersion"] != json!(version) => {
                return Err(Failure::modified(kind, &self.target.name));
            }
            None if !kind.unconditional_update => {
                let why = "Invalid value: 0: must be specified for an update";
                return Err(Failure::invalid(kind, &self.target.name, "metadata.resourceVersion", why));
            }
            _ => {}
        }
        if let Some(uid) = object["metadata"]["uid"].as_str()
            && old["metadata"]["uid"] != json!(uid)
        {
            let why = format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                old["metadata"]["uid"].as_str().unwrap_or_default()
            );
            return Err(Failure::conflict(kind, &self.target.name, &why));
        }
        rules::fill(kind, &mut object);
        self.replace(&old, object, None).map(Written::Updated)
    }

    pub(crate) fn patch(&mut self) -> Result<Written, Failure> {
        match self.call.content_type.as_str() {
            "application/apply-patch+yaml" => self.apply(),
            "application/merge-patch+json" | "application/strategic-merge-patch+json" => self.merge(),
            other => Err(Failure::unsupported_media_type(other)),
        }
    }

    fn apply(&mut self) -> Result<Written, Failure> {
        let (kind, key) = (self.kind(), self.key());
        let Some(manager) = self.call.parameter("fieldManager") else {
            let why = "Required value: is required for apply patch";
            let options = Kind { group: "meta.k8s.io", kind: "PatchOptions", ..POD };
            return Err(Failure::invalid(&options, "", "fieldManager", why));
        };
        let applied = self.object()?;
        self.check_name(&applied)?;
        if !applied["metadata"]["managedFields"].is_null() {
            return Err(Failure::bad_request("metadata.managedFields must be nil"));
        }
        let manager = Manager { name: manager.to_owned(), ..self.author("Apply") };
        let applier = Applier { manager, force: self.call.flag("force") };
        match self.store.get(&key).cloned() {
            None => {
                let object = apply::create(&applied, applier);
                self.insert(object, |_: &mut Value| {}).map(Written::Created)
            }
            Some(old) => {
                if let Some(version) = applied["metadata"]["resourceVersion"].as_str()
                    && old["metadata"]["resourceVersion"] != json!(version)
                {
                    return Err(Failure::modified(kind, &self.target.name));
                }
                let object = apply::apply(&old, &applied, applier)?;
                let managers = Manager::read(&object);
                self.replace(&old, object, Some(managers)).map(Written::Updated)
            }
        }
    }

    fn merge(&mut self) -> Result<Written, Failure> {
        let (kind, key) = (self.kind(), self.key());
        let patch = self.call.json()?;
        let old = self.store.get(&key).cloned().ok_or_else(|| Failure::not_found(kind, &self.target.name))?;
        if let Some(version) = patch["metadata"]["resourceVersion"].as_str()
            && old["metadata"]["resourceVersion"] != json!(version)
        {
            return Err(Failure::modified(kind, &self.target.name));
        }
        let mut object = old.clone();
        merge_patch(&mut object, &patch);
        self.replace(&old, object, None).map(Written::Updated)
    }

    /// Takes the object away: at once, or after its grace period, or after its namespace was emptied.
    pub(crate) fn delete(&mut self) -> Result<Value, Failure> {
        let (kind, key) = (self.kind(), self.key());
        let name = &self.target.name;
        let options = if self.call.body.is_empty() { Value::Null } else { self.call.json()? };
        let object = self.store.get(&key).cloned().ok_or_else(|| Failure::not_found(kind, name))?;
        for field in ["uid", "resourceVersion"] {
            let wanted = &options["preconditions"][field];
            if !wanted.is_null() && *wanted != object["metadata"][field] {
                let why = format!("Precondition failed: {field} differs");
                return Err(Failure::conflict(kind, name, &why));
            }
        }
        let asked = self.call.parameter("gracePeriodSeconds").and_then(|text| text.parse().ok());
        let grace = asked.or(options["gracePeriodSeconds"].as_u64());
        if *kind == NAMESPACE {
            return Ok(self.mark_namespace(&key, object));
        }
        if *kind == POD {
            let on_node = object["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty());
            let grace = grace.or(object["spec"]["terminationGracePeriodSeconds"].as_u64()).unwrap_or(30);
            let marked = self.mark_pod(&key, object, grace);
            if grace == 0 || !on_node {
                self.store.remove(&key);
            }
            return Ok(marked);
        }
        self.store.remove(&key);
        Ok(status::deleted(kind, name, &object["metadata"]["uid"]))
    }

    fn mark_pod(&mut self, key: &Key, mut pod: Value, grace: u64) -> Value {
        let at = self.now.plus(Duration::from_secs(grace)).to_string();
        pod["metadata"]["deletionTimestamp"] = json!(at);
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        pod["metadata"]["generation"] = json!(pod["metadata"]["generation"].as_u64().unwrap_or(1) + 1);
        self.store.put(key.clone(), pod)
    }

    fn mark_namespace(&mut self, key: &Key, mut namespace: Value) -> Value {
        namespace["metadata"]["deletionTimestamp"] = json!(self.now.to_string());
        namespace["status"]["phase"] = json!("Terminating");
        self.store.put(key.clone(), namespace)
    }

    fn insert(&mut self, mut object: Value, credit: impl FnOnce(&mut Value)) -> Result<Value, Failure> {
        let kind = self.kind();
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if kind.namespaced {
            self.check_namespace(&name)?;
            object["metadata"]["namespace"] = json!(self.target.namespace);
        }
        rules::fill(kind, &mut object);
        credit(&mut object);
        rules::admit(kind, &mut object);
        rules::check(kind, None, &object)?;
        let key = Key::new(kind, &self.target.namespace, &name);
        if self.store.get(&key).is_some() {
            return Err(Failure::already_exists(kind, &name));
        }
        object["metadata"]["uid"] = json!(uid());
        object["metadata"]["creationTimestamp"] = json!(self.now.to_string());
        Ok(self.store.put(key, bare(object)))
    }

    /// Puts `object` in the place of `old`, unless nothing would change. `managers`: as apply left them.
    fn replace(&mut self, old: &Value, mut object: Value, managers: Option<Vec<Manager>>) -> Result<Value, Failure> {
        let kind = self.kind();
        for field in ["uid", "creationTimestamp", "resourceVersion", "name", "namespace", "generation"] {
            if !old["metadata"][field].is_null() {
                object["metadata"][field] = old["metadata"][field].clone();
            }
        }
        match managers {
            Some(managers) => Manager::write(&mut object, managers),
            None => fields::credit_update(old, &mut object, self.author("Update")),
        }
        rules::check(kind, Some(old), &object)?;
        let object = bare(object);
        Ok(if object == *old { object } else { self.store.put(self.key(), object) })
    }

    /// The object that came, of the kind that the path names.
    fn object(&self) -> Result<Value, Failure> {
        let object = self.call.json()?;
        for (field, wanted) in [("kind", self.kind().kind.to_owned()), ("apiVersion", self.target.api_version())] {
            match object[field].as_str() {
                None | Some("") if self.call.content_type.contains("apply") => {
                    return Err(Failure::bad_request(format!("invalid object type: {field} must be set")));
                }
                Some(found) if !found.is_empty() && found != wanted => {
                    let message = format!("{field} in body ({found}) does not match the one of the request ({wanted})");
                    return Err(Failure::bad_request(message));
                }
                _ => {}
            }
        }
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        if self.kind().namespaced && !namespace.is_empty() && namespace != self.target.namespace {
            let message = "the namespace of the provided object does not match the namespace sent on the request";
            return Err(Failure::bad_request(message));
        }
        Ok(object)
    }

    fn check_name(&self, object: &Value) -> Result<(), Failure> {
        match object["metadata"]["name"].as_str() {
            Some(name) if name != self.target.name => {
                let url = &self.target.name;
                let message = format!("the name of the object ({name}) does not match the name on the URL ({url})");
                Err(Failure::bad_request(message))
            }
            _ => Ok(()),
        }
    }

    fn check_namespace(&self, name: &str) -> Result<(), Failure> {
        let namespace = &self.target.namespace;
        match self.store.get(&Key::new(&NAMESPACE, "", namespace)) {
            None => Err(Failure::not_found(&NAMESPACE, namespace)),
            Some(found) if !found["metadata"]["deletionTimestamp"].is_null() => {
                Err(Failure::terminating(self.kind(), name, namespace))
            }
            Some(_) => Ok(()),
        }
    }

    fn author(&self, operation: &str) -> Manager {
        Manager {
            name: self.call.manager().to_owned(),
            operation: operation.to_owned(),
            api_version: self.target.api_version(),
            subresource: String::new(),
            time: self.now.to_string(),
            fields: fields::Fields::new(),
        }
    }

    fn key(&self) -> Key {
        Key::new(self.kind(), &self.target.namespace, &self.target.name)
    }

    fn kind(&self) -> &'static Kind {
        self.target.kind
    }
}

/// The object as it is kept: without kind, which every answer adds, and without what is null.
fn bare(mut object: Value) -> Value {
    if let Some(top) = object.as_object_mut() {
        top.remove("kind");
        top.remove("apiVersion");
        top.retain(|name, value| !value.is_null() || name.starts_with("deprecated"));
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|_, value| !value.is_null());
    }
    object
}

/// RFC 7386.
fn merge_patch(object: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (name, value) in patch {
        match (value, object.as_object_mut()) {
            (Value::Null, Some(object)) => {
                object.remove(name);
            }
            (value, Some(object)) => merge_patch(object.entry(name.clone()).or_insert(Value::Null), value),
            (_, None) => {}
        }
    }
}

/// A fresh version 4 UUID.
pub(crate) fn uid() -> String {
    let bits: u128 = rand::random();
    let hex = format!("{bits:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default().to_owned();
    format!("{}-{}-4{}-8{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}

/// What is put behind a `generateName`.
fn suffix() -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut rng = rand::thread_rng();
    (0..5).filter_map(|_| LETTERS.get(rng.gen_range(0..LETTERS.len()))).map(|letter| char::from(*letter)).collect()
}
