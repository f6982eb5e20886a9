//! The threat model names the tests that hold its promises; each must be there.

use crate::files::{self, File};
use crate::nothing_to_complain_about;

const MODEL: &str = "docs/security/threat-model.md";

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
fn every_test_that_the_threat_model_names_is_there() {
    let model = files::read(MODEL);
    assert!(named(&model).len() > 40, "the threat model names hardly any test");

    let complaints: Vec<String> =
        missing(&model, &files::all()).iter().map(|name| format!("{MODEL}: there is no test `{name}`")).collect();

    nothing_to_complain_about(&complaints);
}

#[test]
fn a_promise_whose_test_is_gone_is_told() {
    let source = File::new("a.rs", "fn a_test_that_is_there() {}");

    let found = missing("| `a_test_that_is_there`, `a_test_that_is_not`, `cargo` |", &[source]);

    assert_eq!(found, ["a_test_that_is_not"]);
}
