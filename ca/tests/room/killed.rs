//! `kill -9` in the middle of a change of keys: the program that comes back goes on.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use signet_testkit::TokenIssuer;

use crate::lab::certificates;
use crate::process::Program;

fn operator(state: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signet-ca"));
    command.arg("authority").args(words).arg("--socket").arg(state.join("control.sock"));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn overview(state: &Path) -> Value {
    let shown = operator(state, &["list", "-o", "json"]).stdout(Stdio::piped()).output().unwrap();
    serde_json::from_slice(&shown.stdout).unwrap()
}

/// The generations in this phase.
fn in_phase(overview: &Value, phase: &str) -> Vec<u64> {
    let generations = overview["generations"].as_array().unwrap().iter();
    generations.filter(|found| found["phase"] == phase).map(|found| found["id"].as_u64().unwrap()).collect()
}

/// What an operator would do next to change the key and get rid of the old one.
fn next_step(overview: &Value) -> Vec<String> {
    let of = |phase| in_phase(overview, phase).first().copied();
    match (of("tainted"), of("old"), of("published")) {
        (Some(id), ..) => ["revoke".to_owned(), id.to_string()].to_vec(),
        (_, Some(id), _) => ["taint".to_owned(), id.to_string()].to_vec(),
        (.., Some(id)) => ["activate".to_owned(), id.to_string(), "--force".to_owned()].to_vec(),
        _ => ["prepare".to_owned()].to_vec(),
    }
}

#[test]
fn killed_at_any_moment_of_a_change_of_keys_it_goes_on_from_what_is_written_down() {
    let (dir, issuer) = (signet_testkit::temp_dir(), TokenIssuer::es256());
    let state = dir.path().join("state");
    // A busy machine needs longer for anything to happen at all.
    let longer = (0..8).map(|doubled| 24 << doubled);
    for delay in (0..24).chain(longer) {
        let mut program = Program::start_under(&[], dir.path(), &issuer, &["--ledger.dir", "none"]);
        program.wait_for("serving");
        let before = overview(&state);
        assert_eq!(in_phase(&before, "active").len(), 1, "{before:#}");
        if delay >= 24 && in_phase(&before, "active")[0] > 1 {
            break;
        }
        let words = next_step(&before);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut asked = operator(&state, &words).spawn().unwrap();
        thread::sleep(Duration::from_millis(delay));
        // Dropping it kills it with SIGKILL.
        drop(program);
        asked.wait().unwrap();

        let roots = certificates(&fs::read_to_string(state.join("root-cert.pem")).unwrap());
        assert!(!roots.is_empty(), "published roots are whole at any moment");
    }
    let mut program = Program::start_under(&[], dir.path(), &issuer, &["--ledger.dir", "none"]);
    program.wait_for("serving");
    let after = overview(&state);
    let published = after["bundle"]["roots"].as_object().unwrap().len();
    let roots = certificates(&fs::read_to_string(state.join("root-cert.pem")).unwrap());
    assert_eq!(roots.len(), published, "what is published is what is written down");
    let leftovers = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let leftovers: Vec<_> = leftovers.filter(|name| name.ends_with(".tmp")).collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
    assert!(in_phase(&after, "active")[0] > 1, "keys should have changed meanwhile: {after:#}");
}
