//! What a crash leaves is taken up without losing a record that somebody was told of; what somebody changed is not.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::sync::OnceLock;
use std::thread;

use proptest::prelude::*;
use signet_ca::ledger::{Chain, Flaw, OpenError};
use signet_runtime::tasks::chain;
use signet_testkit::{TempDir, temp_dir};

use super::desk::{Desk, Tour, copy, records, segments, whole};

/// A closed ledger of `certificates` certificates, in one segment.
async fn written(certificates: u64) -> TempDir {
    let dir = temp_dir();
    let desk = Desk::open(dir.path());
    for number in 0..certificates {
        desk.write(number).await;
    }
    desk.close().await;
    dir
}

/// Runs `work` on this thread.
fn here<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Where each line of the only segment ends.
fn ends(bytes: &[u8]) -> Vec<usize> {
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect()
}

fn broken(dir: &Path) -> (u64, Option<u64>, Flaw) {
    match Desk::try_open(dir).map(|_| ()).unwrap_err() {
        OpenError::Broken { found, .. } => (found.line, found.record, found.flaw),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_last_record_cut_at_any_byte_is_put_aside_and_all_before_it_is_kept() {
    let full = here(written(3));
    let bytes = fs::read(&segments(full.path())[0]).unwrap();
    let whole_bytes = ends(&bytes)[3];
    // Each waits for the disk many times; together they wait not much longer than one.
    let lengths: Vec<usize> = (whole_bytes..bytes.len()).collect();
    thread::scope(|scope| {
        for lengths in lengths.chunks(lengths.len() / 24) {
            let (full, bytes) = (&full, &bytes);
            scope.spawn(move || {
                lengths.iter().for_each(|length| cut_and_go_on(full.path(), bytes, whole_bytes, *length));
            });
        }
    });
}

fn cut_and_go_on(full: &Path, bytes: &[u8], whole_bytes: usize, length: usize) {
    let dir = temp_dir();
    copy(full, dir.path());
    fs::write(&segments(dir.path())[0], &bytes[..length]).unwrap();
    assert_eq!(whole(dir.path()).unfinished_bytes, (length - whole_bytes) as u64, "{length}");
    here(async {
        let desk = Desk::open(dir.path());
        desk.write(9).await;
        desk.close().await;
    });
    let pods: Vec<_> = records(dir.path()).iter().filter_map(|r| r["pod"].as_str().map(str::to_owned)).collect();
    assert_eq!(pods, ["web-0", "web-1", "web-9"], "{length}");
    let files = fs::read_dir(dir.path().join("1")).unwrap().map(|file| file.unwrap().path());
    let torn = files.filter(|path| path.extension().is_some_and(|extension| extension == "torn"));
    let torn: Vec<Vec<u8>> = torn.map(|path| fs::read(path).unwrap()).collect();
    let wanted: &[&[u8]] = if length == whole_bytes { &[] } else { &[&bytes[whole_bytes..length]] };
    assert_eq!(torn, wanted, "{length}");
}

#[tokio::test]
async fn a_hole_that_a_loss_of_power_leaves_in_the_last_group_is_no_tampering() {
    let full = written(4).await;
    let segment = segments(full.path()).remove(0);
    let bytes = fs::read(&segment).unwrap();
    let ends = ends(&bytes);
    // The last two records as one group: neither says that the other is on the disk.
    let zeroed = |from: usize, to: usize| {
        let mut bytes = bytes.clone();
        bytes[from..to].fill(0);
        bytes
    };
    for (from, to, what) in [
        (ends[4], bytes.len(), "whole"),
        (ends[4], ends[4] + 100, "first part"),
        (ends[4] + 50, bytes.len(), "last part"),
    ] {
        let dir = temp_dir();
        copy(full.path(), dir.path());
        fs::write(&segments(dir.path())[0], zeroed(from, to)).unwrap();
        assert!(Tour::of(dir.path()).breaks.is_empty(), "{what}");
        Desk::open(dir.path()).close().await;
        assert_eq!(whole(dir.path()).records, 1 + 3 + 1, "{what}");
    }
    // A record that later ones knew to be on the disk cannot have got lost so.
    let dir = temp_dir();
    copy(full.path(), dir.path());
    fs::write(&segments(dir.path())[0], zeroed(ends[1], ends[1] + 64)).unwrap();
    assert_eq!(broken(dir.path()).1, Some(2));
}

#[tokio::test]
async fn any_bit_that_is_changed_is_found_and_named_and_stops_the_next_start() {
    let full = written(3).await;
    let segment = segments(full.path()).remove(0);
    let bytes = fs::read(&segment).unwrap();
    let ends = ends(&bytes);
    let dir = temp_dir();
    copy(full.path(), dir.path());
    let file = OpenOptions::new().write(true).open(&segments(dir.path())[0]).unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            file.write_all_at(&[bytes[at] ^ (1 << bit)], at as u64).unwrap();
            let tour = Tour::of(dir.path());
            let line = ends.iter().filter(|end| **end <= at).count() as u64 + 1;
            let found = tour.breaks.first().unwrap_or_else(|| panic!("byte {at}, bit {bit} is not found"));
            assert_eq!(found.line, line, "byte {at}, bit {bit}: {found}");
            assert_eq!(found.record, (line > 1).then(|| line - 1), "byte {at}, bit {bit}");
            // Opening costs more; one bit of each byte is enough.
            if bit == at % 8 {
                assert_eq!(broken(dir.path()).0, line, "byte {at}, bit {bit}");
            }
        }
        file.write_all_at(&bytes[at..=at], at as u64).unwrap();
    }
}

#[tokio::test]
async fn records_taken_out_doubled_or_exchanged_are_found() {
    let full = written(4).await;
    let segment = segments(full.path()).remove(0);
    let bytes = fs::read(&segment).unwrap();
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let with = |order: &[usize]| order.iter().flat_map(|at| lines[*at]).copied().collect::<Vec<u8>>();
    for (order, line) in [
        (&[0, 1, 2, 4, 5][..], 4),
        (&[0, 2, 3, 4, 5], 2),
        (&[0, 1, 2, 2, 3, 4, 5], 4),
        (&[0, 1, 3, 2, 4, 5], 3),
        (&[1, 2, 3, 4, 5], 1),
    ] {
        let dir = temp_dir();
        copy(full.path(), dir.path());
        fs::write(&segments(dir.path())[0], with(order)).unwrap();
        let found = Tour::of(dir.path()).breaks.remove(0);
        assert_eq!(found.line, line, "{order:?}: {found}");
        assert_eq!(broken(dir.path()).0, line, "{order:?}");
    }
}

#[tokio::test]
async fn a_changed_ledger_is_left_as_it_is_and_the_start_says_what_to_do() {
    let full = written(2).await;
    let path = segments(full.path()).remove(0);
    let changed = fs::read_to_string(&path).unwrap().replace("web-1", "web-7");
    fs::write(&path, &changed).unwrap();
    let error = chain(&Desk::try_open(full.path()).map(|_| ()).unwrap_err());
    let wanted = [
        path.to_str().unwrap(),
        "line 4, where record 3 should stand: its hash does not fit",
        "move it out of `ledger.dir`, and the next start begins a new chain",
    ];
    assert!(wanted.iter().all(|words| error.contains(words)), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), changed);
    assert_eq!(Tour::of(full.path()).records.len(), 2, "what was changed is no record");

    fs::rename(full.path().join("1"), full.path().join("evidence")).unwrap();
    Desk::open(full.path()).close().await;
    assert_eq!(whole(full.path()).records, 1);
}

#[tokio::test]
async fn processes_that_write_at_the_same_time_have_a_chain_each_and_a_later_one_goes_on() {
    let dir = temp_dir();
    let (first, second) = (Desk::open(dir.path()), Desk::open(dir.path()));
    for number in 0..10 {
        tokio::join!(first.write(number), second.write(number + 100));
    }
    first.close().await;
    let third = Desk::open(dir.path());
    third.write(10).await;
    third.close().await;
    second.close().await;
    let tour = Tour::of(dir.path());
    assert!(tour.breaks.is_empty(), "{:?}", tour.breaks);
    assert_eq!(tour.chains.iter().map(|seen| seen.records).collect::<Vec<_>>(), [13, 11]);
}

#[tokio::test]
async fn more_processes_than_a_ledger_takes_are_told_so() {
    let dir = temp_dir();
    let desks: Vec<_> = (0..16).map(|_| Desk::open(dir.path())).collect();
    let error = Desk::try_open(dir.path()).map(|_| ()).unwrap_err();
    assert!(matches!(error, OpenError::Taken { .. }), "{error:?}");
    assert!(error.to_string().ends_with("is written by 16 processes already: give this one a `ledger.dir` of its own"));
    for desk in desks {
        desk.close().await;
    }
    assert_eq!(Tour::of(dir.path()).chains.len(), 16);
}

#[tokio::test]
async fn only_its_owner_can_read_a_ledger() {
    let parent = temp_dir();
    let dir = parent.path().join("deep/ledger");
    Desk::open(&dir).close().await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&dir.join("1"))), (0o700, 0o700));
    for file in fs::read_dir(dir.join("1")).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
}

#[tokio::test]
async fn what_a_killed_process_left_half_made_is_cleared_away() {
    let dir = written(1).await;
    let chain = dir.path().join("1");
    fs::write(chain.join(".00000000000000000003.jsonl.0123456789abcdef.tmp"), "{\"format\":1").unwrap();
    for number in 0..20 {
        fs::write(chain.join(format!("{number:020}-1.torn")), "").unwrap();
    }
    let mut segment = OpenOptions::new().append(true).open(&segments(dir.path())[0]).unwrap();
    segment.write_all(b"{\"seq\":3").unwrap();
    Desk::open(dir.path()).close().await;
    let left: Vec<_> =
        fs::read_dir(&chain).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!left.iter().any(|name| name.ends_with(".tmp")), "{left:?}");
    assert_eq!(left.iter().filter(|name| name.ends_with(".torn")).count(), 8, "{left:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_bytes_in_place_of_a_segment_make_reading_panic(bytes: Vec<u8>, keep in 0usize..3) {
        let dir = temp_dir();
        fs::create_dir_all(dir.path().join("1")).unwrap();
        let header = header_line();
        let content = [header.as_bytes(), &bytes].concat();
        let from = [0, header.len(), header.len() / 2][keep];
        fs::write(dir.path().join("1/00000000000000000001.jsonl"), &content[from..]).unwrap();
        let tour = Tour::of(dir.path());
        prop_assert!(tour.records.is_empty());
        prop_assert!(Chain::all(dir.path()).unwrap().len() == 1);
    }
}

/// A header as a writer makes it.
fn header_line() -> &'static str {
    static LINE: OnceLock<String> = OnceLock::new();
    LINE.get_or_init(|| {
        let dir = here(written(0));
        let text = fs::read_to_string(&segments(dir.path())[0]).unwrap();
        text.split_inclusive('\n').next().unwrap().to_owned()
    })
}
