//! One module for each kind of fixture: how its cases are read, and what is asked of the engine.

mod admission;
mod analysis;
mod corpus;
mod dump_table;
mod path_table;
mod peer;
mod rbac;
mod ztunnel;
mod ztunnel_table;

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

/// What became of one case.
pub(crate) enum Outcome {
    /// Everything held: how many checks that were.
    Held(usize),
    /// The fixture itself says that it is not to be run, and why.
    Skipped(String),
    /// What did not hold.
    Failed(Vec<String>),
    /// Nobody here knows this kind.
    UnknownKind,
}

/// Runs one case of a folder. `facts` is what stands in `cases.yaml` beside `defaults` and `cases`.
pub(crate) fn run(
    kind: &str,
    folder: &Path,
    defaults: &Value,
    facts: &BTreeMap<String, Value>,
    case: &Value,
) -> Outcome {
    if case.get("skip").and_then(Value::as_bool) == Some(true) {
        return Outcome::Skipped(case.get("why").and_then(Value::as_str).unwrap_or("no reason given").to_owned());
    }
    match kind {
        "policy-to-envoy-rbac" => rbac::run(folder, defaults, facts, case),
        "policy-corpus-with-decisions" => corpus::run(folder, case),
        "policy-to-ztunnel-authorization" => ztunnel::run(folder, defaults, case),
        "ztunnel-evaluation" => ztunnel_table::run(folder, case),
        "ztunnel-config" => ztunnel::config(folder, case),
        "peer-authentication-effective-mode" => peer::run(folder, case),
        "schema-and-cel-validation" => admission::run(folder, case),
        "static-analysis-messages" => analysis::run(folder, case),
        "config-dump-to-table" => dump_table::run(folder, case),
        "path-rewrite-table" => path_table::run(folder, case),
        _ => Outcome::UnknownKind,
    }
}

/// Reads a file of the fixtures as what it should be; a field that is not known fails.
fn load<T: DeserializeOwned>(folder: &Path, name: &str) -> T {
    serde_saphyr::from_str(&text(folder, name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The text of a file of the fixtures.
fn text(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The fields of a case, each known to its kind.
fn case<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"))
}

/// Held, or what did not.
fn outcome(checks: usize, complaints: Vec<String>) -> Outcome {
    if complaints.is_empty() { Outcome::Held(checks) } else { Outcome::Failed(complaints) }
}
