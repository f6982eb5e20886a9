//! Numbers that grow with each change, over restarts, and when the file is lost.

use signet_testkit::temp_dir;

use super::*;

const NOW: Timestamp = Timestamp::from_unix_secs(1_800_000_000);

#[test]
fn a_number_stays_with_its_content_and_grows_with_each_change() {
    let numbered = |last: Option<&Numbered>, digest: &str, now| Numbered::after(last, digest.to_owned(), now);
    let first = numbered(None, "a", NOW);
    assert_eq!(first.sequence, 1_800_000_000);
    assert_eq!(numbered(Some(&first), "a", NOW.plus(Duration::from_secs(9))), first);
    let second = numbered(Some(&first), "b", NOW);
    assert_eq!(second.sequence, first.sequence + 1);
    let back = numbered(Some(&second), "a", Timestamp::from_unix_secs(-5));
    assert_eq!(back.sequence, second.sequence + 1, "an old content gets a new number, whatever the clock says");
    let lost = numbered(None, "c", NOW.plus(Duration::from_secs(60)));
    assert!(lost.sequence > back.sequence);
}

#[test]
fn the_number_is_kept_and_a_spoilt_file_is_no_reason_to_stop() {
    let dir = temp_dir();
    let path = dir.path().join("deep").join(SEQUENCE_FILE);
    assert_eq!(read(&path), None);
    let numbered = Numbered { sequence: 7, digest: "d".to_owned() };
    keep(&path, &numbered);
    assert_eq!(read(&path), Some(numbered));
    std::fs::write(&path, "{\"sequence\":-1}").unwrap();
    assert_eq!(read(&path), None);
    keep(Path::new("/dev/null/x"), &Numbered { sequence: 7, digest: "d".to_owned() });
}
