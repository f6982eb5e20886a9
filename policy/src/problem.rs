//! What is wrong with a text: a stable code, how bad it is, a sentence, a hint and the place.
//!
//! Codes are a contract: a code never changes its meaning and is never used again for another. Below `SIG0100` the
//! text could not be read as what it claims to be; the checks of what was read begin at `SIG0101`.

use std::fmt;

use crate::source::{Place, Sources};

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Note,
    /// Accepted, but it hardly means what its author thinks.
    Warning,
    /// The API server refuses it, or nobody can tell what it means.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One row for each code: its variant, its number, its severity and what it is about.
macro_rules! codes {
    ($($name:ident $number:literal $severity:ident $about:literal;)*) => {
        /// The stable name of a kind of problem.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $about] $name,)*
        }

        impl Code {
            /// Every code, in order of its number.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// For instance `SIG0001`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => concat!("SIG", $number),)* }
            }

            /// How bad it is.
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// What it is about, in one sentence.
            pub fn about(self) -> &'static str {
                match self { $(Self::$name => $about,)* }
            }
        }
    };
}

codes! {
    NotYaml "0001" Error "the text is neither YAML nor JSON";
    TooLarge "0002" Error "the text exceeds a bound: bytes, depth, values or documents";
    AliasBound "0003" Error "the aliases of the text stand for more values than are accepted";
    DuplicateKey "0004" Error "a mapping holds the same key twice";
    Unsupported "0005" Error "the text uses a part of YAML that manifests have no use for";
    NotAnObject "0006" Error "a document is not an object with `apiVersion`, `kind` and a name";
    WrongType "0007" Error "a field holds a value of another type";
    UnknownValue "0008" Error "a field holds a value that its type does not list";
    UnknownField "0009" Warning "a field is not known and will be dropped by the API server";
    OtherKind "0010" Note "an object is of a kind that says nothing about policy";
    DuplicateObject "0011" Error "two objects have the same kind, namespace and name";
    SecondMeshConfig "0012" Error "there is more than one mesh configuration";
    NullValue "0013" Warning "a field is there but has no value, and counts as absent";
    TooManyProblems "0014" Error "there are more problems than are told";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What kind of problem it is.
    pub code: Code,
    /// A sentence without full stop; the user's words stand in backticks.
    pub message: String,
    /// What to do about it, when that is known.
    pub hint: Option<String>,
    /// Where it stands.
    pub at: Place,
}

impl Problem {
    /// A problem without a hint.
    pub fn new(code: Code, at: Place, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, at }
    }

    /// The same with a hint.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// For people: severity, code, sentence, place, snippet and hint.
    pub fn render(&self, sources: &Sources) -> String {
        let mut text = format!("{}[{}]: {}\n", self.severity(), self.code, crate::source::printable(&self.message));
        text.push_str(&sources.snippet(self.at));
        if let Some(hint) = &self.hint {
            text.push_str("  = hint: ");
            text.push_str(&crate::source::printable(hint));
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart_by_their_numbers_which_rise() {
        let numbers: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    }
}
