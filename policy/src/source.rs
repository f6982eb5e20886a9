//! Texts as they were given, and the tree of values in them; each value knows its line and column.
//!
//! YAML and JSON, several documents to a text. Knows nothing of policies. Bounded: bytes, depth, values, documents,
//! and what aliases may stand for, so that no text of any size makes the reader work for long or run out of memory.

mod limits;
mod mapping;
mod node;
mod reader;
mod scalar;
mod snippet;
#[cfg(test)]
mod tests;

pub use limits::{ALIASED_VALUES_MAX, DEPTH_MAX, DOCUMENTS_MAX, SOURCE_MAX_BYTES, VALUES_MAX};
pub use node::{Entry, Node, Value};
pub use reader::documents;
pub use snippet::printable;

/// Where something stands: which text, and in it line and column (both from 1, the column in characters).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Place {
    /// Which of the [`Sources`].
    pub source: SourceId,
    /// From 1; 0 means the text as a whole.
    pub line: u32,
    /// From 1.
    pub column: u32,
    /// How many characters of that line are meant; at least 1 is shown.
    pub length: u32,
}

/// One of the texts, by the order in which they were added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SourceId(u32);

/// Every text that was given, by name.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    texts: Vec<Source>,
}

#[derive(Debug, Clone)]
struct Source {
    name: Box<str>,
    text: Box<str>,
}

impl Sources {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a text in, under the name by which people know it (a path, `<stdin>`).
    pub fn add(&mut self, name: &str, text: &str) -> SourceId {
        let id = SourceId(u32::try_from(self.texts.len()).unwrap_or(u32::MAX));
        self.texts.push(Source { name: name.into(), text: text.into() });
        id
    }

    /// Every text's id, in order.
    pub fn ids(&self) -> impl Iterator<Item = SourceId> + use<> {
        (0..u32::try_from(self.texts.len()).unwrap_or(u32::MAX)).map(SourceId)
    }

    /// The name of a text; empty for an id of other `Sources`.
    pub fn name(&self, id: SourceId) -> &str {
        self.get(id).map_or("", |source| &source.name)
    }

    /// The text; empty for an id of other `Sources`.
    pub fn text(&self, id: SourceId) -> &str {
        self.get(id).map_or("", |source| &source.text)
    }

    /// `name:line:column`, as editors and terminals understand it.
    pub fn locate(&self, at: Place) -> String {
        let name = printable(self.name(at.source));
        if at.line == 0 { name } else { format!("{name}:{}:{}", at.line, at.column) }
    }

    fn get(&self, id: SourceId) -> Option<&Source> {
        self.texts.get(usize::try_from(id.0).unwrap_or(usize::MAX))
    }
}
