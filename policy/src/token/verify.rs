//! One token against one rule: its signature, issuer, audiences and times.

use std::time::Duration;

use serde_json::{Map, Value};
use signet_identity::{JwkSet, JwsError, Timestamp, UnverifiedJws};

use crate::model::JwtRule;
use crate::request::{Claims, strings};

/// How far clocks may disagree, as Envoy has it.
const LEEWAY: Duration = Duration::from_secs(60);

/// Why a token was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request holds more tokens than anybody needs.
    #[error("the request holds more than {} tokens for one rule", super::TOKENS_MAX)]
    TooMany,
    /// Its form or signature.
    #[error(transparent)]
    Jws(#[from] JwsError),
    /// The keys of the issuer are not known here.
    #[error("the keys of the issuer are not known")]
    NoKeys,
    /// Its payload is no JSON object.
    #[error("the payload is no JSON object")]
    Payload,
    /// Another issuer than the rule's.
    #[error("the token is of another issuer")]
    Issuer,
    /// None of the rule's audiences.
    #[error("the token is for another audience")]
    Audience,
    /// Too old.
    #[error("the token has expired")]
    Expired,
    /// Too young.
    #[error("the token is not valid yet")]
    NotYet,
}

pub(super) fn token(rule: &JwtRule, keys: Option<&JwkSet>, token: &str, now: Timestamp) -> Result<Claims, Refusal> {
    let jws = UnverifiedJws::parse(token)?;
    let payload = jws.verify(keys.ok_or(Refusal::NoKeys)?)?;
    let Ok(Value::Object(payload)) = serde_json::from_slice(&payload) else { return Err(Refusal::Payload) };
    let issuer = payload.get("iss").and_then(Value::as_str);
    if rule.issuer.as_ref().is_some_and(|wanted| issuer != Some(&wanted.value)) {
        return Err(Refusal::Issuer);
    }
    times(&payload, now)?;
    let wanted: Vec<&str> = rule.audiences.iter().map(|audience| bare(&audience.value)).collect();
    let is_for = |given: &Value| strings(given).any(|audience| wanted.contains(&bare(audience)));
    if !wanted.is_empty() && !payload.get("aud").is_some_and(is_for) {
        return Err(Refusal::Audience);
    }
    let delimited: Vec<&str> = rule.space_delimited_claims.iter().map(|claim| &*claim.value).collect();
    Ok(Claims::new(payload, &delimited))
}

fn times(payload: &Map<String, Value>, now: Timestamp) -> Result<(), Refusal> {
    let at = |claim: &str| match payload.get(claim) {
        None => Ok(None),
        // Fractions of seconds are cut, as a moment too early harms nobody.
        Some(Value::Number(number)) => number
            .as_i64()
            .or_else(|| number.as_f64().map(|seconds| seconds as i64))
            .map(|seconds| Some(Timestamp::from_unix_secs(seconds)))
            .ok_or(Refusal::Payload),
        Some(_) => Err(Refusal::Payload),
    };
    if at("exp")?.is_some_and(|expires| now > expires.plus(LEEWAY)) {
        return Err(Refusal::Expired);
    }
    if at("nbf")?.is_some_and(|begins| now.plus(LEEWAY) < begins) {
        return Err(Refusal::NotYet);
    }
    Ok(())
}

/// Envoy compares audiences without their scheme and without a slash at the end.
fn bare(audience: &str) -> &str {
    let scheme = audience.strip_prefix("https://").or_else(|| audience.strip_prefix("http://"));
    let name = scheme.unwrap_or(audience);
    name.strip_suffix('/').unwrap_or(name)
}
