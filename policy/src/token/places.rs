//! Where a rule finds tokens: headers, then query parameters, then cookies; without any of these, the two usual places.

use crate::model::JwtRule;
use crate::request::Http;

const AUTHORIZATION: &str = "authorization";
const BEARER: &str = "Bearer ";
const ACCESS_TOKEN: &str = "access_token";

/// Every token that the rule finds, in the order in which it looks.
pub(super) fn tokens<'h>(rule: &JwtRule, http: &'h Http<'_>) -> Vec<&'h str> {
    let mut found = Vec::new();
    if rule.from_headers.is_empty() && rule.from_params.is_empty() && rule.from_cookies.is_empty() {
        found.extend(header(http, AUTHORIZATION, BEARER));
        found.extend(parameter(http, ACCESS_TOKEN));
        return found;
    }
    for place in &rule.from_headers {
        let prefix = place.prefix.as_ref().map_or("", |prefix| &prefix.value);
        found.extend(header(http, &place.name.value.to_ascii_lowercase(), prefix));
    }
    found.extend(rule.from_params.iter().filter_map(|name| parameter(http, &name.value)));
    found.extend(rule.from_cookies.iter().filter_map(|name| cookie(http, &name.value)));
    found
}

/// What follows the prefix, as far as its characters may stand in a token.
fn header<'h>(http: &'h Http<'_>, name: &str, prefix: &str) -> Option<&'h str> {
    let value = http.header(name)?;
    if prefix.is_empty() {
        return Some(value);
    }
    let (_, rest) = value.split_once(prefix)?;
    let may_stand = |c: char| c.is_ascii_alphanumeric() || "+/-_=.".contains(c);
    let rest = rest.trim_start_matches(|c| !may_stand(c));
    Some(rest.find(|c| !may_stand(c)).and_then(|end| rest.get(..end)).unwrap_or(rest))
}

fn parameter<'h>(http: &'h Http<'_>, name: &str) -> Option<&'h str> {
    let (_, query) = http.header(":path")?.split_once('?')?;
    pairs(query, '&').find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn cookie<'h>(http: &'h Http<'_>, name: &str) -> Option<&'h str> {
    let cookies = http.header("cookie")?;
    pairs(cookies, ';').find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().trim_matches('"'))
}

fn pairs(text: &str, between: char) -> impl Iterator<Item = (&str, &str)> {
    text.split(between).filter_map(|pair| pair.split_once('='))
}
