//! Sets of files: switched whole, private, and nobody else's files touched.

use super::*;
use std::os::unix::fs::PermissionsExt;

use zeroize::Zeroizing;

fn set(tag: &str) -> FileSet {
    FileSet { key: Zeroizing::new(format!("key {tag}")), chain: format!("chain {tag}"), roots: "roots".to_owned() }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_unix_millis(millis)
}

fn read(dir: &Path) -> [String; 3] {
    [KEY_FILE, CHAIN_FILE, ROOTS_FILE].map(|name| fs::read_to_string(dir.join(name)).unwrap())
}

fn sets(dir: &Path) -> usize {
    fs::read_dir(dir).unwrap().filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_dir()).count()
}

#[test]
fn the_names_that_programs_know_lead_to_the_newest_set() {
    let dir = signet_testkit::temp_dir();
    let out = dir.path().join("not/yet/there");
    for tag in ["a", "b", "c"] {
        publish(&out, &set(tag), at(1)).unwrap();
        assert_eq!(read(&out), [format!("key {tag}"), format!("chain {tag}"), "roots".to_owned()]);
    }
    assert_eq!(sets(&out), 2, "the newest set and the one before");
}

#[test]
fn every_file_is_for_its_owner_alone() {
    let dir = signet_testkit::temp_dir();
    publish(dir.path(), &set("a"), at(1)).unwrap();
    for name in [KEY_FILE, CHAIN_FILE, ROOTS_FILE] {
        assert_eq!(fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    let data = fs::metadata(dir.path().join(DATA_LINK)).unwrap();
    assert_eq!(data.permissions().mode() & 0o777, 0o700);
}

#[test]
fn plain_files_of_an_earlier_agent_are_replaced_and_strangers_left_alone() {
    let dir = signet_testkit::temp_dir();
    fs::write(dir.path().join(KEY_FILE), "old").unwrap();
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    fs::create_dir(dir.path().join("..2024_01_01")).unwrap();
    fs::create_dir(dir.path().join(format!("{SET_PREFIX}0-half"))).unwrap();
    publish(dir.path(), &set("a"), at(1)).unwrap();
    assert_eq!(read(dir.path())[0], "key a");
    assert!(dir.path().join("notes.txt").exists() && dir.path().join("..2024_01_01").exists());
    assert!(!dir.path().join(format!("{SET_PREFIX}0-half")).exists());
}

#[test]
fn a_set_that_cannot_be_written_leaves_the_one_before_in_force() {
    let dir = signet_testkit::temp_dir();
    publish(dir.path(), &set("a"), at(1)).unwrap();
    // A directory where the link is made: neither removable as a file nor replaceable.
    fs::create_dir(dir.path().join(LINK_MAKING)).unwrap();
    let error = publish(dir.path(), &set("b"), at(2)).unwrap_err();
    assert!(error.to_string().contains(LINK_MAKING), "{error}");
    assert_eq!(read(dir.path())[0], "key a");
    assert_eq!(sets(dir.path()), 2, "the set in force and the obstacle");
    fs::remove_dir(dir.path().join(LINK_MAKING)).unwrap();
    publish(dir.path(), &set("b"), at(3)).unwrap();
    assert_eq!(read(dir.path())[0], "key b");
}

#[test]
fn a_name_that_cannot_be_linked_leaves_no_key_behind() {
    let dir = signet_testkit::temp_dir();
    fs::create_dir(dir.path().join(KEY_FILE)).unwrap();
    for _ in 0..3 {
        assert!(publish(dir.path(), &set("a"), at(1)).is_err());
    }
    assert_eq!(sets(dir.path()), 1, "only the directory that is in the way");
    assert!(files::is_absent(&dir.path().join(DATA_LINK)), "nothing was switched");
}
