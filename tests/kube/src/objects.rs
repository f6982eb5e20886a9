//! The objects of a server as a test writes and reads them, and the shapes of the common ones.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};

use crate::answer::{Answer, Reply};
use crate::auth::User;
use crate::call::Call;
use crate::handle::Shared;
use crate::kinds::{KEPT, Kind};

const APPLY: &str = "application/apply-patch+yaml";

/// An administrator at the server's side, or whoever's rights it was given.
#[derive(Clone)]
pub struct Objects {
    shared: Arc<Shared>,
    agent: String,
    user: User,
}

impl Objects {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, agent: "kubectl".to_owned(), user: User::administrator() }
    }

    /// The same under another name in `managedFields`.
    #[must_use]
    pub fn acting_as(mut self, agent: &str) -> Self {
        agent.clone_into(&mut self.agent);
        self
    }

    /// The same with the rights of a service account, and no others.
    #[must_use]
    pub fn with_rights_of(mut self, namespace: &str, name: &str) -> Self {
        self.user = User::service_account(namespace, name);
        self
    }

    /// Sends any request but a watch, past network and faults.
    ///
    /// # Panics
    /// When `method` is none, or the request watches.
    pub fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).expect("the method should be one");
        let call = Call::inside(method, path, body, &self.agent);
        match self.shared.reply_to(&call, &self.user) {
            Ok(Reply::Json { status, body, .. }) => Answer { status, body },
            Ok(Reply::Watch(_)) => panic!("a watch needs a connection"),
            Err(failure) => Answer { status: failure.code, body: failure.status },
        }
    }

    /// Creates an object, which knows its kind and namespace, and gives it back as it is kept.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn create(&self, object: &Value) -> Value {
        let path = path(object, false);
        let answer = self.send("POST", &path, object);
        assert_eq!(answer.status, 201, "{path} should be created: {}", answer.body);
        answer.body
    }

    /// Applies `object` at `path`, which names the field manager, with the server's own rules for conflicts.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn apply(&self, path: &str, object: &Value) -> Value {
        let call = Call { content_type: APPLY.to_owned(), ..Call::inside(Method::PATCH, path, object, &self.agent) };
        match self.shared.reply_to(&call, &self.user) {
            Ok(Reply::Json { body, .. }) => body,
            Ok(Reply::Watch(_)) => panic!("an apply is no watch"),
            Err(failure) => panic!("{path} should be applied: {}", failure.status),
        }
    }

    /// One object, such as `("configmaps", "shop", "roots")`; no namespace for kinds that are in none.
    pub fn get(&self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        let answer = self.send("GET", &kind(plural).path(version(plural), namespace, name), &Value::Null);
        (answer.status == 200).then_some(answer.body)
    }

    /// All objects of a kind, in all namespaces.
    pub fn list(&self, plural: &str) -> Vec<Value> {
        let answer = self.send("GET", &kind(plural).path(version(plural), "", ""), &Value::Null);
        answer.body["items"].as_array().cloned().unwrap_or_default()
    }

    /// Changes an object as an editor would, and gives it back as it is kept.
    ///
    /// # Panics
    /// When it is not there or the server refuses.
    pub fn edit(&self, plural: &str, namespace: &str, name: &str, change: impl FnOnce(&mut Value)) -> Value {
        let mut object = self.get(plural, namespace, name).expect("what is edited should be there");
        change(&mut object);
        let answer = self.send("PUT", &kind(plural).path(version(plural), namespace, name), &object);
        assert_eq!(answer.status, 200, "{plural} {name} should be changed: {}", answer.body);
        answer.body
    }

    /// Deletes an object: a pod with its grace period, a namespace into its termination, anything else at once.
    ///
    /// # Panics
    /// When it is not there.
    pub fn delete(&self, plural: &str, namespace: &str, name: &str) {
        let answer = self.send("DELETE", &kind(plural).path(version(plural), namespace, name), &Value::Null);
        assert_eq!(answer.status, 200, "{plural} {name} should be deleted: {}", answer.body);
    }

    /// Deletes a pod without a grace period.
    ///
    /// # Panics
    /// When it is not there.
    pub fn kill_pod(&self, namespace: &str, name: &str) {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}?gracePeriodSeconds=0");
        let answer = self.send("DELETE", &path, &Value::Null);
        assert_eq!(answer.status, 200, "pod {name} should be deleted: {}", answer.body);
    }

    /// Ends a namespace that terminates, with everything in it, as controllers do.
    pub fn finish_namespace(&self, name: &str) {
        let mut store = self.shared.store();
        let namespaces = kind("namespaces");
        let inside = KEPT.iter().flat_map(|kind| {
            let of = if *kind == *namespaces { Vec::new() } else { store.of(kind, name).collect() };
            of.into_iter().map(|(key, _)| key.clone())
        });
        let mut keys: Vec<_> = inside.collect();
        keys.retain(|key| key.namespace == name);
        keys.push(crate::store::Key::new(namespaces, "", name));
        for key in keys {
            store.remove(&key);
        }
        drop(store);
        self.shared.announce();
    }

    /// Creates every object of a YAML file of several documents, or changes it to what stands there.
    ///
    /// # Panics
    /// When the file cannot be read as YAML or the server refuses an object.
    pub fn apply_yaml(&self, yaml: &str) {
        let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).expect("the file should be YAML");
        for object in documents.iter().filter(|document| document.is_object()) {
            let (all, one) = (path(object, false), path(object, true));
            let answer = match self.send("POST", &all, object) {
                Answer { status: 409, .. } => self.send("PUT", &one, object),
                answer => answer,
            };
            assert!(answer.status < 300, "{one} should be applied: {}", answer.body);
        }
    }
}

fn kind(plural: &str) -> &'static Kind {
    KEPT.iter().find(|kind| kind.plural == plural).expect("the kind should be kept")
}

fn version(plural: &str) -> &'static str {
    kind(plural).versions.first().copied().unwrap_or("v1")
}

fn path(object: &Value, to_object: bool) -> String {
    let word = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = word("/apiVersion").rsplit_once('/').unwrap_or(("", word("/apiVersion")));
    let kind = KEPT.iter().find(|kind| kind.kind == word("/kind") && kind.group == group);
    let kind = kind.expect("the kind should be kept");
    kind.path(version, word("/metadata/namespace"), if to_object { word("/metadata/name") } else { "" })
}

/// A namespace.
pub fn namespace(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } })
}

/// A node.
pub fn node(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name } })
}

/// A service account.
pub fn service_account(namespace: &str, name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name, "namespace": namespace } })
}

/// A pod that is bound to a node and runs.
pub fn pod(namespace: &str, name: &str, service_account: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "namespace": namespace, "labels": { "app": name } },
        "spec": {
            "serviceAccountName": service_account,
            "nodeName": node,
            "containers": [{ "name": "c", "image": "registry.example/web:1" }],
        },
        "status": { "phase": "Running" },
    })
}

/// A ConfigMap with one key.
pub fn config_map(namespace: &str, name: &str, key: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": name, "namespace": namespace },
        "data": { key: value },
    })
}

/// A Secret with plain values.
pub fn secret(namespace: &str, name: &str, kind: &str, values: &[(&str, &str)]) -> Value {
    let mut data = json!({});
    for (key, value) in values {
        data[*key] = json!(STANDARD.encode(value));
    }
    let metadata = json!({ "name": name, "namespace": namespace });
    json!({ "apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": metadata, "data": data })
}

/// A trust bundle of a signer; none for a signer of no name.
pub fn cluster_trust_bundle(name: &str, signer: Option<&str>, pem: &str) -> Value {
    let mut spec = json!({ "trustBundle": pem });
    if let Some(signer) = signer {
        spec["signerName"] = json!(signer);
    }
    let metadata = json!({ "name": name });
    json!({
        "apiVersion": "certificates.k8s.io/v1beta1",
        "kind": "ClusterTrustBundle",
        "metadata": metadata,
        "spec": spec,
    })
}
