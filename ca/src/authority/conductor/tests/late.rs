//! What is heard late, or not at all, and requests that fail or take their time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use signet_testkit::{TestCa, istio_layout, knobs};

use super::replicas::conductor_on;
use super::*;
use crate::shared::fake::{Fate, Seat};
use crate::shared::{ENTRIES_MAX_BYTES, Seen, SharedObject, Snapshot};

/// An authority, its shared object, and a replica that follows it.
fn followed() -> (Conductor, Arc<Fake>, Conductor, Arc<Seat>) {
    let fake = Arc::new(Fake::default());
    let mut leader = conductor_on(fake.seat(), start());
    leader.start(start()).unwrap();
    let seat = fake.seat();
    seat.leads.store(false, Ordering::Relaxed);
    let mut follower = conductor_on(seat.clone(), start());
    follower.start(start()).unwrap();
    (leader, fake, follower, seat)
}

fn look(conductor: &mut Conductor) -> Result<(), StateError> {
    conductor.look(start(), Duration::ZERO, Watching::default())
}

fn activate(leader: &mut Conductor) {
    let activate = Wish::Activate { id: 2, readiness: Readiness::Whatever };
    leader.wish(activate, start(), Watching::default()).unwrap();
}

#[test]
fn who_hears_of_an_older_state_after_the_latest_keeps_the_latest() {
    let (mut leader, fake, mut replica, seat) = followed();
    let hear = |snapshot: &Snapshot| *seat.late.lock().unwrap() = Some(Seen::There(Arc::new(snapshot.clone())));
    hear(&fake.snapshot().unwrap());
    leader.wish(Wish::Prepare, start(), Watching::default()).unwrap();
    let prepared = fake.snapshot().unwrap();
    activate(&mut leader);
    let activated = fake.snapshot().unwrap();
    // It has the lease for a moment, and so reads what there is.
    seat.leads.store(true, Ordering::Relaxed);
    look(&mut replica).unwrap();
    seat.leads.store(false, Ordering::Relaxed);
    assert_eq!(replica.authority().unwrap().generation(), 2);
    // Its watch comes along: first what was before, then what is now.
    for late in [prepared, activated] {
        hear(&late);
        look(&mut replica).unwrap();
        assert_eq!(replica.authority().unwrap().generation(), 2);
    }
}

#[test]
fn who_hears_nothing_for_a_while_asks_and_says_so_when_that_fails_too() {
    let (mut leader, _, mut replica, seat) = followed();
    replica.policy.away = HOUR;
    // The watch ends without a word.
    *seat.late.lock().unwrap() = Some(seat.seen());
    leader.wish(Wish::Prepare, start(), Watching::default()).unwrap();
    activate(&mut leader);
    look(&mut replica).unwrap();
    assert_eq!(replica.authority().unwrap().generation(), 1, "it cannot know");
    *seat.silence.lock().unwrap() = Duration::from_secs(15);
    look(&mut replica).unwrap();
    assert_eq!(replica.authority().unwrap().generation(), 2);

    seat.can_read.store(false, Ordering::Relaxed);
    let lasts = |replica: &Conductor| replica.authority().unwrap().usable().not_after() > start();
    for (silence, signs) in [(Duration::from_secs(15), true), (HOUR, true), (HOUR + TICK, false)] {
        *seat.silence.lock().unwrap() = silence;
        assert!(look(&mut replica).is_err(), "{silence:?}: that is told");
        assert_eq!(lasts(&replica), signs, "{silence:?}");
    }
    seat.can_read.store(true, Ordering::Relaxed);
    look(&mut replica).unwrap();
    assert!(lasts(&replica), "it signs again once it has asked");
}

#[test]
fn who_follows_or_begins_to_lead_publishes_nothing_before_it_has_read_what_there_is() {
    let (leader, _, mut replica, seat) = followed();
    let is_followed = |replica: &Conductor| replica.authority().unwrap().is_followed();
    assert!(!is_followed(&leader) && is_followed(&replica));
    seat.leads.store(true, Ordering::Relaxed);
    seat.can_read.store(false, Ordering::Relaxed);
    look(&mut replica).unwrap_err();
    assert!(is_followed(&replica), "it leads and does not know");
    seat.can_read.store(true, Ordering::Relaxed);
    look(&mut replica).unwrap();
    assert!(!is_followed(&replica));
    seat.leads.store(false, Ordering::Relaxed);
    look(&mut replica).unwrap();
    assert!(is_followed(&replica), "another one leads");
}

#[test]
fn the_key_of_what_was_revoked_is_removed_although_one_request_failed() {
    let (fake, left) = (Arc::new(Fake::default()), Arc::new(AtomicUsize::new(usize::MAX)));
    let counted = left.clone();
    let seat =
        fake.seat_with(move || if counted.fetch_sub(1, Ordering::Relaxed) == 1 { Fate::Refused } else { Fate::Done });
    let mut conductor = conductor_on(seat, start());
    conductor.start(start()).unwrap();
    conductor.wish(Wish::Prepare, start(), Watching::default()).unwrap();
    // The journal, the published roots, and then the key.
    left.store(3, Ordering::Relaxed);
    conductor.wish(Wish::Revoke { id: 2 }, start(), Watching::default()).unwrap();
    look(&mut conductor).unwrap();
    let names: Vec<_> = fake.snapshot().unwrap().entries.into_keys().collect();
    assert!(!names.contains(&"signet-authority-2.pem".to_owned()), "{names:?}");
    assert!(left.load(Ordering::Relaxed) > usize::MAX / 2, "a request has failed");
}

#[test]
fn a_start_waits_no_longer_than_is_said_however_slow_requests_are() {
    let fake = Arc::new(Fake::default());
    let seat = fake.seat_with(|| {
        std::thread::sleep(Duration::from_millis(100));
        Fate::Refused
    });
    // The ratios of the real ones, a hundred times faster.
    let patience = Patience { deadline: Duration::from_millis(450), poll: Duration::from_micros(2500) };
    let store = Box::new(SecretStore::new(seat, trust_domain(), start(), patience));
    let mut conductor = Conductor::new(store, trust_domain(), policy(), Some(OWN_ROOTS), None);
    let attempts = Instant::now();
    conductor.start(start()).unwrap_err();
    let took = attempts.elapsed();
    assert!(took < patience.deadline * 5, "{took:?}");
}

#[test]
fn one_replicas_wrong_clock_does_not_end_the_authority_of_all() {
    let (fake, now) = (Arc::new(Fake::default()), start());
    *fake.time.lock().unwrap() = Some(now.unix_secs());
    let mut right = conductor_on(fake.seat(), now);
    right.start(now).unwrap();
    let mut wrong = conductor_on(fake.seat(), now);
    wrong.start(now).unwrap();
    // As a machine whose battery was replaced: beyond the end of the active generation, for one look.
    let beyond = now.plus(ROOT_TTL).plus(2 * DAY);
    let error = wrong.look(beyond, Duration::ZERO, Watching::default()).unwrap_err();
    assert!(matches!(error, StateError::Skewed { .. }), "{error:?}");
    look(&mut right).unwrap();
    assert_eq!(right.rotation.next_id(), 2, "nothing was made, and nothing has ended");
}

#[test]
fn by_a_wrong_clock_no_first_root_is_made_and_no_wish_is_done_but_those_that_take_trust_away() {
    let (fake, now) = (Arc::new(Fake::default()), start());
    *fake.time.lock().unwrap() = Some(now.unix_secs());
    for wrong in [now.plus(HOUR), now.minus(HOUR)] {
        let error = conductor_on(fake.seat(), wrong).start(wrong).unwrap_err();
        assert!(chain(&error).contains("nothing is made"), "{error:?}");
        assert_eq!(fake.snapshot(), None, "nothing was written");
    }
    let mut right = conductor_on(fake.seat(), now);
    right.start(now).unwrap();
    let activate = |id| Wish::Activate { id, readiness: Readiness::Whatever };
    let refused = |conductor: &mut Conductor, wish| {
        for wrong in [now.plus(HOUR), now.minus(HOUR)] {
            let phases = |conductor: &Conductor| -> Vec<Phase> {
                conductor.rotation.generations().iter().map(|found| found.phase).collect()
            };
            let before = phases(conductor);
            let error = conductor.wish(wish, wrong, Watching::default()).unwrap_err();
            assert!(chain(&error).contains("set it right"), "{wish:?}: {error:?}");
            assert_eq!(phases(conductor), before, "{wish:?}");
        }
    };
    refused(&mut right, Wish::Prepare);
    right.wish(Wish::Prepare, now, Watching::default()).unwrap();
    refused(&mut right, activate(2));
    right.wish(activate(2), now, Watching::default()).unwrap();
    for wish in [Wish::Taint { id: 1 }, Wish::Revoke { id: 1 }] {
        right.wish(wish, now.plus(HOUR), Watching::default()).unwrap();
    }
    assert_eq!(right.rotation.get(1).unwrap().phase, Phase::Revoked);
}

#[test]
fn an_authority_whose_generation_begins_in_the_future_signs_on_with_the_one_before() {
    let (fake, now) = (Arc::new(Fake::default()), start());
    let mut right = conductor_on(fake.seat(), now);
    right.start(now).unwrap();
    // Nobody told it the time.
    let mut wrong = conductor_on(fake.seat(), now);
    wrong.start(now).unwrap();
    wrong.look(now.plus(ROOT_TTL).plus(2 * DAY), Duration::ZERO, Watching::default()).unwrap();
    drop(wrong);
    look(&mut right).unwrap();
    let mut fresh = conductor_on(fake.seat(), now);
    for authority in [right.authority().unwrap().clone(), fresh.start(now).unwrap()] {
        assert_eq!(authority.generation(), 1);
        assert!(authority.usable().contains(now));
    }
    let remark = fresh.remark(now).unwrap();
    assert!(remark.contains("and 1 signs meanwhile"), "{remark}");
    let back = Wish::Activate { id: 1, readiness: Readiness::Whatever };
    right.wish(back, now, Watching::default()).unwrap();
    look(&mut fresh).unwrap();
    assert_eq!(fresh.rotation.active().unwrap().id, 1);
    assert_eq!(fresh.remark(now), None);
}

#[test]
fn an_intermediate_that_is_renewed_again_and_again_is_taken_up_each_time() {
    let long = Lifetime::new(start().minus(HOUR), start().plus(4000 * DAY)).unwrap();
    let root = TestCa::root_with("cluster.local", knobs::lifetime(long));
    let files = memory_dir();
    let plug = || {
        istio_layout(files.path(), &root.intermediate_with(knobs::lifetime(long)));
        let path = files.path().join("root-cert.pem");
        let roots = std::fs::read_to_string(&path).unwrap();
        // What is written about each certificate in the bundles of large operators.
        std::fs::write(path, roots + &"# Subject: CN = Some corporate root, O = Example\n".repeat(1200)).unwrap();
    };
    plug();
    let mut world = World { directory: Some(files.path().to_owned()), makes_roots: false, ..World::shared() };
    world.restart();
    for number in 2..=24 {
        plug();
        for _ in 0..20 {
            world.now = world.now.plus(2 * HOUR);
            world.look(2 * HOUR).unwrap();
        }
        assert_eq!(world.authority().generation(), number);
    }
}

#[test]
fn an_import_that_cannot_be_kept_holds_up_nothing_else() {
    let long = Lifetime::new(start().minus(HOUR), start().plus(4000 * DAY)).unwrap();
    let root = TestCa::root_with("cluster.local", knobs::lifetime(long));
    let files = memory_dir();
    istio_layout(files.path(), &root.intermediate_with(knobs::lifetime(long)));
    let mut world = World { directory: Some(files.path().to_owned()), makes_roots: false, ..World::shared() };
    world.restart();
    istio_layout(files.path(), &root.intermediate_with(knobs::lifetime(long)));
    // Others have filled the Secret.
    let shared = world.shared.clone().unwrap();
    let mut entries = shared.snapshot().unwrap().entries;
    let used: usize = entries.iter().map(|(name, text)| name.len() + text.len()).sum();
    entries.insert("theirs".to_owned(), vec![b'x'; ENTRIES_MAX_BYTES - used - 400].into());
    shared.put(Some(entries));
    for _ in 0..50 {
        world.now = world.now.plus(HOUR);
        let _ = world.look(HOUR);
    }
    let error = world.look(HOUR).unwrap_err();
    assert!(chain(&error).contains("at most 1048576 can be kept"), "{error:?}");
    let usable = world.authority().usable();
    assert!(usable.not_after() > world.now.plus(LEAF_MAX), "horizons move on: {usable:?}");
}
