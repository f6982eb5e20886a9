//! The threat model and the page on compatibility name the tests that hold their promises; each must be there.

use crate::files::{self, File};
use crate::nothing_to_complain_about;

const DOCUMENTS: [&str; 2] = ["docs/security/threat-model.md", "docs/reference/compatibility.md"];

/// Fewest words of a test's name; shorter words in backticks are something else.
const WORDS_MIN: usize = 4;

/// The names of tests in a document: in backticks, of several words joined by underscores.
fn named(text: &str) -> Vec<&str> {
    let is_test = |word: &&str| {
        word.split('_').count() >= WORDS_MIN
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    text.split('`').skip(1).step_by(2).filter(is_test).collect()
}

fn missing<'a>(model: &'a str, sources: &[File]) -> Vec<&'a str> {
    let is_there = |name: &&str| {
        let definition = format!("fn {name}(");
        sources.iter().any(|file| file.is("rs") && file.text.contains(&definition))
    };
    named(model).into_iter().filter(|name| !is_there(name)).collect()
}

#[test]
fn every_test_that_a_document_names_is_there() {
    let sources = files::all();
    let mut complaints = Vec::new();
    for document in DOCUMENTS {
        let text = files::read(document);
        assert!(named(&text).len() > 40, "{document} names hardly any test");
        let missing = missing(&text, &sources);
        complaints.extend(missing.iter().map(|name| format!("{document}: there is no test `{name}`")));
    }

    nothing_to_complain_about(&complaints);
}

#[test]
fn a_promise_whose_test_is_gone_is_told() {
    let source = File::new("a.rs", "fn a_test_that_is_there() {}");

    let found = missing("| `a_test_that_is_there`, `a_test_that_is_not`, `cargo` |", &[source]);

    assert_eq!(found, ["a_test_that_is_not"]);
}
