//! Every case of `$SIGNET_FIXTURES/policy/*/cases.yaml`, through the public face of this room.
//!
//! Without `SIGNET_FIXTURES` the folder `../shared/fixtures` beside the project is taken, if it is there. Any folder of
//! the same form will do. A folder whose kind is not known here, a case with a field that its kind does not know, and
//! a folder without cases all fail: what is not understood was not checked.

// So that the linter takes the helpers here for tests, which they are.
#![cfg(test)]

mod kinds;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kinds::{Outcome, run};
use serde::Deserialize;
use serde_json::Value;

/// Cases in the folder that these tests were written with.
const CASES_KNOWN: usize = 85;

/// The head of `cases.yaml`; what its `defaults` and cases hold is the kind's own business.
#[derive(Deserialize)]
struct Folder {
    schema: String,
    kind: String,
    #[serde(default)]
    defaults: Value,
    cases: Vec<Value>,
    #[serde(flatten)]
    facts: BTreeMap<String, Value>,
}

fn folders(root: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root).unwrap_or_else(|error| panic!("{}: {error}", root.display()));
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    assert!(!folders.is_empty(), "{} holds no folder", root.display());
    folders
}

fn load(folder: &Path) -> Folder {
    let path = folder.join("cases.yaml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let loaded: Folder = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(loaded.schema, "signet-policy-fixtures/v1", "{}", path.display());
    assert!(!loaded.cases.is_empty(), "{} holds no case", path.display());
    loaded
}

/// What became of every case.
#[derive(Default)]
struct Tally {
    ran: usize,
    checks: usize,
    skipped: Vec<String>,
    failed: Vec<String>,
}

impl Tally {
    fn folder(&mut self, path: &Path) {
        let folder = load(path);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        for case in &folder.cases {
            let id = format!("{name}/{}", case.get("id").and_then(Value::as_str).unwrap_or("?"));
            match run(&folder.kind, path, &folder.defaults, &folder.facts, case) {
                Outcome::Held(checks) => {
                    assert!(checks > 0, "{id} passed without a check");
                    self.ran += 1;
                    self.checks += checks;
                }
                Outcome::Skipped(why) => self.skipped.push(format!("{id}: {why}")),
                Outcome::Failed(complaints) => {
                    self.failed.extend(complaints.iter().map(|complaint| format!("{id}: {complaint}")));
                }
                Outcome::UnknownKind => panic!("{id}: kind `{}` is not known here", folder.kind),
            }
        }
    }

    fn report(&self) {
        println!("fixtures: {} cases ran with {} checks", self.ran, self.checks);
        self.skipped.iter().for_each(|skipped| println!("fixtures: skipped by the fixture itself: {skipped}"));
    }
}

#[test]
fn every_case_of_the_fixtures_holds() {
    let Some(root) = signet_testkit::policy_fixtures() else {
        println!("fixtures: none found, {CASES_KNOWN} cases LEFT OUT; name a folder in `SIGNET_FIXTURES`");
        return;
    };
    let mut tally = Tally::default();
    folders(&root).iter().for_each(|folder| tally.folder(folder));
    tally.report();
    assert!(tally.failed.is_empty(), "{} complaints:\n{}", tally.failed.len(), tally.failed.join("\n"));
}

#[test]
fn a_kind_that_is_not_known_is_no_success() {
    let outcome = run("no-such-kind", Path::new("."), &Value::Null, &BTreeMap::new(), &Value::Null);
    assert!(matches!(outcome, Outcome::UnknownKind));
}
