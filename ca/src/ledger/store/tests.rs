//! What may not be on the disk is written again, and is not said to be there before.

use std::borrow::Cow;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use signet_testkit::{TempDir, temp_dir};

use super::*;
use crate::ledger::open::open;
use crate::ledger::record::Note;

fn now() -> Timestamp {
    Timestamp::from_unix_secs(1_800_000_000)
}

fn open_in(dir: &Path) -> Store {
    let (max_age, life_max) = (Duration::from_secs(86_400), Duration::ZERO);
    let keeping = Keeping { segment_max_bytes: 1 << 20, max_bytes: 1 << 30, max_age, life_max };
    open(dir, keeping, now()).unwrap().0
}

impl Store {
    fn add(&mut self, sync: bool) -> Result<(), WriteError> {
        let note = Note::Started { time: now(), version: Cow::Borrowed("1"), torn_bytes: 0 };
        self.append(std::iter::once(&Body::note(&note).unwrap()), sync, now()).map(|_| ())
    }

    fn content(&self) -> Vec<u8> {
        fs::read(&self.segment.path).unwrap()
    }

    /// Whether the file is written to by `work`.
    fn is_written_by(&mut self, work: impl FnOnce(&mut Self)) -> bool {
        self.file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        work(self);
        fs::metadata(&self.segment.path).unwrap().modified().unwrap() != SystemTime::UNIX_EPOCH
    }

    /// What the last record says about those before it.
    fn last_said(&self) -> u64 {
        let content = self.content();
        let line = content.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap();
        serde_json::from_slice::<serde_json::Value>(line).unwrap()["synced"].as_u64().unwrap()
    }
}

/// Two records on the disk, and three of which the system said that it could not write them.
fn doubtful() -> (Store, TempDir) {
    let dir = temp_dir();
    let mut store = open_in(dir.path());
    (0..2).for_each(|_| store.add(true).unwrap());
    (0..3).for_each(|_| store.add(false).unwrap());
    store.is_doubtful = true;
    (store, dir)
}

#[test]
fn after_a_failed_sync_records_are_written_again_before_they_count_as_being_on_the_disk() {
    let (mut store, _dir) = doubtful();
    let before = store.content();
    assert_eq!(store.synced, 2);
    assert!(store.is_written_by(|store| store.sync().unwrap()));
    assert_eq!((store.synced, store.is_doubtful), (5, false));
    assert_eq!(store.content(), before);
    assert!(!store.is_written_by(|store| store.sync().unwrap()), "what is known to be there stays as it is");
    store.add(true).unwrap();
    store.add(true).unwrap();
    assert_eq!(store.last_said(), 6);
}

#[test]
fn a_record_that_does_not_read_back_is_never_said_to_be_on_the_disk() {
    let (mut store, _dir) = doubtful();
    // A page that the system gave up.
    let hole = OpenOptions::new().write(true).open(&store.segment.path).unwrap();
    hole.write_all_at(&[0; 20], store.bytes - 40).unwrap();
    let error = store.repair(now()).unwrap_err();
    assert!(signet_runtime::tasks::chain(&error).contains("do not read back"), "{error:?}");
    assert_eq!((store.synced, store.is_doubtful), (2, true));
    store.add(true).unwrap();
    store.add(true).unwrap();
    assert_eq!(store.last_said(), 2);
}

#[test]
fn a_process_that_follows_one_whose_disk_failed_writes_its_last_records_again() {
    let (mut store, dir) = doubtful();
    let before = store.content();
    store.file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let path = store.segment.path.clone();
    drop(store);
    store = open_in(dir.path());
    assert_eq!((store.synced, store.is_doubtful), (5, false));
    assert_eq!(store.content(), before);
    assert_ne!(fs::metadata(&path).unwrap().modified().unwrap(), SystemTime::UNIX_EPOCH);
}
