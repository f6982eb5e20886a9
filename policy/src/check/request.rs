//! RequestAuthentication: issuers, key sets, timeouts, and headers that claims are copied into.

use std::collections::HashSet;

use serde_json::Value;

use super::findings::Findings;
use crate::model::{JwtRule, RequestAuthentication, Text};
use crate::problem::{Code, Problem};

/// Units of a duration and how many nanoseconds each is.
const UNITS: [(&str, f64); 8] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("\u{b5}s", 1e3),
    ("\u{3bc}s", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
];

/// Shortest timeout, in nanoseconds.
const TIMEOUT_MIN: f64 = 1e6;

pub(super) fn check(policy: &RequestAuthentication, findings: &mut Findings) {
    for rule in &policy.rules {
        let has = |text: &Option<Text>| text.as_ref().is_some_and(|text| !text.value.is_empty());
        if !has(&rule.issuer) && !has(&rule.jwks_uri) {
            let hint = "without an issuer a token of anybody whose key is in the set would do";
            let message = "the rule has neither `issuer` nor `jwksUri`";
            findings.advise(Code::NoIssuer, rule.at, message, hint);
        }
        if let Some(jwks) = &rule.jwks {
            key_set(jwks, findings);
        }
        if let Some(timeout) = &rule.timeout
            && !nanoseconds(&timeout.value).is_some_and(|length| length >= TIMEOUT_MIN)
        {
            let message = format!("`{timeout}` is no duration of at least `1ms`");
            let problem = Problem::new(Code::BadTimeout, timeout.at, message).with_hint("for instance `5s`");
            findings.push(problem.with_refusal("must be a valid duration greater than 1ms"));
        }
        headers(rule, findings);
    }
}

fn key_set(jwks: &Text, findings: &mut Findings) {
    let parsed: Option<Value> = serde_json::from_str(&jwks.value).ok();
    let Some(Value::Array(keys)) = parsed.as_ref().and_then(|set| set.get("keys")) else {
        let hint = "a JSON object with a list `keys`";
        return findings.advise(Code::BadJwks, jwks.at, "`jwks` is no JSON Web Key Set", hint);
    };
    for (index, key) in keys.iter().enumerate() {
        let kind = key.get("kty").and_then(Value::as_str);
        if kind.is_none() {
            findings.tell(Code::BadJwks, jwks.at, format!("key {index} of `jwks` has no `kty`"));
        } else if kind == Some("oct") || key.get("d").is_some() {
            let message = format!("key {index} of `jwks` is secret: whoever reads this policy can make tokens");
            let hint = "publish the public half only, and replace the key: it has been seen";
            findings.advise(Code::SecretKey, jwks.at, message, hint);
        }
    }
}

/// A duration as Go writes it: `1h30m`, `1.5s`, `100ms`.
fn nanoseconds(text: &str) -> Option<f64> {
    let mut rest = text;
    let mut sum = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let unit = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(unit)?;
        let (_, length) = UNITS.iter().find(|(name, _)| *name == unit)?;
        sum += number.parse::<f64>().ok()? * length;
        rest = tail;
    }
    (!text.is_empty()).then_some(sum)
}

fn headers(rule: &JwtRule, findings: &mut Findings) {
    let mut seen = HashSet::new();
    for mapping in &rule.output_claim_to_headers {
        let header = mapping.header.value.to_ascii_lowercase();
        if !seen.insert(header.clone()) {
            let message = format!("a second claim is copied into `{header}`; which one arrives is not defined");
            findings.tell(Code::SameHeaderTwice, mapping.header.at, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::nanoseconds;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, wanted) in [
            ("5s", Some(5e9)),
            ("1h30m", Some(5400e9)),
            ("1.5s", Some(1.5e9)),
            ("1ms", Some(1e6)),
            ("apple", None),
            ("", None),
            ("5", None),
            ("s", None),
            ("-1s", None),
            ("1.2.3s", None),
        ] {
            assert_eq!(nanoseconds(text), wanted, "{text}");
        }
    }
}
