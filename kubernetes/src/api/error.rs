//! Why an API server did not do what it was asked.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

/// Most of a refusal's own words that are kept, in characters.
const MESSAGE_MAX_CHARS: usize = 512;

/// Most causes of one refusal that are kept.
const CAUSES_MAX: usize = 64;

/// Longest wish to be left alone that is heeded.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// Why there is no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// No connection, or it broke.
    #[error("API server was not reached: {0}")]
    Unreachable(String),
    /// It took too long.
    #[error("API server gave no whole answer within {} ms", after.as_millis())]
    Deadline {
        /// What is long enough.
        after: Duration,
    },
    /// It said no.
    #[error("API server refused: {0}")]
    Refused(Refusal),
    /// It said more than is taken in.
    #[error("API server's answer has more than {max} bytes")]
    TooLarge {
        /// The bound.
        max: usize,
    },
    /// A list had more pages than are taken in.
    #[error("API server's list has more than {max} pages")]
    TooManyPages {
        /// The bound.
        max: usize,
    },
    /// It said something else than expected.
    #[error("API server's answer cannot be read at {0}")]
    Malformed(String),
    /// We asked for something that cannot be asked for.
    #[error("request cannot be made: {0}")]
    Request(String),
}

/// A refusal in the API server's words (`meta/v1.Status`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refusal {
    /// The HTTP status.
    pub code: u16,
    /// One word, such as `AlreadyExists`; empty when something else than an API server answered.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// What kind of thing it is about, such as `namespaces`; empty when it does not say.
    pub kind: String,
    /// What exactly is wrong.
    pub causes: Vec<Cause>,
    /// How long it wishes to be left alone, at most a minute.
    pub retry_after: Option<Duration>,
}

/// One cause of a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Cause {
    /// One word, such as `FieldManagerConflict`.
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// The field, such as `.data.root-cert.pem`.
    pub field: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    code: u16,
    reason: String,
    message: String,
    details: Option<Details>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Details {
    kind: String,
    causes: Vec<Cause>,
}

impl ApiError {
    /// What cannot be read, by the place at which it cannot.
    pub fn malformed(error: &serde_json::Error) -> Self {
        Self::Malformed(format!("line {}, column {}", error.line(), error.column()))
    }

    /// The refusal, if it is one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// Whether it is a refusal for `reason`.
    pub fn is(&self, reason: &str) -> bool {
        self.refusal().is_some_and(|refusal| refusal.reason == reason)
    }

    /// Whether what was asked about does not exist.
    pub fn is_not_found(&self) -> bool {
        self.refusal().is_some_and(|refusal| refusal.code == 404)
    }

    /// Whether what was asked about is of a `kind` such as `namespaces` and does not exist, in the words of an API server.
    /// The bare status is also that of a proxy which lost its way.
    pub fn is_without(&self, kind: &str) -> bool {
        self.is("NotFound") && self.refusal().is_some_and(|refusal| refusal.kind == kind)
    }

    /// How long the server wishes to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        self.refusal()?.retry_after
    }
}

impl Refusal {
    /// Reads the body of an answer that is no success.
    pub(super) fn read(code: u16, body: &[u8], retry_after: Option<Duration>) -> Self {
        let status: Status = serde_json::from_slice(body).unwrap_or_default();
        let mut refusal = Self::from_status(status);
        refusal.code = code;
        refusal.retry_after = retry_after.map(|wish| wish.min(RETRY_AFTER_MAX));
        refusal
    }

    fn from_status(status: Status) -> Self {
        let Details { kind, mut causes } = status.details.unwrap_or_default();
        causes.truncate(CAUSES_MAX);
        for cause in &mut causes {
            cause.message = printable(&cause.message);
            cause.field = printable(&cause.field);
            cause.reason = printable(&cause.reason);
        }
        Self {
            code: status.code,
            reason: printable(&status.reason),
            message: printable(&status.message),
            kind: printable(&kind),
            causes,
            retry_after: None,
        }
    }
}

/// A refusal in the midst of a watch.
impl<'de> Deserialize<'de> for Refusal {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Status::deserialize(deserializer).map(Self::from_status)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.reason.as_str(), self.message.as_str()) {
            ("", _) => write!(f, "{}", self.code),
            (reason, "") => write!(f, "{} {reason}", self.code),
            (reason, message) => write!(f, "{} {reason}: {message}", self.code),
        }
    }
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MESSAGE_MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_read_from_what_an_api_server_says() {
        let body = br#"{"kind":"Status","message":"Apply failed","reason":"Conflict","code":409,
            "details":{"causes":[{"reason":"FieldManagerConflict","message":"conflict with \"x\"","field":".data.a"}]}}"#;
        let refusal = Refusal::read(409, body, Some(Duration::from_secs(3600)));
        assert_eq!(refusal.to_string(), "409 Conflict: Apply failed");
        assert_eq!(refusal.causes[0].field, ".data.a");
        assert_eq!(refusal.retry_after, Some(RETRY_AFTER_MAX));
    }

    #[test]
    fn what_is_no_status_is_only_its_code() {
        for body in ["", "<html>502</html>", "[1]", "{\"message\":7}"] {
            assert_eq!(Refusal::read(502, body.as_bytes(), None).to_string(), "502", "{body}");
        }
    }

    #[test]
    fn words_are_cut_and_cleaned() {
        let message = format!("a\u{1b}[31m\n{}", "b".repeat(5000));
        let body = serde_json::json!({ "reason": "X", "message": message }).to_string();
        let refusal = Refusal::read(500, body.as_bytes(), None);
        assert_eq!(refusal.message.len(), MESSAGE_MAX_CHARS);
        assert!(refusal.message.starts_with("a[31mb"));
    }
}
