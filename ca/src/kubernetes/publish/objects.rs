//! Namespaces and ConfigMaps on their way onto the board.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use signet_identity::Timestamp;
use tokio::sync::Notify;

use super::board::Board;
use super::roots::Seen;
use crate::kubernetes::api::Collection;
use crate::kubernetes::watching::Watched;

pub(super) const CORE: &str = "api/v1";

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

    fn change(&self, change: impl FnOnce(&mut Board)) {
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

    fn replace(&mut self, all: Vec<Self::Kept>, _: Timestamp) {
        self.board.change(|board| board.replace_spaces(all));
    }

    fn apply(&mut self, (name, is_enabled): Self::Kept) {
        self.board.change(|board| board.put_space(name, is_enabled));
    }

    fn delete(&mut self, (name, _): Self::Kept) {
        self.board.change(|board| board.remove_space(&name));
    }

    fn heard(&mut self, _: Timestamp) {}

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

impl ConfigMap {
    /// Which version of it this is; none for one that is not there.
    pub(super) fn version(&self) -> Option<&str> {
        Some(&*self.metadata.resource_version).filter(|version| !version.is_empty())
    }
}

/// How a ConfigMap holds roots.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    /// Its name in every namespace.
    pub(super) name: String,
    /// The annotation that says which roots are ours, where control planes share.
    pub(super) claim: Option<String>,
}

/// The key that Istio's proxies read.
pub(super) const KEY: &str = "root-cert.pem";

/// The label by which Istio knows what is its own.
pub(super) const LABEL: (&str, &str) = ("istio.io/config", "true");

impl Shape {
    /// What is remembered of `map`. A missing label is as bad as missing roots.
    pub(super) fn see(&self, map: &ConfigMap) -> Seen {
        let is_labelled = map.metadata.labels.get(LABEL.0).is_some_and(|value| value == LABEL.1);
        let value = self.value(map).filter(|_| is_labelled).unwrap_or_default();
        Seen::new(value, self.claim.as_ref().map(|_| self.claimed(map)))
    }

    pub(super) fn value<'a>(&self, map: &'a ConfigMap) -> Option<&'a str> {
        map.data.get(KEY).map(String::as_str)
    }

    pub(super) fn claimed<'a>(&self, map: &'a ConfigMap) -> &'a str {
        let claim = self.claim.as_ref().and_then(|claim| map.metadata.annotations.get(claim));
        claim.map(String::as_str).unwrap_or_default()
    }
}

/// The ConfigMaps of one name in all namespaces.
pub(super) struct ConfigMaps {
    pub(super) board: SharedBoard,
    pub(super) shape: Shape,
    pub(super) selector: String,
}

impl ConfigMaps {
    pub(super) fn new(board: SharedBoard, shape: Shape) -> Self {
        let selector = format!("metadata.name={}", shape.name);
        Self { board, shape, selector }
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
        let seen = self.shape.see(&object);
        (object.metadata.namespace, seen)
    }

    fn replace(&mut self, all: Vec<Self::Kept>, _: Timestamp) {
        self.board.change(|board| board.replace_maps(all));
    }

    fn apply(&mut self, (namespace, seen): Self::Kept) {
        self.board.change(|board| board.put_map(namespace, seen));
    }

    fn delete(&mut self, (namespace, _): Self::Kept) {
        self.board.change(|board| board.remove_map(&namespace));
    }

    fn heard(&mut self, _: Timestamp) {}

    fn count(&self) -> usize {
        self.board.lock().maps()
    }
}
