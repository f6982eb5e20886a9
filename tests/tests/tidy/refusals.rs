//! Every reason for which the CA refuses is documented, and no other.

use std::collections::BTreeSet;

use crate::files::{self, File};
use crate::nothing_to_complain_about;

const DOCUMENT: &str = "docs/reference/refusals.md";

/// The words that functions called `reason` give about requests.
fn given(sources: &[File]) -> BTreeSet<String> {
    let is_about_requests =
        |file: &&File| file.path.starts_with("ca/src/") && !file.path.starts_with("ca/src/authority/");
    let after = sources.iter().filter(is_about_requests).flat_map(|file| file.text.split("fn reason(").skip(1));
    let bodies = after.filter_map(|rest| rest.split("\n    }\n").next());
    bodies.flat_map(|body| body.split('"').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// The words in the first column of the document's tables.
fn documented(document: &str) -> BTreeSet<String> {
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split_once('`')).map(|(word, _)| word.to_owned()).collect()
}

#[test]
fn every_reason_of_a_refusal_is_documented() {
    let (given, documented) = (given(&files::all()), documented(&files::read(DOCUMENT)));
    assert!(given.len() > 50, "hardly any reason was found: {given:?}");

    let missing = given.difference(&documented).map(|reason| format!("{DOCUMENT}: `{reason}` is not there"));
    let surplus = documented.difference(&given).map(|reason| format!("{DOCUMENT}: nobody says `{reason}`"));

    nothing_to_complain_about(&missing.chain(surplus).collect::<Vec<_>>());
}

#[test]
fn a_reason_is_found_where_it_is_given_and_where_it_is_documented() {
    let source = File::new("ca/src/a.rs", "fn reason(&self) -> x {\n        A => \"a_b\",\n    }\n}\n\"other\"");
    assert_eq!(given(&[source]), BTreeSet::from(["a_b".to_owned()]));
    assert_eq!(documented("| `a_b` | `CODE` |\n| reason |\n"), BTreeSet::from(["a_b".to_owned()]));
}
