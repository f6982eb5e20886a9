//! Traps in single values: stars, paths, hosts, methods, ports, headers and claims.

use std::collections::HashSet;

use crate::check::findings::Findings;
use crate::model::{Action, Condition, MeshConfig, Normalization, PathPattern, StringPattern, Test, Values, Written};
use crate::path::normalize;
use crate::problem::Code;
use crate::request::{SPLIT_ALWAYS, is_joined};
use crate::source::Place;

/// What only regular expressions have.
const REGEX_MARKS: [&str; 6] = [".*", ".+", "\\d", "\\w", "[a-z", "(?"];

pub(super) fn check(action: Action, condition: &Condition, mesh: &MeshConfig, findings: &mut Findings) {
    impossible(condition, findings);
    let excluded = |negated: bool| matches!((action, negated), (Action::Deny, false) | (Action::Allow, true));
    match &condition.test {
        Test::Path(values) => each(values, |value, negated| {
            path(value, findings);
            if excluded(negated) {
                fragile(value, mesh.normalization, findings);
            }
        }),
        Test::Host(values) => {
            each(values, |value, _| host(value, findings));
            if excluded(false) {
                ports_of_hosts(&values.any_of, findings);
            } else if excluded(true) {
                ports_of_hosts(&values.none_of, findings);
            }
        }
        Test::Method(values) => each(values, |value, _| method(value, findings)),
        Test::DestinationPort(values) => each(values, |value, _| {
            if value.pattern == Ok(0) {
                findings.tell(Code::PortZero, value.at, "port 0 is accepted, and nothing listens there");
            }
        }),
        Test::Header(name, values) => {
            each(values, |value, _| looks(&value.text, value.at, findings));
            if excluded(false) && is_joined(&name.to_ascii_lowercase()) && !values.any_of.is_empty() {
                header(name, condition.name.at, findings);
            }
        }
        Test::Claim(names, values) => each(values, |value, _| {
            looks(&value.text, value.at, findings);
            let split = matches!(names.as_slice(), [name] if SPLIT_ALWAYS.contains(&&**name));
            if split && value.text.contains(' ') {
                spaced(names.first().map_or("", |name| name), &value.text, value.at, findings);
            }
        }),
        Test::Principal(values) | Test::Sni(values) => each(values, |value, _| looks(&value.text, value.at, findings)),
        _ => {}
    }
}

/// Each value, and whether it is a negated one.
fn each<T>(values: &Values<T>, mut visit: impl FnMut(&Written<T>, bool)) {
    values.any_of.iter().for_each(|value| visit(value, false));
    values.none_of.iter().for_each(|value| visit(value, true));
}

/// Every value that may match is excluded beside it.
fn impossible(condition: &Condition, findings: &mut Findings) {
    let [any_of, none_of] = condition.test.texts();
    let none_of: HashSet<&str> = none_of.iter().map(|(text, _)| *text).collect();
    let excluded = |text: &str| none_of.contains(text) || none_of.contains("*");
    if let Some((_, at)) = any_of.first()
        && any_of.iter().all(|(text, _)| excluded(text))
    {
        let message = format!("nothing meets `{}`: all that may match is excluded beside it", condition.name);
        findings.tell(Code::NeverMatches, *at, message);
    }
}

/// Stars that are none, and regular expressions that are none.
fn looks(text: &str, at: Place, findings: &mut Findings) {
    let inner = text.strip_prefix('*').or_else(|| text.strip_suffix('*')).unwrap_or(text);
    // A star at the end is a wildcard and `a.*` a sound prefix; `/.*` and `.*` were hardly meant so.
    let marked = REGEX_MARKS.iter().any(|mark| inner.contains(mark)) || text == ".*" || text.ends_with("/.*");
    if marked || text.starts_with('^') || text.ends_with('$') {
        let message = format!("`{text}` is compared as it is: there are no regular expressions here");
        findings.advise(Code::RegexLike, at, message, "one `*` at the beginning or at the end is all there is");
    } else if inner.contains('*') {
        let message = format!("a star in `{text}` stands for itself: only the first or last character is a wildcard");
        findings.tell(Code::LiteralStar, at, message);
    }
}

fn path(value: &Written<PathPattern>, findings: &mut Findings) {
    let text = &*value.text;
    let Ok(PathPattern::Text(pattern)) = &value.pattern else { return };
    looks(text, value.at, findings);
    let begins = match pattern {
        StringPattern::Exact(text) | StringPattern::Prefix(text) => text.is_empty() || text.starts_with('/'),
        StringPattern::Suffix(_) | StringPattern::Presence => true,
    };
    let why = if !begins {
        "every path begins with `/`"
    } else if text.contains(['?', '#']) {
        "the query and the fragment are cut off before"
    } else {
        return;
    };
    findings.tell(Code::PathNeverMatches, value.at, format!("no path is like `{text}`: {why}"));
}

/// A path that reaches the same place of most applications and is not the one that is excluded, for this mesh.
fn fragile(value: &Written<PathPattern>, mode: Normalization, findings: &mut Findings) {
    let Ok(pattern) = &value.pattern else { return };
    let PathPattern::Text(StringPattern::Exact(plain) | StringPattern::Prefix(plain)) = pattern else { return };
    let Some(rest) = plain.strip_prefix('/').filter(|rest| !rest.is_empty()) else { return };
    let slash = rest.replacen('/', "%2F", 1);
    let others = [format!("//{rest}"), format!("/./{rest}"), format!("/{slash}")];
    let evades = |other: &&String| normalize(other, mode).is_ok_and(|path| !pattern.matches(&path));
    if let Some(witness) = others.iter().find(evades) {
        let message = format!("`{witness}` is not covered, and many applications read it as `{plain}`");
        let hint = "set `pathNormalization` to DECODE_AND_MERGE_SLASHES, or allow paths instead of excluding them";
        findings.advise(Code::FragilePath, value.at, message, hint);
    }
}

fn host(value: &Written<StringPattern>, findings: &mut Findings) {
    let text = &*value.text;
    looks(text, value.at, findings);
    if text.contains('/') {
        let message = format!("no host is like `{text}`: a host has neither scheme nor path");
        findings.tell(Code::HostNeverMatches, value.at, message);
    }
}

/// Longest list of hosts that is compared with itself.
const HOSTS_MAX: usize = 2_000;

/// `x` does not cover `x:8443`; a list that has `x:*` or a prefix as well does.
fn ports_of_hosts(values: &[Written<StringPattern>], findings: &mut Findings) {
    for value in values.iter().filter(|_| values.len() <= HOSTS_MAX) {
        let (Ok(StringPattern::Exact(host)) | Ok(StringPattern::Suffix(host))) = &value.pattern else { continue };
        let with_port = format!("{host}:443");
        let is_covered = |other: &Written<StringPattern>| {
            other.pattern.as_ref().is_ok_and(|pattern| pattern.matches_any_case(&with_port))
        };
        if !host.contains([':', '/']) && !values.iter().any(is_covered) {
            let message = format!("`{host}:443` is not covered: the port is part of the host that is compared");
            findings.advise(Code::HostWithoutPort, value.at, message, format!("add `{host}:*`"));
        }
    }
}

fn method(value: &Written<StringPattern>, findings: &mut Findings) {
    let text = &*value.text;
    looks(text, value.at, findings);
    if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        let message = format!("`{text}` is in lower case, and methods are compared with their case");
        findings.advise(Code::MethodCase, value.at, message, format!("write `{}`", text.to_ascii_uppercase()));
    }
}

fn header(name: &str, at: Place, findings: &mut Findings) {
    let message =
        format!("Envoy makes one value of a `{name}` that is sent twice, which is none of these, and may slip by");
    findings.tell(Code::HeaderDeny, at, message);
}

fn spaced(name: &str, text: &str, at: Place, findings: &mut Findings) {
    let message = format!("`{name}` is split at spaces, so no part of it is `{text}`");
    findings.advise(Code::SpacedClaim, at, message, "ask for each word by a condition of its own");
}
