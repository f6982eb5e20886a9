//! `kill -9` in the middle of a change of keys: the program that comes back goes on.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use signet_testkit::TokenIssuer;

use crate::lab::certificates;
use crate::process::Program;

pub(crate) fn operator(state: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signet-ca"));
    command.arg("authority").args(words).arg("--socket").arg(state.join("control.sock"));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

pub(crate) fn overview(state: &Path) -> Value {
    let shown = operator(state, &["list", "-o", "json"]).stdout(Stdio::piped()).output().unwrap();
    serde_json::from_slice(&shown.stdout).unwrap()
}

/// The generations in this phase.
pub(crate) fn in_phase(overview: &Value, phase: &str) -> Vec<u64> {
    let generations = overview["generations"].as_array().unwrap().iter();
    generations.filter(|found| found["phase"] == phase).map(|found| found["id"].as_u64().unwrap()).collect()
}

/// What an operator would do next to change the key and get rid of the old one.
pub(crate) fn next_step(overview: &Value) -> Vec<String> {
    let of = |phase| in_phase(overview, phase).first().copied();
    match (of("tainted"), of("old"), of("published")) {
        (Some(id), ..) => ["revoke".to_owned(), id.to_string()].to_vec(),
        (_, Some(id), _) => ["taint".to_owned(), id.to_string()].to_vec(),
        (.., Some(id)) => ["activate".to_owned(), id.to_string(), "--force".to_owned()].to_vec(),
        _ => ["prepare".to_owned()].to_vec(),
    }
}

/// What a process writes in one step, in this order; it is killed as soon as one of them has changed.
#[derive(Debug, Clone, Copy)]
enum Write {
    Key,
    Journal,
    Roots,
}

impl Write {
    fn shown(self, state: &Path) -> Vec<u8> {
        match self {
            Self::Key => keys(state).join(" ").into_bytes(),
            Self::Journal => fs::read(state.join("state.json")).unwrap_or_default(),
            Self::Roots => fs::read(state.join("root-cert.pem")).unwrap_or_default(),
        }
    }
}

fn keys(state: &Path) -> Vec<String> {
    let names = fs::read_dir(state).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut keys: Vec<_> = names.filter(|name| name.starts_with("authority")).collect();
    keys.sort();
    keys
}

/// Asks for the next step, and kills the program as soon as it has written `write`. Tells whether it has.
fn killed_after(write: Write, program: Program, state: &Path, words: &[&str]) -> bool {
    let before = write.shown(state);
    let mut asked = operator(state, words).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let has_written = loop {
        if write.shown(state) != before {
            break true;
        }
        if asked.try_wait().unwrap().is_some() {
            break write.shown(state) != before;
        }
        assert!(Instant::now() < deadline, "{words:?} came to no end");
    };
    // Dropping it kills it with SIGKILL.
    drop(program);
    asked.wait().unwrap();
    has_written
}

#[test]
fn killed_as_soon_as_it_has_written_key_journal_or_roots_it_goes_on_from_what_is_written_down() {
    let (dir, issuer) = (signet_testkit::temp_dir(), TokenIssuer::es256());
    let state = dir.path().join("state");
    let mut met = [0; 3];
    // Four steps change a key, so each step meets each write.
    for round in 0..24 {
        let mut program = Program::start_under(&[], dir.path(), &issuer, &["--ledger.dir", "none"]);
        program.wait_for("serving");
        let before = overview(&state);
        assert_eq!(in_phase(&before, "active").len(), 1, "{before:#}");
        let words = next_step(&before);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let write = [Write::Key, Write::Journal, Write::Roots][round % 3];
        met[round % 3] += u32::from(killed_after(write, program, &state, &words));

        let roots = certificates(&fs::read_to_string(state.join("root-cert.pem")).unwrap());
        assert!(!roots.is_empty(), "published roots are whole at any moment");
    }
    assert!(met.iter().all(|met| *met > 0) && met[1] >= 6, "each write should have been met: {met:?}");
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
