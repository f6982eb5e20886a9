//! Manifests that the API server accepts or refuses, with a piece of what it says.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use signet_policy::{ReadOptions, Severity, Sources, check};

use super::{Outcome, case, outcome, text};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(rename = "id")]
    _id: String,
    input: String,
    accepted: bool,
    error_contains: Option<String>,
}

pub(super) fn run(folder: &Path, value: &Value) -> Outcome {
    let case: Case = case(value);
    let mut sources = Sources::new();
    sources.add(&case.input, &text(folder, &case.input));
    let problems = check(&sources, &ReadOptions::default()).problems;
    let errors: Vec<_> = problems.iter().filter(|problem| problem.severity() == Severity::Error).collect();
    let mut complaints = Vec::new();
    if errors.is_empty() != case.accepted {
        complaints.push(format!("accepted should be {}: {errors:#?}", case.accepted));
    }
    let said =
        |wanted: &str| errors.iter().any(|error| error.refusal.as_ref().is_some_and(|text| text.contains(wanted)));
    if let Some(wanted) = case.error_contains.as_deref().filter(|wanted| !said(wanted)) {
        complaints.push(format!("nothing says `{wanted}`: {errors:#?}"));
    }
    outcome(1 + usize::from(case.error_contains.is_some()), complaints)
}
