//! Problems as text, JSON and SARIF.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use signet_policy::{Code, Place, Problem, Severity, Sources};

use crate::output;

/// For people: each problem with its snippet.
pub(super) fn text(problems: &[Problem], sources: &Sources) {
    for problem in problems {
        output::data(&problem.render(sources));
    }
}

/// How many of each were found.
pub(super) fn summary(problems: &[Problem], files: usize) -> String {
    let count = |severity| problems.iter().filter(|problem| problem.severity() == severity).count();
    let [errors, warnings, notes] = [Severity::Error, Severity::Warning, Severity::Note].map(count);
    format!("{files} files: {errors} errors, {warnings} warnings, {notes} notes")
}

/// A list, each item with the same fields.
pub(super) fn json(problems: &[Problem], sources: &Sources) -> String {
    let list: Vec<Value> = problems.iter().map(|problem| item(problem, sources)).collect();
    output::pretty(&Value::Array(list))
}

fn item(problem: &Problem, sources: &Sources) -> Value {
    json!({
        "code": problem.code.as_str(),
        "severity": problem.severity().to_string(),
        "message": problem.message,
        "object": problem.object,
        "hint": problem.hint,
        "apiServer": problem.refusal,
        "istioCode": problem.code.istio(),
        "file": sources.name(problem.at.source),
        "line": problem.at.line,
        "column": problem.at.column,
        "length": problem.at.length,
    })
}

/// One run with the rules that were broken.
pub(super) fn sarif(problems: &[Problem], sources: &Sources) -> String {
    let codes: BTreeSet<Code> = problems.iter().map(|problem| problem.code).collect();
    let rules: Vec<Value> = codes.into_iter().map(rule).collect();
    let results: Vec<Value> = problems.iter().map(|problem| result(problem, sources)).collect();
    let driver = json!({
        "name": "signet",
        "semanticVersion": env!("CARGO_PKG_VERSION"),
        "rules": rules,
    });
    output::pretty(&json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{ "tool": { "driver": driver }, "columnKind": "unicodeCodePoints", "results": results }],
    }))
}

fn rule(code: Code) -> Value {
    json!({
        "id": code.as_str(),
        "name": format!("{code:?}"),
        "shortDescription": { "text": code.about() },
        "defaultConfiguration": { "level": code.severity().to_string() },
    })
}

fn result(problem: &Problem, sources: &Sources) -> Value {
    let mut message = problem.message.clone();
    for note in problem.hint.iter().chain(&problem.refusal) {
        message.push_str("; ");
        message.push_str(note);
    }
    let mut place = json!({ "artifactLocation": { "uri": uri(sources.name(problem.at.source)) } });
    if let (Some(place), Some(region)) = (place.as_object_mut(), region(problem.at)) {
        place.insert("region".to_owned(), region);
    }
    json!({
        "ruleId": problem.code.as_str(),
        "level": problem.severity().to_string(),
        "message": { "text": message },
        "locations": [{ "physicalLocation": place }],
    })
}

/// `None` for a text as a whole: lines and columns begin at 1.
fn region(at: Place) -> Option<Value> {
    let (line, column) = (at.line, at.column.max(1));
    (line > 0).then(|| json!({ "startLine": line, "startColumn": column, "endColumn": column + at.length.max(1) }))
}

/// A path as a relative URI, as code scanning wants it.
fn uri(path: &str) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    path.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn paths_are_told_as_uris() {
        assert_eq!(uri("./a b/\u{e4}.yaml"), "a%20b/%C3%A4.yaml");
        assert_eq!(uri("<stdin>"), "%3Cstdin%3E");
    }
}
