//! How the ledger is written, cut into segments, and pruned.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;
use signet_ca::ledger::{Issued, Keeping, Ledger, LedgerConfig, LedgerError, SyncPolicy};
use signet_ca::metrics::Metrics;
use signet_identity::Timestamp;
use signet_runtime::{Clock, Health};
use signet_testkit::temp_dir;
use tokio::task::JoinSet;

use super::desk::{DAY, Desk, ROOMY, Tour, certificate, records, segments, whole};
use crate::lab::eventually;

const MILLIS: i64 = 1_700_000_000_000;

fn numbers(records: &[Value], member: &str) -> Vec<u64> {
    records.iter().map(|record| record[member].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn each_record_knows_how_far_the_disk_had_come() {
    let dir = temp_dir();
    let desk = Desk::open(dir.path());
    for number in 0..5 {
        desk.write(number).await;
    }
    desk.close().await;
    let records = records(dir.path());
    assert_eq!(numbers(&records, "seq"), [1, 2, 3, 4, 5, 6]);
    assert_eq!(numbers(&records, "synced"), [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn what_waits_together_is_written_together() {
    let dir = temp_dir();
    let desk = Desk::open(dir.path());
    let mut waiting = JoinSet::new();
    for number in 0..1000 {
        let (ledger, record) = (desk.ledger.clone(), certificate(number, Timestamp::from_unix_millis(MILLIS)));
        waiting.spawn(async move { ledger.append(&record, ()).await });
    }
    while let Some(done) = waiting.join_next().await {
        done.unwrap().unwrap();
    }
    desk.close().await;
    let records = records(dir.path());
    assert_eq!(records.len(), 1001);
    let groups: HashSet<u64> = numbers(&records, "synced").into_iter().collect();
    assert!(groups.len() < 250, "a thousand records took {} groups", groups.len());
}

#[tokio::test]
async fn a_policy_of_intervals_does_not_wait_for_the_disk_and_catches_up() {
    let dir = temp_dir();
    let within = SyncPolicy::Within(Duration::from_millis(50));
    let desk = Desk::open_with(dir.path(), ROOMY, within, Clock::system()).unwrap();
    desk.write(0).await;
    desk.write(1).await;
    let synced = numbers(&records(dir.path()), "synced");
    // Had the machine been slow, the disk could have come further; it never can have come less far.
    assert!(synced[2] >= 1, "{synced:?}");
    eventually("a record is known to be on the disk without another one", async || {
        tokio::time::sleep(Duration::from_millis(100)).await;
        desk.write(2).await;
        let records = records(dir.path());
        let last = records.last().unwrap();
        last["synced"].as_u64().unwrap() + 1 == last["seq"].as_u64().unwrap()
    })
    .await;
    desk.close().await;
}

#[tokio::test]
async fn segments_stay_within_their_bound_and_are_one_chain() {
    let dir = temp_dir();
    let keeping = Keeping { segment_max_bytes: 8 * 1024, ..ROOMY };
    let open = || Desk::open_with(dir.path(), keeping, SyncPolicy::Always, Clock::manual(MILLIS)).unwrap();
    for round in 0..3 {
        let desk = open();
        for number in 0..30 {
            desk.write(round * 100 + number).await;
        }
        desk.close().await;
    }
    let segments = segments(dir.path());
    assert!(segments.len() >= 7, "{segments:?}");
    for segment in &segments {
        let bytes = fs::metadata(segment).unwrap().len();
        assert!(bytes <= 8 * 1024, "{bytes}");
    }
    let seen = whole(dir.path());
    assert_eq!((seen.records, seen.first.unwrap().seq, seen.last.unwrap().seq), (93, 1, 93));

    let middle = &segments[3];
    let text = fs::read(middle).unwrap();
    fs::remove_file(middle).unwrap();
    let found = Tour::of(dir.path()).breaks.remove(0);
    assert_eq!((found.segment, found.line, found.record), (segments[4].clone(), 1, None));
    fs::write(middle, &text[..text.len() - 1]).unwrap();
    let found = Tour::of(dir.path()).breaks.remove(0);
    assert_eq!(found.segment, *middle, "only the last segment may end in something unfinished");
}

#[tokio::test]
async fn the_oldest_segments_go_when_there_are_too_many_bytes_and_the_rest_still_holds() {
    let dir = temp_dir();
    let keeping = Keeping { segment_max_bytes: 8 * 1024, max_bytes: 24 * 1024, ..ROOMY };
    for round in 0..2 {
        let desk = Desk::open_with(dir.path(), keeping, SyncPolicy::Always, Clock::manual(MILLIS)).unwrap();
        for number in 0..100 {
            desk.write(round * 100 + number).await;
            // One may be removed while we look.
            let bytes: u64 = segments(dir.path()).iter().filter_map(|path| Some(fs::metadata(path).ok()?.len())).sum();
            assert!(bytes <= 24 * 1024 + 8 * 1024, "{bytes}");
        }
        desk.close().await;
    }
    let seen = whole(dir.path());
    assert_eq!(seen.last.unwrap().seq, 202);
    assert!(seen.first.unwrap().seq > 150 && seen.records == 203 - seen.first.unwrap().seq, "{seen:?}");
}

/// What readiness says of a ledger whose clock stands at `clock`.
fn told_at_start(dir: &Path, keeping: Keeping, clock: &Clock) -> Vec<String> {
    let health = Health::new();
    let config = LedgerConfig { dir: dir.to_owned(), sync: SyncPolicy::Always, keeping };
    drop(Ledger::open(Some(&config), clock.clone(), Metrics::new().ledger(), &health).unwrap());
    assert_eq!(health.reasons(), []);
    health.remarks().into_iter().map(|(_, why)| why).collect()
}

#[tokio::test]
async fn that_records_of_living_certificates_went_is_told_until_they_would_have_ended() {
    let dir = temp_dir();
    let keeping = Keeping { segment_max_bytes: 8 * 1024, max_bytes: 24 * 1024, life_max: DAY, ..ROOMY };
    let clock = Clock::manual(MILLIS);
    let desk = Desk::open_with(dir.path(), keeping, SyncPolicy::Always, clock.clone()).unwrap();
    for number in 0..10 {
        desk.write(number).await;
    }
    desk.close().await;
    assert_eq!(told_at_start(dir.path(), keeping, &clock), [""; 0], "nothing went");
    let desk = Desk::open_with(dir.path(), keeping, SyncPolicy::Always, clock.clone()).unwrap();
    for number in 10..100 {
        desk.write(number).await;
    }
    desk.close().await;
    let remarks = told_at_start(dir.path(), keeping, &clock);
    assert!(remarks.len() == 1 && remarks[0].contains("`ledger.keep_max` is too small"), "{remarks:?}");
    clock.advance(DAY);
    clock.advance(Duration::from_secs(1));
    assert_eq!(told_at_start(dir.path(), keeping, &clock), [""; 0], "none of them can be valid now");
}

#[tokio::test]
async fn records_go_when_they_are_old_even_where_little_is_issued() {
    let dir = temp_dir();
    let keeping = Keeping { max_age: 8 * DAY, ..ROOMY };
    let clock = Clock::manual(MILLIS);
    let desk = Desk::open_with(dir.path(), keeping, SyncPolicy::Always, clock.clone()).unwrap();
    for number in 0..40 {
        desk.write(number).await;
        clock.advance(DAY);
        let oldest = whole(dir.path()).first.unwrap().time;
        // A segment lasts an eighth of the age, and goes when a later one begins.
        let age = Timestamp::from(clock.now()).since(oldest);
        assert!(age <= 11 * DAY, "record {number}: {age:?}");
    }
    let kept = segments(dir.path()).len();
    assert!((5..=12).contains(&kept), "{kept}");

    // A clock that is wrong for a moment costs one segment, not all.
    clock.advance(1000 * DAY);
    desk.write(40).await;
    clock.set(MILLIS + 40 * 86_400_000);
    assert!(segments(dir.path()).len() >= kept - 1);
    desk.close().await;
}

#[tokio::test]
async fn a_chain_that_nobody_writes_any_more_is_pruned_too() {
    let dir = temp_dir();
    let clock = Clock::manual(MILLIS);
    let keeping = Keeping { segment_max_bytes: 8 * 1024, max_age: 8 * DAY, ..ROOMY };
    let open = || Desk::open_with(dir.path(), keeping, SyncPolicy::Always, clock.clone()).unwrap();
    let (first, second) = (open(), open());
    for number in 0..60 {
        second.write(number).await;
    }
    second.close().await;
    let count = || fs::read_dir(dir.path().join("2")).unwrap().count();
    let before = count();
    assert!(before > 5);
    for day in 0..30 {
        clock.advance(DAY);
        first.write(100 + day).await;
    }
    first.close().await;
    assert_eq!(count(), 2, "its lock, and the segment that it would go on from");
    assert!(Tour::of(dir.path()).breaks.is_empty());
}

#[tokio::test]
async fn a_clock_that_goes_back_changes_no_order() {
    let dir = temp_dir();
    let clock = Clock::manual(MILLIS);
    let keeping = Keeping { segment_max_bytes: 8 * 1024, max_age: 8 * DAY, ..ROOMY };
    let desk = Desk::open_with(dir.path(), keeping, SyncPolicy::Always, clock.clone()).unwrap();
    for number in 0..60 {
        clock.set(MILLIS - i64::try_from(number).unwrap() * 3_600_000);
        desk.write(number).await;
    }
    desk.close().await;
    let records = records(dir.path());
    assert_eq!(numbers(&records, "seq"), (1..=61).collect::<Vec<_>>());
    assert_eq!(records[60]["time"], "2023-11-12T11:13:20.000Z");
}

#[tokio::test]
async fn a_record_with_names_beyond_all_bounds_is_refused_and_harms_no_other() {
    let dir = temp_dir();
    let desk = Desk::open(dir.path());
    let mut record = certificate(0, Timestamp::from_unix_millis(MILLIS));
    record.pod = Some(Cow::Owned("a".repeat(9000)));
    assert_eq!(desk.ledger.append(&record, ()).await, Err(LedgerError::TooLong));
    desk.write(1).await;
    desk.close().await;
    assert_eq!(records(dir.path()).len(), 2);
}

fn any_text() -> impl Strategy<Value = Cow<'static, str>> {
    any::<String>().prop_map(|text| Cow::Owned(text.chars().take(60).collect()))
}

prop_compose! {
    fn any_record()(
        (millis, asked_secs, granted_secs, impersonated) in (0..4_000_000_000_000i64, any::<i64>(), any::<u64>(), any::<bool>()),
        [request, id, serial, key, key_sha256, authority, authenticator] in prop::array::uniform7(any_text()),
        [caller, cluster, namespace, service_account, pod, pod_uid, node, token_id, peer] in
            prop::array::uniform9(prop::option::of(any_text())),
        kind in prop::option::of(any_text()),
        audience in prop::collection::vec(any_text(), 0..3),
    ) -> Issued<'static> {
        let time = Timestamp::from_unix_millis(millis);
        let (not_before, not_after) = (time.whole_secs(), time.whole_secs().plus(DAY));
        Issued {
            time, request, id, kind, audience, serial, not_before, not_after, asked_secs, granted_secs, key, key_sha256, authority,
            authenticator, caller, cluster, namespace, service_account, pod, pod_uid, node, token_id, peer, impersonated,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_records_read_back_as_they_were_written(written in prop::collection::vec(any_record(), 1..20)) {
        let dir = temp_dir();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let keeping = Keeping { segment_max_bytes: 16 * 1024, ..ROOMY };
            let desk = Desk::open_with(dir.path(), keeping, SyncPolicy::Always, Clock::manual(MILLIS)).unwrap();
            for record in &written {
                desk.ledger.append(record, ()).await.unwrap();
            }
            desk.close().await;
        });
        let records = records(dir.path());
        let lines: Vec<String> = records[1..].iter().map(Value::to_string).collect();
        let read: Vec<Issued<'_>> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        prop_assert_eq!(read, written);
    }
}
