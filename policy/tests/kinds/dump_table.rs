//! `config-dump-to-table`: a configuration dump, and the table that Istio's own tool prints of it.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use signet_policy::inspect::Dump;

use super::{Outcome, outcome, text};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(rename = "id")]
    _id: String,
    input: String,
    want_stdout: String,
}

pub(super) fn run(folder: &Path, case: &Value) -> Outcome {
    let case: Case = super::case(case);
    let want = text(folder, &case.want_stdout);
    let found = match Dump::parse(&text(folder, &case.input)) {
        Ok(Dump::Envoy(dump)) => dump.istio_table(),
        Ok(Dump::Ztunnel(dump)) => dump.istio_table(),
        Err(error) => format!("error: {error}"),
    };
    let complaint = || format!("wanted\n{want}\nfound\n{found}");
    outcome(1, if found == want { Vec::new() } else { vec![complaint()] })
}
