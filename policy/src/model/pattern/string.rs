//! The string match that most fields share: exact, prefix, suffix or presence.

use std::fmt;

/// A string with at most one star that means something: the first character or the last.
///
/// Any text is one. Other stars are literal: `a*b` is exact, `*a*` a suffix match on `a*`, `**` one on `*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StringPattern {
    /// Equal to the text.
    Exact(Box<str>),
    /// Beginning with the text; written with `*` behind it.
    Prefix(Box<str>),
    /// Ending with the text; written with `*` before it.
    Suffix(Box<str>),
    /// `*`: there at all. Whether an empty string is there depends on the field.
    Presence,
}

impl StringPattern {
    /// The pattern that `text` is.
    pub fn parse(text: &str) -> Self {
        if text == "*" {
            Self::Presence
        } else if let Some(rest) = text.strip_prefix('*') {
            Self::Suffix(rest.into())
        } else if let Some(rest) = text.strip_suffix('*') {
            Self::Prefix(rest.into())
        } else {
            Self::Exact(text.into())
        }
    }

    /// Whether `value` matches, where presence asks for at least one character.
    pub fn matches_non_empty(&self, value: &str) -> bool {
        if *self == Self::Presence { !value.is_empty() } else { self.matches_present(value) }
    }

    /// Whether `value` matches, where presence is satisfied by an empty string too.
    pub fn matches_present(&self, value: &str) -> bool {
        match self {
            Self::Exact(text) => value == &**text,
            Self::Prefix(text) => value.starts_with(&**text),
            Self::Suffix(text) => value.ends_with(&**text),
            Self::Presence => true,
        }
    }

    /// The same as [`Self::matches_present`], where the case of ASCII letters does not count.
    pub fn matches_any_case(&self, value: &str) -> bool {
        let (value, same) = (value.as_bytes(), |part: Option<&[u8]>, text: &str| {
            part.is_some_and(|part| part.eq_ignore_ascii_case(text.as_bytes()))
        });
        match self {
            Self::Exact(text) => value.eq_ignore_ascii_case(text.as_bytes()),
            Self::Prefix(text) => same(value.get(..text.len()), text),
            Self::Suffix(text) => same(value.len().checked_sub(text.len()).and_then(|from| value.get(from..)), text),
            Self::Presence => true,
        }
    }
}

impl fmt::Display for StringPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => f.write_str(text),
            Self::Prefix(text) => write!(f, "{text}*"),
            Self::Suffix(text) => write!(f, "*{text}"),
            Self::Presence => f.write_str("*"),
        }
    }
}
