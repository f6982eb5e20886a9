//! Manifests, and what Istio's own analyzers say about them.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use signet_policy::{ReadOptions, Sources, check};

use super::{Outcome, case, outcome, text};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(rename = "id")]
    _id: String,
    analyzer: String,
    input: String,
    expect_security_messages: Vec<Message>,
}

#[derive(Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(deny_unknown_fields)]
struct Message {
    code: String,
    resource: String,
}

pub(super) fn run(folder: &Path, value: &Value) -> Outcome {
    let mut case: Case = case(value);
    // An analyzer raises these codes and is silent about everything else, which other analyzers tell.
    let (codes, kind): (&[&str], &str) = match case.analyzer.as_str() {
        "AuthorizationPolicies" => (&["IST0101", "IST0127"], "AuthorizationPolicy "),
        "BlockedCIDRs" => (&["IST0175"], ""),
        "Condition" => (&["IST0171"], ""),
        other => return Outcome::Failed(vec![format!("analyzer `{other}` is not known")]),
    };
    let mut sources = Sources::new();
    sources.add(&case.input, &text(folder, &case.input));
    let problems = check(&sources, &ReadOptions::default()).problems;
    let messages = problems.iter().filter_map(|problem| {
        let code = problem.code.istio().filter(|code| codes.contains(code))?;
        let resource = problem.object.as_deref().filter(|object| object.starts_with(kind))?;
        Some(Message { code: code.to_owned(), resource: resource.to_owned() })
    });
    let mut found: Vec<Message> = messages.collect();
    found.sort();
    case.expect_security_messages.sort();
    let wanted = case.expect_security_messages;
    let complaints = (found != wanted).then(|| format!("found {found:#?}, wanted {wanted:#?}"));
    outcome(wanted.len() + 1, complaints.into_iter().collect())
}
