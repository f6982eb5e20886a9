//! Values that know where they were written, and the two lists that every field of a rule has.

use std::fmt;

use super::pattern::PatternError;
use crate::source::Place;

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spotted<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub at: Place,
}

/// A string and where it was written.
pub type Text = Spotted<Box<str>>;

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.value)
    }
}

/// A pattern as it was written and what it was parsed to.
///
/// A pattern that is none is kept with its reason: what a proxy makes of the rule around it depends on the action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written<T> {
    /// As it was written.
    pub text: Box<str>,
    /// Where it was written.
    pub at: Place,
    /// What it means, or why it means nothing.
    pub pattern: Result<T, PatternError>,
}

/// The two lists of a field: one of `any_of` must match (when there are any), none of `none_of` may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values<T> {
    /// The field itself, or `values`.
    pub any_of: Vec<Written<T>>,
    /// The field with `not` before its name, or `notValues`.
    pub none_of: Vec<Written<T>>,
}

impl<T> Values<T> {
    /// Whether neither list holds anything.
    pub fn is_empty(&self) -> bool {
        self.any_of.is_empty() && self.none_of.is_empty()
    }

    /// The values of both lists.
    pub fn all(&self) -> impl Iterator<Item = &Written<T>> {
        self.any_of.iter().chain(&self.none_of)
    }

    /// Every pattern of both lists that is none, with its reason.
    pub fn broken(&self) -> impl Iterator<Item = (&str, Place, &PatternError)> {
        self.all().filter_map(|written| written.pattern.as_ref().err().map(|error| (&*written.text, written.at, error)))
    }
}
