//! Properties of the gate.

use proptest::prelude::*;

use super::super::queue::Class;
use super::*;

fn key(node: u64) -> Key {
    Key { node, identity: 1, class: Class::First }
}

#[test]
fn nobody_waits_while_there_is_room() {
    let mut gate = Gate::new(2, 10);
    assert_eq!([1, 2].map(|who| gate.arrive(key(who), || who)), [Arrival::Enters, Arrival::Enters]);
    assert!(matches!(gate.arrive(key(3), || 3), Arrival::Waits(_)));
    assert_eq!(gate.leave(), Some(3));
    assert_eq!((gate.inside(), gate.waiting()), (2, 0));
    assert_eq!((gate.leave(), gate.leave(), gate.inside()), (None, None, 0));
}

#[test]
fn who_comes_last_does_not_overtake_who_waits() {
    let mut gate = Gate::new(1, 10);
    gate.arrive(key(1), || 1);
    gate.arrive(key(2), || 2);
    assert_eq!(gate.leave(), Some(2));
    assert!(matches!(gate.arrive(key(3), || 3), Arrival::Waits(_)), "the place belongs to the second");
}

#[test]
fn who_finds_no_place_is_turned_away() {
    let mut gate = Gate::new(1, 0);
    assert_eq!(gate.arrive(key(1), || 1), Arrival::Enters);
    assert_eq!(gate.arrive(key(2), || 2), Arrival::TurnedAway);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Arrive(u64),
    Leave,
    GiveUp(usize),
}

proptest! {
    #[test]
    fn never_more_than_allowed_are_inside_and_everybody_gets_out(
        steps in prop::collection::vec(
            prop_oneof![(0u64..5).prop_map(Step::Arrive), Just(Step::Leave), (0usize..6).prop_map(Step::GiveUp)],
            0..200,
        ),
        inside_max in 1usize..5,
        waiting_max in 0usize..6,
    ) {
        let mut gate = Gate::new(inside_max, waiting_max);
        let (mut inside, mut waiting) = (0, Vec::new());
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Arrive(node) => match gate.arrive(key(node), || number) {
                    Arrival::Enters => inside += 1,
                    Arrival::Waits(ticket) => waiting.push((number, ticket)),
                    Arrival::WaitsInsteadOf(ticket, other) => {
                        waiting.retain(|(waits, _)| *waits != other);
                        waiting.push((number, ticket));
                    }
                    Arrival::TurnedAway => prop_assert_eq!(waiting.len(), waiting_max),
                },
                Step::Leave if inside > 0 => match gate.leave() {
                    Some(next) => waiting.retain(|(waits, _)| *waits != next),
                    None => inside -= 1,
                },
                Step::GiveUp(nth) if nth < waiting.len() => {
                    let (number, ticket) = waiting.remove(nth);
                    prop_assert_eq!(gate.give_up(ticket), Some(number));
                    prop_assert_eq!(gate.give_up(ticket), None);
                }
                Step::Leave | Step::GiveUp(_) => {}
            }
            prop_assert!(inside <= inside_max && waiting.len() <= waiting_max);
            prop_assert_eq!((gate.inside(), gate.waiting()), (inside, waiting.len()));
            prop_assert!(waiting.is_empty() || inside == inside_max, "nobody waits while there is room");
        }
        while inside > 0 {
            if gate.leave().is_none() {
                inside -= 1;
            }
        }
        prop_assert_eq!((gate.inside(), gate.waiting()), (0, 0));
    }
}
