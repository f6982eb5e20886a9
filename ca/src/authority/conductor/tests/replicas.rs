//! Replicas that share one authority: killed, raced and deposed at every step, and what is edited by hand.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::crashes::{Life, is, live_on};
use super::*;
use crate::shared::Entries;
use crate::shared::fake::{Fate, Seat};

pub(super) fn conductor_on(seat: Arc<Seat>, now: Timestamp) -> Conductor {
    let store = Box::new(SecretStore::new(seat, trust_domain(), now, IMPATIENCE));
    Conductor::new(store, trust_domain(), policy(), Some(OWN_ROOTS), None)
}

/// Lives with a leader that is killed at its write number `at`; another replica goes on. Answers with the writes.
fn live_killed(at: usize, how: Fate) -> (usize, bool) {
    let (world, writes) = (World::shared(), Arc::new(AtomicUsize::new(0)));
    let counted = writes.clone();
    let fate = move || if counted.fetch_add(1, Ordering::Relaxed) + 1 == at { how } else { Fate::Done };
    let seat = world.shared.as_ref().unwrap().seat_with(fate);
    let life = live_on(Life::begin_on(world, Box::new(SecretStore::new(seat, trust_domain(), start(), IMPATIENCE))));
    (writes.load(Ordering::Relaxed), life.is_killed)
}

/// What a leader leaves that is killed before a write is what one leaves that was killed after the write before it.
#[test]
fn a_leader_that_is_killed_at_any_write_of_its_life_is_followed_by_another() {
    assert!(live_killed(1, Fate::Before).1);
    let (writes, is_killed) = live_killed(usize::MAX, Fate::Done);
    assert!(!is_killed && writes > 20, "{writes}");
    for at in 1..=writes {
        let (reached, is_killed) = live_killed(at, Fate::After);
        // A write that only removes what nobody needs may fail without a word.
        assert!(is_killed || reached >= at, "{at}");
    }
}

/// What is wished for, if not only time passes, and what it should lead to.
type Step = (Option<Wish>, Box<dyn Fn(&Rotation) -> bool>);

/// What both replicas are at.
type Act = Arc<Mutex<(Option<Wish>, Timestamp)>>;

/// Two replicas that both believe to lead, through every step; at the first's write number `at` the second does the same
/// before it. Answers with the number of writes.
fn race(at: usize) -> usize {
    let mut world = World::shared();
    let (shared, act) = (world.shared.clone().unwrap(), Act::new(Mutex::new((None, start()))));
    let other = Arc::new(Mutex::new(conductor_on(shared.seat(), start())));
    let (writes, rival, at_what) = (Arc::new(AtomicUsize::new(0)), other.clone(), act.clone());
    let counted = writes.clone();
    let seat = shared.seat_with(move || {
        if counted.fetch_add(1, Ordering::Relaxed) + 1 == at {
            let (wish, now) = *at_what.lock().unwrap();
            let mut rival = rival.lock().unwrap();
            // Whatever becomes of it: what is judged is what both are left with.
            let _ = match wish {
                Some(wish) => rival.wish(wish, now, Watching::default()).map_err(|error| error.to_string()),
                None => rival.look(now, Duration::ZERO, Watching::default()).map_err(|error| error.to_string()),
            };
        }
        Fate::Done
    });
    world.start_on(Box::new(SecretStore::new(seat, trust_domain(), start(), IMPATIENCE))).expect("it should start");
    world.give_and_judge();
    let activate = Wish::Activate { id: 2, readiness: Readiness::WhenKnown };
    let steps: [Step; 7] = [
        (Some(Wish::Prepare), Box::new(is(2, Phase::Published))),
        (Some(activate), Box::new(|rotation: &Rotation| rotation.get(2).is_some_and(|found| found.is_armed))),
        (None, Box::new(is(2, Phase::Active))),
        (Some(Wish::Taint { id: 1 }), Box::new(is(1, Phase::Tainted))),
        (Some(Wish::Revoke { id: 1 }), Box::new(is(1, Phase::Revoked))),
        (None, Box::new(is(3, Phase::Active))),
        (None, Box::new(is(2, Phase::Retired))),
    ];
    for (wish, done) in steps {
        for number in 0.. {
            assert!(number < 2_000, "it should come to an end: {}", world.phases());
            if done(&world.conductor().rotation) {
                break;
            }
            *act.lock().unwrap() = (wish, world.now);
            // Only a lost race may fail, and the next attempt sees who won.
            let _ = match wish {
                Some(wish) => world.wish(wish).is_ok(),
                None => world.tick().is_ok(),
            };
            if number % 6 == 0 {
                world.look(Duration::ZERO).ok();
                world.give_and_judge();
            }
        }
    }
    world.look(Duration::ZERO).unwrap();
    world.give_and_judge();
    let mut other = other.lock().unwrap();
    other.look(world.now, Duration::ZERO, Watching::default()).unwrap();
    assert_eq!(other.rotation, world.conductor().rotation, "both are left with the same");
    assert_eq!((world.phases().as_str(), other.rotation.next_id()), ("3:active", 4), "each step was done once");
    assert_eq!(world.keys(), BTreeSet::from([3]));
    assert_eq!(other.authority().unwrap().certificate(), world.authority().certificate());
    writes.load(Ordering::Relaxed)
}

#[test]
fn two_replicas_that_race_at_any_step_are_left_with_one_authority() {
    let writes = race(usize::MAX);
    assert!(writes > 20, "{writes}");
    for at in 1..=writes {
        race(at);
    }
}

#[test]
fn a_leader_that_is_deposed_stops_at_once_and_follows() {
    let mut world = World::shared();
    let shared = world.shared.clone().unwrap();
    let seat = shared.seat();
    world.start_on(Box::new(SecretStore::new(seat.clone(), trust_domain(), start(), IMPATIENCE))).unwrap();
    let mut other = conductor_on(shared.seat(), start());
    other.start(world.now).unwrap();
    seat.leads.store(false, Ordering::Relaxed);
    assert!(matches!(world.wish(Wish::Prepare), Err(WishError::NotLeading)));
    other.wish(Wish::Prepare, world.now, Watching::default()).unwrap();
    world.look(Duration::ZERO).unwrap();
    assert_eq!(world.phases(), "1:active 2:published");
    assert_eq!(world.authority().roots_pem(), other.authority().unwrap().roots_pem());
}

/// An authority with an old, an active and a published generation, and its entries.
fn written() -> (World, Arc<Fake>, Entries) {
    let mut world = World::shared();
    world.restart();
    world.wish(Wish::Prepare).unwrap();
    world.wish(Wish::Activate { id: 2, readiness: Readiness::Whatever }).unwrap();
    world.wish(Wish::Prepare).unwrap();
    assert_eq!(world.phases(), "1:old 2:active 3:published");
    let shared = world.shared.clone().unwrap();
    let entries = shared.snapshot().unwrap().entries;
    (world, shared, entries)
}

fn text(entries: &Entries, name: &str) -> String {
    String::from_utf8(entries[name].to_vec()).unwrap()
}

#[test]
fn a_secret_that_was_spoilt_is_refused_and_left_alone_and_what_works_goes_on() {
    let (mut world, shared, good) = written();
    let follower = shared.seat();
    follower.leads.store(false, Ordering::Relaxed);
    let mut follower = conductor_on(follower, start());
    follower.start(world.now).unwrap();
    let before = world.authority();
    let mut check = |name: &str, text: Option<&str>, wanted: &str| {
        let mut spoilt = good.clone();
        match text {
            Some(text) => drop(spoilt.insert(name.to_owned(), text.as_bytes().to_vec().into())),
            None => drop(spoilt.remove(name)),
        }
        shared.put(Some(spoilt.clone()));
        let told = [world.look(Duration::ZERO), follower.look(world.now, Duration::ZERO, Watching::default())];
        for error in told.map(Result::unwrap_err) {
            let said = chain(&error);
            assert!(said.contains(wanted), "{name}: {said}");
        }
        world.wish(Wish::Revoke { id: 3 }).unwrap_err();
        assert_eq!(shared.snapshot().unwrap().entries, spoilt, "{name}: it is not written over");
        assert_eq!(before.certificate(), world.authority().certificate());
        assert_eq!(before.published(), world.authority().published());
        let fresh = conductor_on(shared.seat(), start()).start(world.now);
        assert!(fresh.is_err(), "{name}: no start is built on it");
        shared.put(Some(good.clone()));
        world.look(Duration::ZERO).unwrap();
        follower.look(world.now, Duration::ZERO, Watching::default()).unwrap();
    };
    let journal = text(&good, "signet-state.json");
    let (half, _) = journal.split_at(journal.len() / 2);
    check("signet-state.json", Some(half), "it is not a journal");
    check("signet-state.json", None, "restore it");
    check("signet-state.json", Some(&journal.replace("cluster.local\"", "example.org\"")), "another trust domain");
    check("signet-authority-3.pem", None, "restore it");
    check("signet-authority-2.pem", Some("half a key"), "cannot be read as PEM");
    let old = text(&good, "signet-authority-1.pem");
    check("signet-authority-2.pem", Some(&old), "somebody changed it");
    check("signet-authority-1.pem", None, "restore it");
    let theirs = make_root(&trust_domain(), OWN_ROOTS, start()).unwrap();
    check("ca-cert.pem", Some(&theirs.certificate.to_pem()), "somebody changed it");
    check("ca-key.pem", Some(&theirs.key.held().unwrap().to_pem()), "somebody changed it");
    assert_eq!(world.phases(), "1:old 2:active 3:published");
}

#[test]
fn an_older_state_is_refused_by_those_who_know_a_later_one() {
    let (mut world, shared, before) = written();
    world.wish(Wish::Revoke { id: 3 }).unwrap();
    let after = shared.snapshot().unwrap().entries;
    shared.put(Some(before));
    let error = world.look(Duration::ZERO).unwrap_err();
    assert!(matches!(error, StateError::WentBack { .. }), "{error:?}");
    assert_eq!(world.phases(), "1:old 2:active");
    shared.put(Some(after));
    world.look(Duration::ZERO).unwrap();
}

#[test]
fn a_state_from_before_an_activation_is_refused_by_those_who_know_of_it() {
    let mut world = World::shared();
    world.restart();
    world.wish(Wish::Prepare).unwrap();
    let shared = world.shared.clone().unwrap();
    let backup = shared.snapshot().unwrap().entries;
    world.wish(Wish::Activate { id: 2, readiness: Readiness::Whatever }).unwrap();
    world.give_and_judge();
    shared.put(Some(backup));
    let error = world.look(Duration::ZERO).unwrap_err();
    assert!(matches!(error, StateError::WentBack { .. }), "{error:?}");
    // In that state generation 2 never signed, and would go without a taint.
    world.wish(Wish::Revoke { id: 2 }).unwrap_err();
    let published = world.authority().published().clone();
    world.judge(&published);
}

#[test]
fn a_secret_that_is_deleted_is_never_answered_with_a_second_root() {
    let (mut world, shared, good) = written();
    shared.put(None);
    for _ in 0..3 {
        assert!(world.look(Duration::ZERO).is_err());
    }
    assert!(shared.snapshot().is_none());
    let authority = world.authority();
    world.sign_only(&authority);
    shared.put(Some(good));
    world.look(Duration::ZERO).unwrap();
    world.give_and_judge();
}

#[test]
fn a_state_without_its_journal_is_not_begun_anew() {
    let (_, shared, mut entries) = written();
    entries.remove("signet-state.json");
    shared.put(Some(entries));
    let error = conductor_on(shared.seat(), start()).start(start()).unwrap_err();
    assert!(matches!(error, AuthorityError::SelfSigned(StateError::JournalLost { .. })), "{error:?}");
}

#[test]
fn who_follows_signs_for_as_long_as_the_operator_said_after_everything_else_has_gone() {
    let away = 24 * HOUR;
    let mut world = World::shared();
    world.policy = Policy { leaf_max: HOUR, away, automatic: true, ..policy() };
    world.restart();
    let seat = world.shared.as_ref().unwrap().seat();
    seat.leads.store(false, Ordering::Relaxed);
    let mut follower = Conductor::new(
        Box::new(SecretStore::new(seat.clone(), trust_domain(), start(), IMPATIENCE)),
        trust_domain(),
        world.policy.clone(),
        Some(OWN_ROOTS),
        None,
    );
    follower.start(world.now).unwrap();
    let (began, end) = (world.now, world.now.plus(away));
    // The leader is gone, and nothing can be asked or is heard.
    world.conductor = None;
    seat.can_read.store(false, Ordering::Relaxed);
    while world.now < end {
        *seat.silence.lock().unwrap() = world.now.since(began);
        let _ = follower.look(world.now, HOUR, Watching::default());
        let authority = follower.authority().unwrap().clone();
        let leaf = world.sign_only(&authority);
        assert_eq!(leaf.lifetime().not_after(), world.now.plus(HOUR).whole_secs(), "no leaf is cut");
        world.now = world.now.plus(HOUR);
    }
}

#[test]
fn istios_keys_hold_whoever_signs() {
    let (_, _, entries) = written();
    let active = text(&entries, "signet-authority-2.pem");
    assert!(active.contains(text(&entries, "ca-cert.pem").trim()));
    assert!(active.contains(text(&entries, "ca-key.pem").trim()));
    assert_eq!(Certificate::list_from_pem(&entries["root-cert.pem"], 1 << 20).unwrap().len(), 3);
}
