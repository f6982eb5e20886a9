//! Tables and properties of the queue.

use proptest::prelude::*;

use super::*;

fn key(node: u64, identity: u64, class: Class) -> Key {
    Key { node, identity, class }
}

fn first(node: u64, identity: u64) -> Key {
    key(node, identity, Class::First)
}

fn renewal(node: u64, identity: u64) -> Key {
    key(node, identity, Class::Renewal)
}

fn filled(length_max: usize, keys: &[Key]) -> FairQueue<Key> {
    let mut queue = FairQueue::new(length_max);
    keys.iter().for_each(|key| assert!(matches!(queue.push(*key, *key), Queued::Waits(_))));
    queue
}

/// Everybody who waits, in the order of their turns.
fn turns(mut queue: FairQueue<Key>) -> Vec<Key> {
    std::iter::from_fn(|| queue.pop()).collect()
}

#[test]
fn nodes_take_turns_whatever_each_asks_for() {
    let (greedy, modest) = (first(1, 1), first(2, 1));
    let order = turns(filled(200, &[vec![greedy; 100], vec![modest; 3]].concat()));
    assert_eq!(order[..6], [greedy, modest, greedy, modest, greedy, modest]);
}

#[test]
fn identities_of_one_node_take_turns() {
    let (greedy, modest, third) = (first(1, 1), first(1, 2), first(1, 3));
    let order = turns(filled(200, &[vec![greedy; 100], vec![modest, third, modest]].concat()));
    assert_eq!(order[..5], [greedy, modest, third, greedy, modest]);
}

#[test]
fn many_identities_give_a_node_no_more_turns() {
    let crowd: Vec<Key> = (0..100).map(|identity| first(1, identity)).collect();
    let order = turns(filled(200, &[crowd, vec![first(2, 7); 4]].concat()));
    assert_eq!(order[..8].iter().filter(|key| key.node == 2).count(), 4);
}

#[test]
fn first_issues_go_before_renewals_but_not_all_the_time() {
    let (new, old) = (first(1, 1), renewal(2, 1));
    let order = turns(filled(200, &[vec![old; 10], vec![new; 10]].concat()));
    assert_eq!(order[..10], [new, new, new, new, old, new, new, new, new, old]);
    assert!(order[12..].iter().all(|key| *key == old));
}

#[test]
fn whoever_takes_most_places_gives_one_up() {
    let (greedy, modest) = (first(1, 1), first(2, 1));
    let mut queue = filled(4, &[greedy; 4]);
    assert!(matches!(queue.push(modest, modest), Queued::WaitsInsteadOf(_, pushed_out) if pushed_out == greedy));
    assert!(matches!(queue.push(modest, modest), Queued::WaitsInsteadOf(_, pushed_out) if pushed_out == greedy));
    // Two and two: nobody takes more than the other.
    assert!(matches!(queue.push(modest, modest), Queued::Full(_)));
    assert!(matches!(queue.push(greedy, greedy), Queued::Full(_)));
    assert_eq!(turns(queue), [greedy, modest, greedy, modest]);
}

#[test]
fn the_same_holds_for_the_identities_of_one_node() {
    let (greedy, modest) = (first(1, 1), first(1, 2));
    let mut queue = filled(4, &[greedy; 4]);
    assert!(matches!(queue.push(modest, modest), Queued::WaitsInsteadOf(_, pushed_out) if pushed_out == greedy));
    assert_eq!(turns(queue), [greedy, modest, greedy, greedy]);
}

#[test]
fn each_class_keeps_a_quarter_of_the_places() {
    let (new, old) = (first(1, 1), renewal(2, 1));
    let mut queue = filled(8, &[old; 8]);
    let taken = (0..8).filter(|_| matches!(queue.push(new, new), Queued::WaitsInsteadOf(_, other) if other == old));
    assert_eq!(taken.count(), 6, "two of eight stay with the renewals");

    let mut queue = filled(8, &[new; 8]);
    let taken = (0..8).filter(|_| matches!(queue.push(old, old), Queued::WaitsInsteadOf(_, other) if other == new));
    assert_eq!(taken.count(), 2);
}

#[test]
fn whoever_goes_away_leaves_no_trace() {
    let mut queue = filled(8, &[first(1, 1)]);
    let Queued::Waits(ticket) = queue.push(first(2, 1), first(2, 1)) else { panic!("there is room") };
    assert_eq!(queue.remove(ticket), Some(first(2, 1)));
    assert_eq!(queue.remove(ticket), None);
    assert_eq!(turns(queue), [first(1, 1)]);
}

#[test]
fn nobody_waits_where_there_is_no_place_to_wait() {
    let mut queue = FairQueue::new(0);
    assert!(matches!(queue.push(first(1, 1), ()), Queued::Full(())));
    assert_eq!(queue.pop(), None);
}

#[derive(Debug, Clone)]
enum Step {
    Push(Key),
    Pop,
    /// The nth of those who wait goes away.
    Remove(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let class = prop_oneof![Just(Class::First), Just(Class::Renewal)];
    let key = (0u64..4, 0u64..3, class).prop_map(|(node, identity, class)| key(node, identity, class));
    let step =
        prop_oneof![4 => key.prop_map(Step::Push), 2 => Just(Step::Pop), 1 => (0usize..20).prop_map(Step::Remove)];
    prop::collection::vec(step, 0..200)
}

proptest! {
    /// Against a plain list of those who should be waiting.
    #[test]
    fn everybody_who_waits_is_there_once_and_nobody_else(steps in steps(), length_max in 0usize..12) {
        let mut queue = FairQueue::new(length_max);
        let mut waiting: Vec<(usize, Ticket)> = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Push(key) => match queue.push(key, number) {
                    Queued::Waits(ticket) => waiting.push((number, ticket)),
                    Queued::WaitsInsteadOf(ticket, other) => {
                        let place = waiting.iter().position(|(waits, _)| *waits == other);
                        waiting.remove(place.expect("who is pushed out was waiting"));
                        waiting.push((number, ticket));
                    }
                    Queued::Full(back) => {
                        prop_assert_eq!(back, number);
                        prop_assert_eq!(waiting.len(), length_max);
                    }
                },
                Step::Pop => match queue.pop() {
                    Some(next) => {
                        let place = waiting.iter().position(|(waits, _)| *waits == next);
                        let (_, ticket) = waiting.remove(place.expect("whose turn it is was waiting"));
                        let older = waiting.iter().find(|(waits, other)| other.key == ticket.key && *waits < next);
                        prop_assert!(older.is_none(), "one identity is served in order");
                    }
                    None => prop_assert!(waiting.is_empty()),
                },
                Step::Remove(nth) if nth < waiting.len() => {
                    let (number, ticket) = waiting.remove(nth);
                    prop_assert_eq!(queue.remove(ticket), Some(number));
                }
                Step::Remove(_) => {}
            }
            prop_assert!(queue.len() <= length_max);
            prop_assert_eq!(queue.len(), waiting.len());
        }
    }

    /// However many others wait, and whatever comes meanwhile, a turn comes after a bounded number of others: each of
    /// the nodes, times each of the identities of the own node, times four first issues for a renewal.
    #[test]
    fn nobody_starves(before in steps(), after in steps(), key in (0u64..4, 0u64..3, any::<bool>())) {
        let class = if key.2 { Class::First } else { Class::Renewal };
        let own = self::key(9, key.1, class);
        let mut queue = FairQueue::new(usize::MAX);
        let push = |queue: &mut FairQueue<Option<Key>>, step: &Step| {
            if let Step::Push(key) = step {
                queue.push(*key, None);
            }
        };
        before.iter().for_each(|step| push(&mut queue, step));
        queue.push(own, Some(own));
        let bound = 5 * (4 + 1);
        let mut arriving = after.iter().cycle();
        let served = (0..bound).any(|_| {
            arriving.by_ref().take(3).for_each(|step| push(&mut queue, step));
            queue.pop() == Some(Some(own))
        });
        prop_assert!(served);
    }
}
