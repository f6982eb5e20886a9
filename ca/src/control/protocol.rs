//! The lines of the control socket: JSON objects, one a line.
//!
//! A question is `{"subject": …, "verb": …, "arguments": …}`. An answer is `{"done": …}`, `{"refused": "why"}` when the
//! answer is no, or `{"failed": "why"}` when the question could not be answered.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Longest line in either direction, in bytes.
pub(super) const LINE_MAX_BYTES: usize = 1024 * 1024;

/// What an operator asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Which part of the program is asked.
    pub subject: String,
    /// What it should do.
    pub verb: String,
    /// With what; `null` for nothing.
    #[serde(default)]
    pub arguments: Value,
}

/// What the program answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It was done; this is what came of it.
    Done(Value),
    /// The answer is no, and why.
    Refused(String),
    /// There is no answer, and why.
    Failed(String),
}

impl Question {
    /// Reads a line.
    pub(super) fn read(line: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(line).map_err(|error| format!("not a question: {error}"))
    }
}

impl Answer {
    /// The answer as a line.
    pub(super) fn line(&self) -> Vec<u8> {
        let mut line =
            serde_json::to_vec(self).unwrap_or_else(|_| b"{\"failed\":\"answer cannot be written\"}".to_vec());
        line.push(b'\n');
        line
    }
}
