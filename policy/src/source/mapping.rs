//! A mapping while it is read: no key stands twice, and `<<` brings in the keys of other mappings.
//!
//! `kubectl` takes `<<` in the order of the text: what stands behind it counts, what stood before it is written over.
//! YAML itself lets what is written count wherever it stands. The two differ only for a key that stands before a `<<`
//! which brings it in again: that is refused, and everything else means the same to both.

use std::collections::HashMap;

use super::{Entry, Node, Value};
use crate::problem::Code;

/// What is wrong with a key.
type Wrong = (Code, String);

#[derive(Debug, Default)]
pub(super) struct Mapping {
    pub(super) entries: Vec<Entry>,
    /// Where each key is among the entries, and whether it was brought in and not written here.
    at: HashMap<Box<str>, (usize, bool)>,
    /// Whether there was a `<<`.
    merges: bool,
}

impl Mapping {
    /// A key that is written here. One that was brought in before gives way to it.
    pub(super) fn add(&mut self, entry: Entry) -> Result<(), Wrong> {
        match self.at.get_mut(&entry.key) {
            None => self.push(entry, false),
            Some((_, false)) => {
                return Err((Code::DuplicateKey, format!("`{}` stands twice in one mapping", entry.key)));
            }
            Some((index, merged)) => {
                *merged = false;
                if let Some(old) = self.entries.get_mut(*index) {
                    *old = entry;
                }
            }
        }
        Ok(())
    }

    /// The keys of a mapping, or of several of which the first that has a key counts.
    pub(super) fn merge(&mut self, node: Node) -> Result<(), Wrong> {
        let wrong = || (Code::Unsupported, "`<<` wants a mapping, or a list of mappings".to_owned());
        if std::mem::replace(&mut self.merges, true) {
            return Err((Code::DuplicateKey, "`<<` stands twice in one mapping".to_owned()));
        }
        let nodes = match node.value {
            Value::List(nodes) => nodes,
            value => vec![Node { value, ..node }],
        };
        for node in nodes {
            let Value::Map(entries) = node.value else { return Err(wrong()) };
            for entry in entries {
                match self.at.get(&entry.key) {
                    None => self.push(entry, true),
                    Some((_, true)) => {}
                    Some((_, false)) => {
                        let message =
                            format!("`<<` brings in `{}`, which stands before it: write `<<` first", entry.key);
                        return Err((Code::Unsupported, message));
                    }
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, entry: Entry, merged: bool) {
        self.at.insert(entry.key.clone(), (self.entries.len(), merged));
        self.entries.push(entry);
    }
}
