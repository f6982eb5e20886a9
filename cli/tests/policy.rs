//! `signet policy` as a person at a terminal meets it: what stands on stdout, what on stderr, and the exit status.

#![cfg(test)]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const GOOD: &str =
    "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: a}\nspec: {mtls: {mode: STRICT}}\n";
const BAD: &str = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a}\nspec:\n  rules:\n  - to:\n    - operation: {paths: [\"/a/{**}/{*}\"]}\n";
const TRAP: &str = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: b}\nspec:\n  action: DENY\n  rules: [{to: [{operation: {methods: [post], ports: ['80']}}]}]\n";

fn signet(arguments: &[&str], stdin: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signet"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn check_status(arguments: &[&str], stdin: &str, status: i32) -> Output {
    let output = signet(arguments, stdin);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}\n{}\n{}", text(&output.stdout), text(&output.stderr));
    output
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn path(folder: &tempfile::TempDir) -> String {
    folder.path().display().to_string()
}

#[test]
fn a_problem_is_shown_with_its_line_and_a_mark_below_it() {
    let output = check_status(&["policy", "check", "-"], BAD, 1);
    let shown = text(&output.stdout);
    assert!(shown.contains("error[SIG0213]: "), "{shown}");
    assert!(shown.contains("--> <stdin>:7:27\n"), "{shown}");
    assert!(shown.contains("7 |     - operation: {paths: [\"/a/{**}/{*}\"]}\n"), "{shown}");
    let marked = shown.lines().find(|line| line.ends_with('^')).unwrap();
    assert_eq!(marked, format!("  | {}{}", " ".repeat(26), "^".repeat(13)));
    assert_eq!(text(&output.stderr), "1 files: 1 errors, 0 warnings, 0 notes\n");
}

#[test]
fn good_policies_say_nothing_on_stdout() {
    let output = check_status(&["policy", "check", "-"], GOOD, 0);
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn a_directory_is_searched_and_other_files_are_passed_over() {
    let folder = folder(&[("a.yaml", GOOD), ("deep/b.YML", BAD), ("deep/c.json", "{}"), ("notes.txt", "}{")]);
    let output = check_status(&["policy", "check", &path(&folder)], "", 1);
    assert!(text(&output.stdout).contains("b.YML:7:27"), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("3 files"), "{}", text(&output.stderr));
}

#[test]
fn other_kinds_are_said_and_are_no_failure() {
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n- {{apiVersion: v1, kind: Secret, metadata: {{name: s}}}}\n---\n{GOOD}"
    );
    let output = check_status(&["policy", "check", "-"], &list, 0);
    assert!(text(&output.stdout).contains("note[SIG0010]"), "{}", text(&output.stdout));
}

#[test]
fn what_cannot_be_read_is_said_and_the_rest_is_checked() {
    let folder = folder(&[("a.yaml", GOOD)]);
    std::fs::write(folder.path().join("latin.yaml"), b"name: \xe4").unwrap();
    let missing = folder.path().join("missing.yaml").display().to_string();
    let output = check_status(&["policy", "check", &path(&folder), &missing], "", 2);
    let talk = text(&output.stderr);
    assert!(talk.contains("latin.yaml`: not UTF-8") && talk.contains("missing.yaml"), "{talk}");
    assert!(talk.contains("1 files") && talk.contains("2 of the given files could not be read"), "{talk}");
    check_status(&["policy", "check", "-", &missing], BAD, 1);
    let empty = tempfile::tempdir().unwrap();
    check_status(&["policy", "check", &path(&empty)], "", 2);
    check_status(&["policy", "check"], "", 2);
}

#[test]
fn how_bad_a_problem_must_be_is_for_the_caller_to_say() {
    check_status(&["policy", "check", "-"], TRAP, 0);
    check_status(&["policy", "check", "-", "--fail-on", "warning"], TRAP, 1);
    let output = check_status(&["policy", "check", "-", "--fail-on", "warning", "--ignore", "sig0615"], TRAP, 0);
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn json_holds_everything_that_the_text_says() {
    let output = check_status(&["policy", "check", "-o", "json", "-"], BAD, 1);
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let item = &list[0];
    assert_eq!(item["code"], "SIG0213");
    assert_eq!(item["object"], "AuthorizationPolicy default/a");
    assert_eq!(
        (item["line"].as_u64(), item["column"].as_u64(), item["length"].as_u64()),
        (Some(7), Some(27), Some(13))
    );
    assert_eq!((&item["severity"], &item["istioCode"]), (&"error".into(), &"IST0106".into()));
    assert!(item["hint"].is_string() && item["message"].is_string(), "{item}");
}

/// The parts that the schema of SARIF 2.1.0 requires, and those that code scanning needs.
#[test]
fn sarif_has_what_its_schema_requires() {
    let folder = folder(&[("a b.yaml", BAD), ("c.yaml", "a: ["), ("d.yaml", TRAP)]);
    let output = check_status(&["policy", "check", "-o", "sarif", &path(&folder)], "", 1);
    let log: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    assert_eq!(run["tool"]["driver"]["name"], "signet");
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 3, "{results:#?}");
    for result in results {
        assert!(rules.iter().any(|rule| rule["id"] == result["ruleId"]), "{result}");
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()), "{result}");
        assert!(!result["message"]["text"].as_str().unwrap().is_empty(), "{result}");
        let place = &result["locations"][0]["physicalLocation"];
        let uri = place["artifactLocation"]["uri"].as_str().unwrap();
        assert!(!uri.contains(' ') && Path::new(uri).extension().is_some(), "{uri}");
        let region = &place["region"];
        let [line, from, to] = ["startLine", "startColumn", "endColumn"].map(|name| region[name].as_u64().unwrap());
        assert!(line >= 1 && from >= 1 && to > from, "{region}");
    }
    for rule in rules {
        assert!(rule["shortDescription"]["text"].is_string() && rule["defaultConfiguration"]["level"].is_string());
    }
}

#[test]
fn help_shows_how_it_is_used() {
    let shown = text(&check_status(&["policy", "check", "--help"], "", 0).stdout);
    assert!(shown.contains("Examples:") && shown.contains("Exit status:"), "{shown}");
}
