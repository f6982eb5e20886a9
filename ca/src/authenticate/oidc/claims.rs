//! The claims of a token that may have any: those that every token has as types, the others by name (RFC 7519).

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Number, Value};
use signet_identity::Timestamp;

use crate::authenticate::TokenId;
use crate::authenticate::claims::{ClaimsError, instant};

/// Longest subject that is repeated in the log, in characters.
const SUBJECT_MAX_CHARS: usize = 256;

/// What a token claims.
#[derive(Debug)]
pub(super) struct OidcClaims {
    claims: Map<String, Value>,
}

impl OidcClaims {
    pub(super) fn from_json(payload: &[u8]) -> Result<Self, ClaimsError> {
        let claims: Map<String, Value> = serde_json::from_slice(payload).map_err(|_| ClaimsError::Malformed)?;
        for name in ["exp", "nbf", "iat"] {
            if claims.get(name).is_some_and(|value| !value.is_number() && !value.is_null()) {
                return Err(ClaimsError::Malformed);
            }
        }
        Ok(Self { claims })
    }

    /// A claim that is text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str()
    }

    /// Whether `audience` is the audience, or one of them.
    pub(super) fn is_meant_for(&self, audience: &str) -> bool {
        self.claims.get("aud").is_some_and(|value| says(value, audience))
    }

    /// A claim that is a time.
    pub(super) fn time(&self, name: &str) -> Option<Timestamp> {
        let number: &Number = self.claims.get(name)?.as_number()?;
        Some(instant(number))
    }

    /// The token's own id, where it has one of a form that can be recorded.
    pub(super) fn token_id(&self) -> Option<TokenId> {
        TokenId::new(self.text("jti")?).ok()
    }

    /// Whom it is about, for the log.
    pub(super) fn subject(&self) -> String {
        let subject = self.text("sub").unwrap_or_default();
        subject.chars().filter(|character| !character.is_control()).take(SUBJECT_MAX_CHARS).collect()
    }
}

/// Whether a claim's value is `wanted`, or holds it among others.
fn says(value: &Value, wanted: &str) -> bool {
    match value {
        Value::String(text) => text == wanted,
        Value::Array(values) => values.iter().any(|value| value.as_str() == Some(wanted)),
        Value::Bool(truth) => wanted == if *truth { "true" } else { "false" },
        Value::Number(number) => number.to_string() == wanted,
        Value::Null | Value::Object(_) => false,
    }
}

/// Something that a token must say: `claim=value`. A list says each of its texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredClaim {
    claim: String,
    value: String,
}

impl RequiredClaim {
    /// The claim's name.
    pub fn claim(&self) -> &str {
        &self.claim
    }

    pub(super) fn is_met(&self, claims: &OidcClaims) -> bool {
        claims.claims.get(&self.claim).is_some_and(|value| says(value, &self.value))
    }
}

impl FromStr for RequiredClaim {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((claim, value)) if !claim.is_empty() && !value.is_empty() => {
                Ok(Self { claim: claim.to_owned(), value: value.to_owned() })
            }
            _ => Err(format!("`{text}` is not written as claim=value")),
        }
    }
}

impl fmt::Display for RequiredClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.claim, self.value)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(json: &Value) -> OidcClaims {
        OidcClaims::from_json(json.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_required_claim_is_met_by_its_value_alone_or_among_others() {
        let claims = claims(&json!({
            "env": "prod", "groups": ["a", "b"], "verified": true, "tier": 3, "none": null, "map": {"x": "y"},
        }));
        let met = |text: &str| text.parse::<RequiredClaim>().unwrap().is_met(&claims);
        for text in ["env=prod", "groups=b", "verified=true", "tier=3"] {
            assert!(met(text), "{text}");
        }
        for text in
            ["env=pro", "env=prod ", "groups=c", "groups=a,b", "verified=false", "tier=33", "none=null", "map=y", "x=y"]
        {
            assert!(!met(text), "{text}");
        }
        for text in ["", "env", "=prod", "env="] {
            assert!(text.parse::<RequiredClaim>().is_err(), "{text}");
        }
    }

    #[test]
    fn times_that_are_no_numbers_and_what_is_no_object_are_refused() {
        for payload in ["", "[]", "\"x\"", "{\"exp\":\"soon\"}", "{\"nbf\":[1]}", "{\"iat\":true}", "{"] {
            assert_eq!(OidcClaims::from_json(payload.as_bytes()).unwrap_err(), ClaimsError::Malformed, "{payload}");
        }
    }

    #[test]
    fn a_subject_is_told_without_what_could_break_a_log() {
        assert_eq!(claims(&json!({"sub": "a\nb\u{1b}[0m"})).subject(), "ab[0m");
        assert_eq!(claims(&json!({"sub": "x".repeat(5000)})).subject().len(), SUBJECT_MAX_CHARS);
        assert_eq!(claims(&json!({"sub": 1})).subject(), "");
    }
}
