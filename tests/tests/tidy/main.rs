//! The rules of the house, as tests. A rule that is not worth a test is not a rule.
//!
//! Each rule is a function from what it looks at to a list of complaints, so that each can be shown
//! to complain. `graph` asks cargo who depends on whom; `files` reads every file of the checkout.

#![cfg(test)]

mod arrows;
mod cryptography;
mod files;
mod graph;
mod licences;
mod links;
mod refusals;
mod secrets;
mod sources;
mod threats;

/// Fails with every complaint on a line of its own.
#[track_caller]
fn nothing_to_complain_about(complaints: &[String]) {
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}
