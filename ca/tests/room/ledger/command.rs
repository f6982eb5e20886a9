//! `signet-ca ledger`, as an auditor uses it.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use signet_ca::ledger::{Keeping, SyncPolicy};
use signet_runtime::Clock;
use signet_testkit::{TempDir, temp_dir};

use super::desk::{Desk, ROOMY, segments};

/// Runs `signet-ca ledger` over `dir`: status, stdout, stderr.
pub(super) fn look(dir: &Path, words: &[&str]) -> (Option<i32>, String, String) {
    let output = command(dir, words).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn command(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signet-ca"));
    command.arg("ledger").args(words).arg("--dir").arg(dir);
    command
}

/// Serial numbers of the records that `find` finds.
pub(super) fn serials(dir: &Path, words: &[&str]) -> BTreeSet<String> {
    let (_, found, told) = look(dir, &[&["find", "-o", "json"], words].concat());
    assert_eq!(told, "");
    let records = found.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.map(|record| record["serial"].as_str().unwrap().to_owned()).collect()
}

/// A ledger of forty certificates, one a minute from 2023-11-14T22:13:20Z on, in several segments.
async fn written() -> TempDir {
    let dir = temp_dir();
    let clock = Clock::manual(1_700_000_000_000);
    let keeping = Keeping { segment_max_bytes: 8 * 1024, ..ROOMY };
    let desk = Desk::open_with(dir.path(), keeping, SyncPolicy::Always, clock.clone()).unwrap();
    for number in 0..40 {
        desk.write(number).await;
        clock.advance(std::time::Duration::from_secs(60));
    }
    desk.close().await;
    dir
}

#[tokio::test]
async fn verify_says_what_it_saw_and_where_the_chain_stands() {
    let dir = written().await;
    let (code, shown, told) = look(dir.path(), &["verify", "-o", "json"]);
    assert_eq!((code, told.as_str()), (Some(0), ""));
    let answer: Value = serde_json::from_str(&shown).unwrap();
    let chain = &answer["chains"][0];
    assert_eq!((&answer["verified"], &chain["records"]), (&Value::Bool(true), &Value::from(41)));
    assert_eq!(chain["segments"], segments(dir.path()).len());
    assert_eq!(chain["first"]["time"], "2023-11-14T22:13:20Z");
    assert_eq!(chain["last"], serde_json::json!({ "seq": 41, "time": "2023-11-14T22:52:20Z" }));
    let hash = chain["hash"].as_str().unwrap();
    let last = fs::read_to_string(segments(dir.path()).last().unwrap()).unwrap();
    assert!(last.trim_end().ends_with(&format!("\"hash\":\"{hash}\"}}")), "{hash}");

    let (_, table, _) = look(dir.path(), &["verify"]);
    assert!(table.starts_with("CHAIN  SEGMENTS") && table.contains(hash), "{table}");
}

#[tokio::test]
async fn a_hash_that_was_noted_shows_whether_the_past_was_replaced() {
    let dir = written().await;
    let hash = |dir: &Path| {
        let (_, shown, _) = look(dir, &["verify", "-o", "json"]);
        serde_json::from_str::<Value>(&shown).unwrap()["chains"][0]["hash"].as_str().unwrap().to_owned()
    };
    let noted = hash(dir.path());
    let desk = Desk::open(dir.path());
    desk.write(40).await;
    desk.close().await;
    assert_ne!(hash(dir.path()), noted);
    assert_eq!(look(dir.path(), &["verify", "--through", &noted]).0, Some(0));

    // The last segment cut after a whole record is a whole chain, and only the hash tells.
    let last = segments(dir.path()).pop().unwrap();
    let text = fs::read_to_string(&last).unwrap();
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    fs::write(&last, lines[..2].concat()).unwrap();
    assert_eq!(look(dir.path(), &["verify"]).0, Some(0));
    let (code, _, told) = look(dir.path(), &["verify", "--through", &noted]);
    assert_eq!(code, Some(1));
    assert!(told.contains("no chain passes through") && told.contains(&noted), "{told}");
}

#[tokio::test]
async fn verify_names_the_first_place_that_does_not_hold() {
    let dir = written().await;
    let second = &segments(dir.path())[1];
    let text = fs::read_to_string(second).unwrap();
    let third_line = text.lines().nth(2).unwrap();
    fs::write(second, text.replace(third_line, &third_line.replace("sa/web", "sa/bob"))).unwrap();
    let (code, shown, told) = look(dir.path(), &["verify", "-o", "json"]);
    assert_eq!(code, Some(1));
    let broken = &serde_json::from_str::<Value>(&shown).unwrap()["chains"][0]["broken"];
    assert_eq!(broken["segment"], second.to_str().unwrap());
    assert_eq!(broken["line"], 3);
    let words = ["line 3, where record ", "its hash does not fit"];
    assert!(words.iter().all(|words| told.contains(words)) && told.contains(second.to_str().unwrap()), "{told}");

    // What is shown from such a ledger is no answer.
    let (code, found, told) = look(dir.path(), &["find", "--node", "node-1", "-o", "json"]);
    assert_eq!((code, found.lines().count()), (Some(2), 39));
    assert!(told.contains("1 place(s) do not hold") && told.contains("line 3"), "{told}");
}

#[tokio::test]
async fn records_are_found_by_what_is_known_about_them() {
    let dir = written().await;
    let all = serials(dir.path(), &[]);
    assert_eq!(all.len(), 40);
    let count = |words: &[&str]| serials(dir.path(), words).len();
    let id = "spiffe://cluster.local/ns/shop/sa/web";
    for (words, wanted) in [
        (&["--serial", "4000000000000007"][..], 1),
        (&["--serial", "00:40:00:00:00:00:00:00:07"], 1),
        (&["--serial", "07"], 0),
        (&["--id", id], 40),
        (&["--id", "spiffe://cluster.local/ns/shop/sa/we"], 0),
        (&["--pod", "web-7"], 1),
        (&["--pod", "shop/web-7"], 1),
        (&["--pod", "bank/web-7"], 0),
        (&["--pod", "6d0e0a2a-0001-4b9f-8a5b-0123456789ab"], 40),
        (&["--node", "node-1"], 40),
        (&["--node", "node"], 0),
        (&["--since", "2023-11-14T22:50:00Z"], 3),
        (&["--until", "2023-11-14T22:15:00+00:00"], 2),
        (&["--since", "2023-11-14T22:14:20Z", "--until", "2023-11-14T22:16:20Z", "--id", id], 3),
        (&["--since", "1h"], 0),
    ] {
        assert_eq!(count(words), wanted, "{words:?}");
        let code = look(dir.path(), &[&["find"], words].concat()).0;
        assert_eq!(code, Some(i32::from(wanted == 0)), "{words:?}");
    }
    let (_, table, _) = look(dir.path(), &["find", "--pod", "web-7"]);
    let row = table.lines().nth(1).unwrap();
    for word in ["2023-11-14T22:20:20Z", "40000000000000000000000000000007", id, "shop/web-7", "node-1"] {
        assert!(row.contains(word) || word.starts_with("4000"), "{word}: {row}");
    }
}

#[tokio::test]
async fn show_gives_every_record_as_it_was_written() {
    let dir = written().await;
    let (code, shown, _) = look(dir.path(), &["show", "-o", "json"]);
    assert_eq!(code, Some(0));
    let written: String = segments(dir.path())
        .iter()
        .flat_map(|path| {
            fs::read_to_string(path).unwrap().lines().skip(1).map(|line| format!("{line}\n")).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(shown, written);
    let (_, table, _) = look(dir.path(), &["show", "--until", "2023-11-14T22:13:20Z"]);
    assert!(table.contains("(started)") && table.lines().count() == 3, "{table}");
}

#[tokio::test]
async fn a_ledger_is_looked_into_while_it_is_written() {
    let dir = temp_dir();
    let keeping = Keeping { segment_max_bytes: 8 * 1024, max_bytes: 64 * 1024, ..ROOMY };
    let desk = Desk::open_with(dir.path(), keeping, SyncPolicy::Always, Clock::system()).unwrap();
    for round in 0..10 {
        let looking = tokio::task::spawn_blocking({
            let dir = dir.path().to_owned();
            move || look(&dir, &["verify"])
        });
        for number in 0..40 {
            desk.write(round * 40 + number).await;
        }
        let (code, shown, told) = looking.await.unwrap();
        assert_eq!(code, Some(0), "{shown}{told}");
    }
    desk.close().await;
}

#[tokio::test]
async fn what_cannot_be_answered_is_neither_yes_nor_no() {
    let (empty, written) = (temp_dir(), written().await);
    let check = |dir: &Path, words: &[&str], wanted: &str| {
        let (code, shown, told) = look(dir, words);
        assert_eq!((code, shown.as_str()), (Some(2), ""), "{words:?}");
        assert!(told.contains(wanted), "{told}");
    };
    check(&empty.path().join("absent"), &["verify"], "cannot read directory");
    check(empty.path(), &["verify"], "holds no ledger");
    check(written.path(), &["find", "--serial", "xyz"], "`xyz` is not a serial number");
    check(written.path(), &["find", "--since", "yesterday"], "neither an instant");
    check(written.path(), &["verify", "--through", "123"], "is not 64 lower-case hex digits");
}

#[tokio::test]
async fn who_reads_only_the_beginning_makes_no_failure() {
    let dir = temp_dir();
    let desk = Desk::open(dir.path());
    for number in 0..500 {
        desk.write(number).await;
    }
    desk.close().await;
    let mut command = command(dir.path(), &["show", "-o", "json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), vec![]));
}

#[test]
fn every_verb_explains_itself_with_an_example() {
    for words in [&["ledger", "--help"][..], &["ledger", "verify", "--help"], &["ledger", "find", "--help"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_signet-ca")).args(words).output().unwrap();
        assert!(output.status.success());
        assert!(String::from_utf8(output.stdout).unwrap().contains("signet-ca ledger verify --dir"), "{words:?}");
    }
}
