//! Who has to know a root before it signs.

use super::*;

/// A world in which generation 2 is published and armed.
fn waiting(policy: Policy) -> World {
    let mut world = World::new(policy, YEAR);
    world.happens(Event::Prepare).unwrap();
    world.happens(Event::Activate { id: 2, readiness: Readiness::WhenKnown }).unwrap();
    assert_eq!(world.phases(), "1:active 2:published");
    assert_eq!(world.rotation.bundle(), 2);
    world
}

#[test]
fn enough_acknowledgements_open_the_gate_after_the_least_wait() {
    let mut world = waiting(policy());
    world.agents(&[2, 2, 3]);
    world.pass(24 * HOUR - TICK);
    assert_eq!(world.phase(2), Phase::Published);
    world.pass(TICK);
    assert_eq!(world.phases(), "1:old 2:active");
    assert!(world.told.iter().any(|(_, change)| *change == Change::RootKnown { why: Why::Acknowledged }));
}

#[test]
fn an_agent_that_does_not_acknowledge_is_waited_for_until_the_deadline() {
    for agents in [&[2, 2, 1][..], &[0], &[]] {
        let mut world = waiting(policy());
        world.agents(agents);
        world.pass(48 * HOUR - TICK);
        assert_eq!(world.phase(2), Phase::Published, "{agents:?}");
        world.pass(TICK);
        assert_eq!(world.phases(), "1:old 2:active", "{agents:?}");
        assert!(world.told.iter().any(|(_, change)| *change == Change::RootKnown { why: Why::Deadline }));
    }
}

#[test]
fn acknowledgements_open_the_gate_only_once_the_root_is_published_everywhere_or_at_the_deadline() {
    let mut world = waiting(policy());
    world.agents(&[2, 2]);
    world.watching = world.watching.clone().published("all namespaces", 1);
    world.pass(30 * HOUR);
    assert_eq!(world.phase(2), Phase::Published);
    let missing = world.rotation.missing(world.rotation.get(2).unwrap(), &world.policy, &world.watching);
    assert!(missing.unwrap().to_string().contains("it is not in all namespaces"));
    world.watching = world.watching.clone().published("all namespaces", 2);
    world.pass(TICK);
    assert_eq!(world.phases(), "1:old 2:active");

    let mut world = waiting(policy());
    world.agents(&[2, 2]);
    world.watching = world.watching.clone().published("all namespaces", 1);
    world.pass(48 * HOUR);
    assert_eq!(world.phases(), "1:old 2:active");
    assert!(world.told.iter().any(|(_, change)| *change == Change::RootKnown { why: Why::Deadline }));
}

#[test]
fn a_share_of_the_agents_is_enough_where_the_operator_says_so() {
    let check = |percent: u64, agents: &[u64], opens: bool| {
        let mut world = waiting(Policy { acknowledged_percent: percent, min_wait: Duration::ZERO, ..policy() });
        world.agents(agents);
        world.pass(TICK);
        assert_eq!(world.phase(2) == Phase::Active, opens, "{percent} % of {agents:?}");
    };
    check(50, &[2, 1], true);
    check(50, &[2, 1, 1], false);
    check(67, &[2, 2, 1], false);
    check(66, &[2, 2, 1], true);
    check(1, &[1; 200], false);
    check(1, &[2], true);
}

#[test]
fn time_counts_only_while_the_authority_runs_and_survives_a_restart() {
    let mut world = waiting(policy());
    world.pass(20 * HOUR);
    // Off for a week: nobody could learn of the root meanwhile.
    world.now = world.now.plus(7 * DAY);
    world.look(Duration::ZERO);
    assert_eq!(world.phase(2), Phase::Published);
    world.pass(28 * HOUR - TICK);
    assert_eq!(world.phase(2), Phase::Published);
    world.pass(2 * TICK);
    assert_eq!(world.phase(2), Phase::Active);
}

#[test]
fn at_most_ten_minutes_of_waiting_are_lost_when_the_process_is_killed() {
    let mut world = waiting(policy());
    let mut unsaved = Duration::ZERO;
    for _ in 0..200 {
        let before = world.told.len();
        world.pass(TICK);
        unsaved = if world.told.len() > before { Duration::ZERO } else { unsaved + TICK };
        assert!(unsaved < Duration::from_secs(600));
    }
}

#[test]
fn a_wait_says_what_it_waits_for() {
    let mut world = waiting(policy());
    world.agents(&[2, 1, 1]);
    world.pass(3 * HOUR);
    let progress = world.rotation.missing(world.rotation.get(2).unwrap(), &world.policy, &world.watching).unwrap();
    assert_eq!(
        progress.to_string(),
        "its root is published for 3h, at least 1day are needed; 1 of 3 watching agents have it, 3 are needed; after \
         2days nobody is waited for"
    );
    world.agents(&[]);
    let progress = world.rotation.missing(world.rotation.get(2).unwrap(), &world.policy, &world.watching).unwrap();
    assert!(progress.to_string().contains("; no agent watches; "), "{progress}");
}

fn life(world: &World) -> Lifetime {
    Lifetime::new(world.now, world.now.plus(YEAR)).unwrap()
}

fn plugged_in(name: &str, roots: &[&str], anchors: &[&str], usable: Lifetime) -> Event {
    Event::Offered(Offer { is_armed: true, origin: Origin::PluggedIn, ..offer_with(name, roots, anchors, usable) })
}

#[test]
fn a_new_signer_under_a_root_that_is_known_signs_at_once() {
    let mut world = World::new(policy(), YEAR);
    let event = plugged_in("below", &["root-1"], &["root-1"], life(&world));
    world.happens(event).unwrap();
    assert_eq!(world.phases(), "1:old 2:active");
    assert_eq!(world.rotation.bundle(), 1, "no root came or went");
}

#[test]
fn a_root_that_comes_beside_a_known_one_has_its_own_wait() {
    let mut world = World::new(policy(), YEAR);
    let both = ["root-1", "new"];
    let event = plugged_in("announces", &both, &["root-1"], life(&world));
    world.happens(event).unwrap();
    assert_eq!(world.phases(), "1:old 2:active");
    assert!(!world.rotation.roots()["new"].is_known);

    let event = plugged_in("moves", &both, &["new"], life(&world));
    world.happens(event).unwrap();
    assert_eq!(world.phases(), "1:old 2:active 3:published", "the new root was published a moment ago");
    world.pass(48 * HOUR);
    assert_eq!(world.phase(3), Phase::Active);

    // One that has been announced for long enough is used at once.
    let event = plugged_in("back", &both, &["root-1"], life(&world));
    world.happens(event).unwrap();
    let event = plugged_in("again", &["new"], &["new"], life(&world));
    world.happens(event).unwrap();
    assert_eq!(world.phase(5), Phase::Active);
}

#[test]
fn a_root_that_left_and_comes_back_waits_anew() {
    let mut world = World::new(policy(), YEAR);
    let event = plugged_in("two", &["root-1", "other"], &["root-1"], life(&world));
    world.happens(event).unwrap();
    world.pass(3 * DAY);
    assert!(world.rotation.roots()["other"].is_known);
    let event = plugged_in("one", &["root-1"], &["root-1"], life(&world));
    world.happens(event).unwrap();
    world.pass(4 * DAY);
    assert!(!world.rotation.roots().contains_key("other"));
    let event = plugged_in("two again", &["root-1", "other"], &["other"], life(&world));
    world.happens(event).unwrap();
    assert_eq!(world.rotation.waiting().unwrap().phase, Phase::Published);
}

#[test]
fn an_old_signer_that_comes_back_signs_at_once_and_one_that_waited_goes() {
    let mut world = World::new(policy(), YEAR);
    let first = offer("root-1", life(&world));
    world.happens(Event::Prepare).unwrap();
    world.happens(Event::Activate { id: 2, readiness: Readiness::Whatever }).unwrap();
    world.happens(Event::Prepare).unwrap();
    assert_eq!(world.phases(), "1:old 2:active 3:published");
    world.happens(Event::Offered(first.clone())).unwrap();
    assert_eq!(world.phases(), "1:active 2:old");
    assert_eq!(world.phase(3), Phase::Retired);
    assert_eq!(world.happens(Event::Offered(first)), Err(Refusal::Known { id: 1 }));
}

#[test]
fn a_later_offer_takes_the_place_of_one_that_waits() {
    let mut world = World::new(policy(), YEAR);
    for name in ["a", "b", "c"] {
        let event = plugged_in(name, &[name], &[name], life(&world));
        world.happens(event).unwrap();
    }
    assert_eq!(world.phases(), "1:active 4:published");
    assert_eq!(world.rotation.roots().keys().collect::<Vec<_>>(), ["c", "root-1"]);
}

#[test]
fn there_are_never_more_generations_than_the_bound() {
    let mut world = World::new(policy(), YEAR);
    let mut refused = None;
    for number in 0..GENERATIONS_MAX + 1 {
        let name = format!("signer-{number}");
        let event = plugged_in(&name, &["root-1"], &["root-1"], life(&world));
        refused = world.happens(event).err();
    }
    assert_eq!(refused, Some(Refusal::TooMany));
    assert_eq!(world.happens(Event::Prepare), Err(Refusal::TooMany));
    world.pass(4 * DAY);
    assert_eq!(world.rotation.trusted().count(), 1);
    world.happens(Event::Prepare).unwrap();
}
