//! What a copy follows, and what it never overwrites.

use std::sync::atomic::Ordering;

use zeroize::Zeroizing;

use super::*;
use crate::shared::fake::{Fake, Fate};

fn set(name: &str, text: &str) -> Changes {
    Changes::from([(name.to_owned(), Some(Zeroizing::new(text.as_bytes().to_vec())))])
}

fn entries(name: &str, text: &str) -> Option<Entries> {
    Some(Entries::from([(name.to_owned(), Zeroizing::new(text.as_bytes().to_vec()))]))
}

#[test]
fn of_two_that_make_it_at_once_one_does() {
    let fake = Arc::new(Fake::default());
    let (mut one, mut other) = (Share::new(fake.seat()), Share::new(fake.seat()));
    assert!(one.refresh().unwrap() && other.refresh().unwrap());
    one.change(set("a", "1")).unwrap();
    assert!(matches!(other.change(set("a", "2")), Err(SharedError::Conflict { .. })));
    assert!(!one.take_notice(), "its own change is no news");
    other.refresh().unwrap();
    assert!(other.take_notice());
    assert_eq!(other.entry("a"), Some(&b"1"[..]));
    other.change(set("a", "2")).unwrap();
    one.refresh().unwrap();
    assert!(one.take_notice());
    assert_eq!(one.entry("a"), Some(&b"2"[..]));
}

#[test]
fn a_change_against_an_older_version_is_refused_and_nothing_is_lost() {
    let fake = Arc::new(Fake::default());
    let mut share = Share::new(fake.seat());
    share.refresh().unwrap();
    share.change(set("a", "1")).unwrap();
    fake.put(entries("b", "theirs"));
    assert!(matches!(share.change(set("a", "2")), Err(SharedError::Conflict { .. })));
    assert_eq!(fake.snapshot().unwrap().entries["b"].as_slice(), b"theirs");
    share.refresh().unwrap();
    assert!(share.take_notice());
    share.change(set("a", "2")).unwrap();
    let kept = fake.snapshot().unwrap().entries;
    assert_eq!((kept["a"].as_slice(), kept["b"].as_slice()), (&b"2"[..], &b"theirs"[..]));
}

#[test]
fn who_lost_the_lead_writes_nothing_from_that_moment() {
    let fake = Arc::new(Fake::default());
    let seat = fake.seat();
    let mut share = Share::new(seat.clone());
    assert!(share.refresh().unwrap());
    share.change(set("a", "1")).unwrap();
    seat.leads.store(false, Ordering::Relaxed);
    assert!(matches!(share.change(set("a", "2")), Err(SharedError::NotLeading { .. })));
    assert_eq!(fake.snapshot().unwrap().entries["a"].as_slice(), b"1");
    assert!(!share.refresh().unwrap());
}

#[test]
fn a_write_whose_answer_was_lost_is_read_again() {
    let fake = Arc::new(Fake::default());
    let mut is_first = true;
    let seat = fake.seat_with(move || if std::mem::take(&mut is_first) { Fate::Unheard } else { Fate::Done });
    seat.hears.store(false, Ordering::Relaxed);
    let mut share = Share::new(seat);
    share.refresh().unwrap();
    assert!(share.change(set("a", "1")).is_err());
    assert_eq!(share.entry("a"), None);
    share.refresh().unwrap();
    assert!(share.take_notice());
    assert_eq!(share.entry("a"), Some(&b"1"[..]));
}

#[test]
fn what_is_gone_stays_known_and_is_told() {
    let fake = Arc::new(Fake::default());
    let leader = fake.seat();
    let mut share = Share::new(leader.clone());
    share.refresh().unwrap();
    share.change(set("a", "1")).unwrap();
    let before = fake.snapshot().unwrap().entries;
    fake.put(None);
    for leads in [true, false] {
        leader.leads.store(leads, Ordering::Relaxed);
        assert!(matches!(share.refresh(), Err(SharedError::Gone { .. })), "{leads}");
        assert_eq!(share.entry("a"), Some(&b"1"[..]));
    }
    fake.put(Some(before));
    assert!(!share.refresh().unwrap());
}

#[test]
fn no_more_is_written_than_can_be_kept() {
    let fake = Arc::new(Fake::default());
    let mut share = Share::new(fake.seat());
    share.refresh().unwrap();
    let half = "x".repeat(ENTRIES_MAX_BYTES / 2);
    share.change(set("a", &half)).unwrap();
    assert!(matches!(share.change(set("b", &half)), Err(SharedError::TooLarge { .. })));
    share.change(Changes::from([("a".to_owned(), None)])).unwrap();
    share.refresh().unwrap();
    share.change(set("b", &half)).unwrap();
}

#[test]
fn what_changes_nothing_is_not_written() {
    let fake = Arc::new(Fake::default());
    let mut share = Share::new(fake.seat());
    share.refresh().unwrap();
    share.change(set("a", "1")).unwrap();
    let version = fake.snapshot().unwrap().version;
    share.change(set("a", "1")).unwrap();
    assert_eq!(fake.snapshot().unwrap().version, version);
}
