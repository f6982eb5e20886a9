//! What is written reads back, and nothing else does.

use super::*;

const START: Timestamp = Timestamp::from_unix_secs(1_800_000_000);

fn trust_domain() -> TrustDomain {
    "cluster.local".parse().unwrap()
}

fn sample() -> (Schedule, Keys) {
    let entry = |kid: &str, phase| Entry {
        kid: kid.to_owned(),
        phase,
        since: START,
        served: Duration::from_secs(7),
        horizon: START.plus(Duration::from_secs(9)),
        longest: Duration::from_secs(11),
    };
    let entries = vec![entry("a", Phase::Old), entry("b", Phase::Active), entry("c", Phase::Next)];
    let keys = ["a", "b", "c"].map(|kid| (kid.to_owned(), PrivateKey::generate_p256().unwrap()));
    (Schedule::restored(entries, 42).unwrap(), Keys::from(keys))
}

fn text() -> String {
    let (schedule, keys) = sample();
    String::from_utf8(write(&schedule, &keys, &trust_domain()).to_vec()).unwrap()
}

#[test]
fn what_is_written_reads_back() {
    let (schedule, keys) = sample();
    let text = write(&schedule, &keys, &trust_domain());
    let (again, read_keys) = read(&text, &trust_domain()).unwrap();
    assert_eq!(again, schedule);
    let public = |keys: &Keys| keys.iter().map(|(kid, key)| (kid.clone(), key.public().clone())).collect::<Vec<_>>();
    assert_eq!(public(&read_keys), public(&keys));
}

#[test]
fn the_text_never_outgrows_the_room_that_was_made_for_it() {
    let entry = |i: usize| Entry {
        kid: format!("{i:032x}"),
        phase: Phase::Old,
        since: Timestamp::from_unix_secs(i64::MIN / 1000),
        served: Duration::from_secs(u64::MAX),
        horizon: Timestamp::from_unix_secs(i64::MIN / 1000),
        longest: Duration::from_secs(u64::MAX),
    };
    let entries: Vec<_> = (0..KEYS_MAX).map(entry).collect();
    let keys = entries.iter().map(|entry| (entry.kid.clone(), PrivateKey::generate_p256().unwrap())).collect();
    let schedule = Schedule::restored(entries, u64::MAX).unwrap();
    let trust_domain: TrustDomain = "x".repeat(255).parse().unwrap();
    let text = write(&schedule, &keys, &trust_domain);
    assert!(text.len() < KEYS_MAX * ENTRY_BYTES, "{} bytes", text.len());
}

#[test]
fn anything_else_is_refused_and_no_message_repeats_it() {
    let text = text();
    let check = |name: &str, text: &str, wanted: fn(&JournalError) -> bool| {
        let error = read(text.as_bytes(), &trust_domain()).expect_err(name);
        assert!(wanted(&error), "{name}: {error:?}");
        assert!(error.to_string().len() < 160, "{name}: {error}");
    };
    let malformed = |error: &JournalError| matches!(error, JournalError::Malformed { .. });
    check("nothing", "", malformed);
    check("a half", text.split_at(text.len() / 2).0, malformed);
    check("something behind it", &format!("{text}x"), malformed);
    check("an unknown member", &text.replacen("\"keys\"", "\"more\": 1, \"keys\"", 1), malformed);
    check("another phase", &text.replace("\"next\"", "\"last\""), malformed);
    check("no number", &text.replace("\"published_version\": 42,", ""), malformed);
    check("another version", &text.replacen("\"version\": 1", "\"version\": 2", 1), |error| {
        *error == JournalError::Version { version: 2 }
    });
    check("another trust domain", &text.replace("cluster.local", "cluster.other"), |error| {
        matches!(error, JournalError::TrustDomain { .. })
    });
    check("two that sign", &text.replace("\"next\"", "\"active\""), |error| {
        matches!(error, JournalError::Inconsistent(_))
    });
    let key = text.split("\"pkcs8\": \"").nth(1).unwrap().split('"').next().unwrap();
    let p384 = STANDARD.encode(&*PrivateKey::generate_p384().unwrap().to_pkcs8());
    for broken in ["", "AAAA", "?", &p384] {
        check("a broken key", &text.replacen(key, broken, 1), |error| matches!(error, JournalError::Key { .. }));
    }
}

#[test]
fn every_cut_of_the_text_is_refused() {
    let text = text();
    let whole = text.trim_end().len();
    for end in 0..whole {
        assert!(read(&text.as_bytes()[..end], &trust_domain()).is_err(), "cut at {end}");
    }
}
