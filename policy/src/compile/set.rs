//! Sets of string patterns: those without a star are looked up, the others tried one after the other.

use crate::model::StringPattern;

/// Patterns of which one must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StringSet {
    /// Sorted.
    exact: Vec<Box<str>>,
    others: Vec<StringPattern>,
}

impl StringSet {
    pub(crate) fn new(patterns: impl IntoIterator<Item = StringPattern>) -> Self {
        let mut set = Self::default();
        for pattern in patterns {
            match pattern {
                StringPattern::Exact(text) => set.exact.push(text),
                other => set.others.push(other),
            }
        }
        set.exact.sort_unstable();
        set.exact.dedup();
        set
    }

    /// Whether one matches, where presence asks for a character at least.
    pub(crate) fn matches_non_empty(&self, value: &str) -> bool {
        self.holds(value) || self.others.iter().any(|pattern| pattern.matches_non_empty(value))
    }

    /// Whether one matches, where presence is satisfied by an empty string too.
    pub(crate) fn matches_present(&self, value: &str) -> bool {
        self.holds(value) || self.others.iter().any(|pattern| pattern.matches_present(value))
    }

    /// Whether one of them is satisfied by anything.
    pub(crate) fn has_presence(&self) -> bool {
        self.others.contains(&StringPattern::Presence)
    }

    fn holds(&self, value: &str) -> bool {
        match self.exact.as_slice() {
            [one] => **one == *value,
            many => many.binary_search_by(|text| (**text).cmp(value)).is_ok(),
        }
    }

    /// Those without a star.
    pub(crate) fn exact(&self) -> &[Box<str>] {
        &self.exact
    }

    /// Those with one.
    pub(crate) fn others(&self) -> &[StringPattern] {
        &self.others
    }
}
