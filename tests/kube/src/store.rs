//! All objects, numbered by one revision, with the history that watches and continued lists read.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use crate::kinds::Kind;

/// Most changes that are remembered; older ones are compacted away.
const HISTORY_MAX: usize = 200_000;

/// Names one object. Ordered as a list shows objects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// Group and plural.
    pub(crate) kind: (&'static str, &'static str),
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(kind: &Kind, namespace: &str, name: &str) -> Self {
        Self { kind: (kind.group, kind.plural), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    pub(crate) fn is_of(&self, kind: &Kind, namespace: &str) -> bool {
        self.kind == (kind.group, kind.plural) && (namespace.is_empty() || self.namespace == namespace)
    }

    /// As a continue token holds it.
    pub(crate) fn path(&self) -> String {
        if self.namespace.is_empty() { format!("/{}", self.name) } else { format!("/{}/{}", self.namespace, self.name) }
    }
}

/// One change of one object; what it was before and is after.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) key: Key,
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
}

/// All objects.
#[derive(Debug)]
pub(crate) struct Store {
    revision: u64,
    /// Nothing at or before this revision can be asked for.
    compacted: u64,
    objects: BTreeMap<Key, Value>,
    history: VecDeque<Change>,
}

impl Store {
    pub(crate) fn new() -> Self {
        // A fresh cluster has seen some writes before anybody looks.
        Self { revision: 200, compacted: 0, objects: BTreeMap::new(), history: VecDeque::new() }
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Value> {
        self.objects.get(key)
    }

    pub(crate) fn of<'a>(&'a self, kind: &'a Kind, namespace: &'a str) -> impl Iterator<Item = (&'a Key, &'a Value)> {
        self.objects.iter().filter(move |(key, _)| key.is_of(kind, namespace))
    }

    /// Keeps `object` under the next revision, and gives it back as it was kept.
    pub(crate) fn put(&mut self, key: Key, mut object: Value) -> Value {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        let before = self.objects.insert(key.clone(), object.clone());
        self.remember(Change { revision: self.revision, key, before, after: Some(object.clone()) });
        object
    }

    pub(crate) fn remove(&mut self, key: &Key) {
        if let Some(before) = self.objects.remove(key) {
            self.revision += 1;
            self.remember(Change { revision: self.revision, key: key.clone(), before: Some(before), after: None });
        }
    }

    /// Counts the revision up without a change, as writes to other kinds do.
    pub(crate) fn tick(&mut self) {
        self.revision += 1;
    }

    /// Becomes what it was at `revision`, as after a restore from a backup. What came later never happened.
    pub(crate) fn roll_back(&mut self, revision: u64) {
        let kept = self.history.partition_point(|change| change.revision <= revision);
        for change in self.history.split_off(kept).into_iter().rev() {
            match change.before {
                Some(before) => self.objects.insert(change.key, before),
                None => self.objects.remove(&change.key),
            };
        }
        self.revision = revision;
    }

    /// Forgets the history up to now.
    pub(crate) fn compact(&mut self) {
        self.compacted = self.revision;
        self.history.clear();
    }

    /// The changes after `revision`, or nothing when they are not all known any more.
    pub(crate) fn since(&self, revision: u64) -> Option<impl Iterator<Item = &Change>> {
        let from = self.history.partition_point(|change| change.revision <= revision);
        (revision >= self.compacted).then(|| self.history.range(from..))
    }

    /// The objects of a kind as they stood at `revision`; nothing when that is not known any more.
    pub(crate) fn at(&self, revision: u64, kind: &Kind, namespace: &str) -> Option<BTreeMap<Key, Value>> {
        let mut objects: BTreeMap<Key, Value> =
            self.of(kind, namespace).map(|(key, object)| (key.clone(), object.clone())).collect();
        let later: Vec<&Change> = self.since(revision)?.collect();
        for change in later.into_iter().rev().filter(|change| change.key.is_of(kind, namespace)) {
            match &change.before {
                Some(before) => objects.insert(change.key.clone(), before.clone()),
                None => objects.remove(&change.key),
            };
        }
        Some(objects)
    }

    fn remember(&mut self, change: Change) {
        self.history.push_back(change);
        if self.history.len() > HISTORY_MAX
            && let Some(oldest) = self.history.pop_front()
        {
            self.compacted = oldest.revision;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::POD;

    fn key(name: &str) -> Key {
        Key { kind: ("", "pods"), namespace: "shop".to_owned(), name: name.to_owned() }
    }

    #[test]
    fn the_past_can_be_seen_until_it_is_compacted() {
        let mut store = Store::new();
        store.put(key("a"), json!({ "metadata": {}, "spec": 1 }));
        let then = store.revision();
        store.put(key("a"), json!({ "metadata": {}, "spec": 2 }));
        store.put(key("b"), json!({ "metadata": {} }));
        store.remove(&key("a"));

        let past = store.at(then, &POD, "").unwrap();
        assert_eq!((past.len(), &past[&key("a")]["spec"]), (1, &json!(1)));
        assert_eq!(store.since(then).unwrap().count(), 3);
        store.compact();
        assert!(store.at(then, &POD, "").is_none() && store.since(then).is_none());
        assert_eq!(store.at(store.revision(), &POD, "").unwrap().len(), 1);
    }
}
