//! Rows of a path as it came in, and as the policy sees it.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use signet_policy::model::Normalization;
use signet_policy::path;

use super::{Outcome, case, load, outcome};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(rename = "id")]
    _id: String,
    input: String,
    rows: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    rows: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    mode: String,
    r#in: String,
    out: Option<String>,
    status: Option<u16>,
}

pub(super) fn run(folder: &Path, value: &Value) -> Outcome {
    let case: Case = case(value);
    let table: Table = load(folder, &case.input);
    assert_eq!(table.rows.len(), case.rows, "rows of {}", case.input);
    outcome(case.rows, table.rows.iter().filter_map(check).collect())
}

fn check(row: &Row) -> Option<String> {
    let mode = match row.mode.as_str() {
        "NONE" => Normalization::None,
        "BASE" | "DEFAULT" => Normalization::Base,
        "MERGE_SLASHES" => Normalization::MergeSlashes,
        "DECODE_AND_MERGE_SLASHES" => Normalization::DecodeAndMergeSlashes,
        other => return Some(format!("mode `{other}` is not known")),
    };
    let wanted = match (&row.out, row.status) {
        (Some(out), None) => Some(out.as_str()),
        (None, Some(400)) => None,
        other => return Some(format!("{other:?} is no outcome that is known")),
    };
    let found = path::normalize(&row.r#in, mode).ok();
    (found.as_deref() != wanted).then(|| format!("{mode:?} of {:?} is {found:?}, not {wanted:?}", row.r#in))
}
