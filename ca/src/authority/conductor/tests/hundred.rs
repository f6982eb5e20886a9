//! A hundred rotations in a row.

use super::*;

#[test]
fn in_a_hundred_rotations_every_leaf_ever_issued_verifies_within_its_life() {
    let mut world = World::new();
    world.restart();
    let mut looks = 0;
    while world.authority().generation() <= 100 {
        world.tick().unwrap();
        world.give_and_judge();
        looks += 1;
        if looks % 500 == 0 {
            world.restart();
        }
    }
    assert!(world.now < start().plus(101 * ROOT_TTL));
    let kept = world.names().into_iter().filter(|name| name.starts_with("authority")).count();
    assert!(kept <= 3, "{:?}", world.names());
}

#[test]
fn when_everything_has_ended_the_start_makes_a_generation_that_signs_at_once() {
    let mut world = World::new();
    world.restart();
    world.give_and_judge();
    // Switched off for a year: no leaf lives any more, and no verifier knows a root that is valid.
    world.now = world.now.plus(365 * DAY);
    world.bundles.clear();
    world.restart();
    assert_eq!(world.phases(), "1:old 2:active");
    world.give_and_judge();
    assert_eq!(world.authority().roots().roots().len(), 2);
    world.pass(2 * DAY, HOUR);
    assert_eq!(world.phases(), "2:active");
    assert_eq!(world.names(), ["authority-2.pem", "root-cert.pem", "state.json"]);
}

#[test]
fn a_directory_from_before_there_were_generations_goes_on_with_its_root_and_rotates_from_there() {
    let mut world = World::new();
    world.restart();
    let before = world.authority().certificate().der().to_vec();
    let leaf = world.sign(&world.authority());
    std::fs::remove_file(world.dir.path().join("state.json")).unwrap();
    world.now = world.now.plus(HOUR);
    world.restart();
    assert_eq!(world.authority().certificate().der(), before);
    let horizon = world.conductor().rotation.active().unwrap().horizon.unwrap();
    assert_eq!(horizon, world.authority().certificate().lifetime().not_after(), "nobody knows how long leaves live");
    assert!(world.root_of(1).is_known);
    world.given.push(Given { leaf, generation: 1 });
    world.pass(ROOT_TTL, TICK);
    assert_eq!(world.authority().generation(), 2);
}

#[test]
fn a_process_that_follows_uses_what_the_leader_writes_and_takes_over_when_it_is_gone() {
    let mut world = World::new();
    world.restart();
    let directory = None;
    let mut follower =
        Conductor::new(Box::new(world.state_dir()), trust_domain(), policy(), Some(OWN_ROOTS), directory);
    follower.start(world.now).unwrap();
    assert!(!follower.leads && world.conductor().leads);
    assert_eq!(follower.authority().unwrap().certificate(), world.authority().certificate());
    let wish = follower.wish(Wish::Prepare, world.now, Watching::default());
    assert!(matches!(wish, Err(WishError::NotLeading)), "{wish:?}");

    world.wish(Wish::Prepare).unwrap();
    world.wish(Wish::Activate { id: 2, readiness: Readiness::Whatever }).unwrap();
    follower.look(world.now, Duration::ZERO, Watching::default()).unwrap();
    assert_eq!(follower.authority().unwrap().generation(), 2);
    assert_eq!(follower.authority().unwrap().roots_pem(), world.authority().roots_pem());

    world.conductor = None;
    follower.wish(Wish::Prepare, world.now, Watching::default()).unwrap();
    assert!(follower.leads);
    assert_eq!(follower.rotation.waiting().unwrap().id, 3);
}

#[test]
fn a_clock_that_is_put_back_by_hours_does_not_end_issuing_by_a_young_root() {
    let mut world = World::new();
    world.restart();
    world.now = world.now.minus(2 * HOUR);
    world.look(Duration::ZERO).unwrap();
    world.give_and_judge();
    world.restart();
    world.give_and_judge();
}
