//! Without an operator.

use super::*;

#[test]
fn a_generation_is_prepared_and_activated_in_time_and_the_old_one_leaves_after_its_last_leaf() {
    let mut world = World::new(policy(), 10 * YEAR);
    world.pass(10 * YEAR - 2 * YEAR - DAY);
    assert_eq!(world.phases(), "1:active");
    world.pass(2 * DAY);
    assert_eq!(world.phases(), "1:active 2:published");
    assert_eq!(world.entered(2, Phase::Prepared).1, Why::Source);

    world.pass(YEAR - 3 * DAY);
    assert_eq!(world.phases(), "1:active 2:published", "a root that is published early waits for its time");
    world.pass(2 * DAY + HOUR);
    assert_eq!(world.phases(), "1:old 2:active");

    let (switched, why) = world.entered(2, Phase::Active);
    assert_eq!(why, Why::KnownRoots);
    let horizon = world.rotation.get(1).unwrap().horizon.unwrap();
    assert!(horizon >= switched.plus(DAY), "a leaf of the last moment has all its life");
    world.pass(horizon.since(world.now) + DAY);
    assert_eq!(world.phases(), "1:old 2:active");
    world.pass(2 * CALM_TICK);
    assert_eq!(world.phases(), "2:active");
    assert_eq!(world.entered(1, Phase::Retired).1, Why::LeavesEnded);
}

#[test]
fn a_hundred_rotations_have_one_signer_at_any_time_and_never_cuts_a_leaf() {
    let mut world = World::new(policy(), 30 * DAY);
    while world.rotation.active().is_none_or(|active| active.id <= 100) {
        world.pass(DAY);
        let active = world.rotation.active().expect("something should sign at any time");
        assert!(active.usable.remaining(world.now) >= world.policy.leaf_max, "{} cuts leaves", active.id);
        assert!(world.rotation.trusted().count() <= 3);
        let root = world.rotation.roots()[&format!("root-{}", active.id)];
        assert!(root.is_known);
    }
    assert!(world.now < start().plus(101 * 30 * DAY), "{}", world.now);
    assert!(world.rotation.generations().len() <= HISTORY_MAX + 3);
}

#[test]
fn nothing_happens_by_itself_where_that_is_switched_off() {
    let mut world = World::new(Policy { automatic: false, ..policy() }, YEAR);
    world.pass(YEAR + DAY);
    assert_eq!(world.phases(), "1:active");
    assert!(world.rotation.active().unwrap().has_ended(world.now));
}

#[test]
fn when_everything_has_ended_a_new_generation_signs_at_once() {
    let mut world = World::new(policy(), YEAR);
    world.pass(DAY);
    // Switched off for years.
    world.now = world.now.plus(5 * YEAR);
    world.look(5 * YEAR);
    assert_eq!(world.phases(), "1:old 2:active");
    assert_eq!(world.entered(2, Phase::Active), (world.now, Why::Expired));
    world.pass(2 * DAY);
    assert_eq!(world.phases(), "2:active");
}

#[test]
fn a_prepared_generation_takes_over_when_the_active_one_ends_before_its_gate_opens() {
    let mut world = World::new(policy(), YEAR);
    world.happens(Event::Prepare).unwrap();
    // Off until long after the end of both.
    world.now = world.now.plus(2 * YEAR);
    world.look(2 * YEAR);
    assert_eq!(world.phases(), "1:old 3:active", "the one that waited has ended as well");
    assert_eq!(world.entered(2, Phase::Retired).1, Why::Expired);

    let mut world = World::new(policy(), YEAR);
    world.pass(YEAR / 2);
    world.happens(Event::Prepare).unwrap();
    world.now = world.now.plus(YEAR / 2 + DAY);
    world.look(YEAR / 2 + DAY);
    assert_eq!(world.phases(), "1:old 2:active");
    assert_eq!(world.entered(2, Phase::Active).1, Why::Expired);
}

#[test]
fn a_clock_that_jumps_an_hour_neither_opens_a_gate_nor_retires_a_root_too_early() {
    let mut world = World::new(policy(), YEAR);
    world.happens(Event::Prepare).unwrap();
    for hour in 0..40 {
        // Forward an hour, and an hour back.
        let jump = |world: &mut World, to: Timestamp| {
            let before = std::mem::replace(&mut world.now, to);
            world.look(to.since(before));
        };
        let now = world.now;
        jump(&mut world, now.plus(HOUR));
        jump(&mut world, now);
        assert_eq!(world.phase(2), Phase::Published, "{hour}");
    }
    let served = world.rotation.roots()["root-2"].served;
    assert!(served <= 40 * Duration::from_secs(600), "{served:?}");
}

#[test]
fn a_clock_that_jumps_far_ahead_takes_no_root_away_from_leaves_that_live() {
    let second = Duration::from_secs(1);
    for keep_old in [Duration::ZERO, DAY] {
        let mut world = World::new(Policy { keep_old, ..policy() }, 10 * YEAR);
        world.happens(Event::Prepare).unwrap();
        world.happens(Event::Activate { id: 2, readiness: Readiness::Whatever }).unwrap();
        world.pass(HOUR);
        let before = world.now;
        // 120 days ahead for five seconds, and back.
        world.now = before.plus(120 * DAY);
        for _ in 0..5 {
            world.now = world.now.plus(second);
            world.look(second);
        }
        assert_eq!(world.phases(), "1:old 2:active", "{keep_old:?}");
        world.now = before;
        world.pass(22 * HOUR);
        assert_eq!(world.phases(), "1:old 2:active", "{keep_old:?}");
        world.pass(keep_old + 10 * HOUR);
        assert_eq!(world.phases(), "2:active", "{keep_old:?}");
    }
}

#[test]
fn a_process_that_is_off_while_leaves_end_keeps_their_root_for_as_long_as_they_could_live() {
    let mut world = World::new(policy(), 10 * YEAR);
    world.happens(Event::Prepare).unwrap();
    world.happens(Event::Activate { id: 2, readiness: Readiness::Whatever }).unwrap();
    world.happens(Event::Taint { id: 1 }).unwrap();
    world.now = world.now.plus(30 * DAY);
    world.look(Duration::ZERO);
    assert_eq!(world.phases(), "1:tainted 2:active", "whether 30 days have passed cannot be known");
    world.pass(DAY);
    assert_eq!(world.phases(), "2:active");
}

#[test]
fn a_source_that_cannot_make_keys_lets_its_authority_end() {
    let mut world = World::new(policy(), YEAR);
    world.can_make = false;
    world.pass(YEAR + DAY);
    assert_eq!(world.phases(), "1:active");
    assert_eq!(world.happens(Event::Prepare), Err(Refusal::CannotMake));
}

#[test]
fn the_thresholds_leave_room_for_the_longest_leaf_and_the_longest_wait() {
    let check = |policy: &Policy, life: Duration, prepare: Duration, activate: Duration| {
        assert_eq!((policy.prepare_before(life), policy.activate_before(life)), (prepare, activate), "{life:?}");
    };
    let long = Policy { leaf_max: 90 * DAY, ..policy() };
    check(&long, 3650 * DAY, 730 * DAY, 365 * DAY);
    // A tenth of a year would be less than a leaf's life and its slack.
    check(&long, 365 * DAY, 93 * DAY, 91 * DAY);
    check(&policy(), 100 * DAY, 20 * DAY, 10 * DAY);
    // What cannot work is refused by the configuration; here it only must not run wild.
    check(&long, 10 * DAY, 9 * DAY, 8 * DAY);
}
