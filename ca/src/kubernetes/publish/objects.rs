//! Namespaces and ConfigMaps on their way onto the board.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use signet_kubernetes::{Collection, Watched};
use tokio::sync::Notify;

use super::board::{Board, Spread};
use super::form::{Form, Found};
use super::roots::{Seen, Wanted};
use crate::authority::Authority;

const CORE: &str = "api/v1";

/// A board that several tasks look at.
#[derive(Clone)]
pub(super) struct SharedBoard {
    board: Arc<Mutex<Board>>,
    /// Rung when something on it changed.
    pub(super) bell: Arc<Notify>,
}

impl SharedBoard {
    pub(super) fn new() -> Self {
        Self { board: Arc::new(Mutex::new(Board::new())), bell: Arc::new(Notify::new()) }
    }

    /// Never held across an await.
    pub(super) fn lock(&self) -> MutexGuard<'_, Board> {
        // Every change is whole or not begun.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Board)) {
        change(&mut self.lock());
        self.bell.notify_one();
    }
}

/// What of a namespace is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Namespace {
    metadata: NamespaceMeta,
    status: NamespaceStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NamespaceMeta {
    name: Box<str>,
    resource_version: Box<str>,
    deletion_timestamp: Option<Box<str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NamespaceStatus {
    phase: Box<str>,
}

/// The namespaces that a selector names, without those that are left out and those that end.
pub(super) struct Namespaces {
    pub(super) board: SharedBoard,
    pub(super) excluded: Vec<String>,
    pub(super) selector: Option<String>,
}

impl Watched for Namespaces {
    type Object = Namespace;
    type Kept = (Box<str>, bool);

    fn collection(&self) -> Collection {
        Collection::all(CORE, "namespaces")
    }

    fn label_selector(&self) -> Option<&str> {
        self.selector.as_deref()
    }

    fn version<'a>(&self, object: &'a Namespace) -> &'a str {
        &object.metadata.resource_version
    }

    fn keep(&self, object: Namespace) -> Self::Kept {
        let is_ending = object.metadata.deletion_timestamp.is_some() || &*object.status.phase == "Terminating";
        let is_excluded = self.excluded.iter().any(|name| **name == *object.metadata.name);
        (object.metadata.name, !is_ending && !is_excluded)
    }

    fn replace(&mut self, all: Vec<Self::Kept>, _: SystemTime) {
        self.board.change(|board| board.replace_spaces(all));
    }

    fn apply(&mut self, (name, is_enabled): Self::Kept) {
        self.board.change(|board| board.put_space(name, is_enabled));
    }

    fn delete(&mut self, (name, _): Self::Kept) {
        self.board.change(|board| board.remove_space(&name));
    }

    fn heard(&mut self, _: SystemTime) {}

    fn count(&self) -> usize {
        self.board.lock().spaces()
    }
}

/// What of a ConfigMap is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ConfigMap {
    metadata: ConfigMapMeta,
    data: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ConfigMapMeta {
    namespace: Box<str>,
    resource_version: Box<str>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

/// The key that Istio's proxies read.
const KEY: &str = "root-cert.pem";

/// The label by which Istio knows what is its own.
const LABEL: (&str, &str) = ("istio.io/config", "true");

/// A ConfigMap in each namespace.
#[derive(Debug, Clone)]
pub(super) struct MapForm {
    /// Its name in every namespace.
    pub(super) name: String,
    pub(super) claim: Option<String>,
}

impl Form for MapForm {
    type Object = ConfigMap;

    const FIELDS: &'static [&'static str] = &["/f:data/f:root-cert.pem", "/f:metadata/f:labels/f:istio.io~1config"];

    fn wanted(&self, authority: &Authority) -> Wanted {
        Wanted::new(authority.roots_pem())
    }

    fn collection(&self, namespace: &str) -> Collection {
        Collection::within(CORE, namespace, "configmaps")
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn claim(&self) -> Option<&str> {
        self.claim.as_deref()
    }

    fn body(&self, mut metadata: Map<String, Value>, pem: &str) -> Value {
        metadata.insert("labels".to_owned(), json!({ LABEL.0: LABEL.1 }));
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": { KEY: pem } })
    }

    fn found<'a>(&self, map: &'a ConfigMap) -> Found<'a> {
        let claim = self.claim.as_ref().and_then(|claim| map.metadata.annotations.get(claim));
        Found {
            version: Some(&*map.metadata.resource_version).filter(|version| !version.is_empty()),
            value: map.data.get(KEY).map(String::as_str).unwrap_or_default(),
            claim: claim.map(String::as_str).unwrap_or_default(),
            is_whole: map.metadata.labels.get(LABEL.0).is_some_and(|value| value == LABEL.1),
        }
    }

    fn names(&self, namespace: &str) -> String {
        format!("namespace {namespace}")
    }

    fn remark(&self, spread: Spread, is_known: bool) -> String {
        if !is_known {
            return "namespaces and ConfigMaps have not been listed".to_owned();
        }
        let Spread { total, behind, refused } = spread;
        format!("roots are not published in {behind} of {total} namespaces, in {refused} because of another manager")
    }
}

/// The ConfigMaps of one name in all namespaces.
pub(super) struct ConfigMaps {
    pub(super) board: SharedBoard,
    pub(super) form: MapForm,
    pub(super) selector: String,
}

impl ConfigMaps {
    pub(super) fn new(board: SharedBoard, form: MapForm) -> Self {
        let selector = format!("metadata.name={}", form.name);
        Self { board, form, selector }
    }
}

impl Watched for ConfigMaps {
    type Object = ConfigMap;
    type Kept = (Box<str>, Seen);

    fn collection(&self) -> Collection {
        Collection::all(CORE, "configmaps")
    }

    fn field_selector(&self) -> Option<&str> {
        Some(&self.selector)
    }

    fn version<'a>(&self, object: &'a ConfigMap) -> &'a str {
        &object.metadata.resource_version
    }

    fn keep(&self, object: ConfigMap) -> Self::Kept {
        let seen = self.form.see(&object);
        (object.metadata.namespace, seen)
    }

    fn replace(&mut self, all: Vec<Self::Kept>, _: SystemTime) {
        self.board.change(|board| board.replace_maps(all));
    }

    fn apply(&mut self, (namespace, seen): Self::Kept) {
        self.board.change(|board| board.put_map(namespace, seen));
    }

    fn delete(&mut self, (namespace, _): Self::Kept) {
        self.board.change(|board| board.remove_map(&namespace));
    }

    fn heard(&mut self, _: SystemTime) {}

    fn count(&self) -> usize {
        self.board.lock().maps()
    }
}
