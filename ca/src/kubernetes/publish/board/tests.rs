//! When which namespace is due.

use super::*;

const ROOTS: &str = "roots";

fn seen(value: &str) -> Seen {
    Seen::new(value, None)
}

/// A board on which everything is listed: two namespaces that are to have the roots, one that is not.
fn board() -> Board {
    let mut board = Board::new();
    board.replace_spaces(vec![("a".into(), true), ("b".into(), true), ("no".into(), false)]);
    board.replace_maps(vec![]);
    board.want(Wanted::new(ROOTS));
    board
}

fn due(board: &mut Board, now: Instant) -> Vec<String> {
    board.take_due(now, 10).iter().map(|(name, _)| name.to_string()).collect()
}

fn failed() -> Outcome {
    Outcome::Not(Trouble::Failed("down".to_owned()), None)
}

#[test]
fn what_is_not_as_wanted_is_due_once_until_its_attempt_ends() {
    let (mut board, now) = (board(), Instant::now());
    assert_eq!(due(&mut board, now), ["a", "b"]);
    assert_eq!(due(&mut board, now), [""; 0]);
    assert_eq!(board.ended("a", Outcome::Written(seen(ROOTS)), now), None);
    assert_eq!(board.spread(), Spread { total: 2, behind: 1, refused: 0 });
    board.ended("b", Outcome::Written(seen(ROOTS)), now);
    assert_eq!(due(&mut board, now), [""; 0]);
    board.put_map("a".into(), seen("edited"));
    assert_eq!(due(&mut board, now), ["a"], "an edit makes it due at once");
}

#[test]
fn nothing_is_due_before_everything_was_listed() {
    let mut board = Board::new();
    board.want(Wanted::new(ROOTS));
    board.replace_spaces(vec![("a".into(), true)]);
    assert_eq!(due(&mut board, Instant::now()), [""; 0]);
    board.replace_maps(vec![("a".into(), seen(ROOTS))]);
    assert_eq!(due(&mut board, Instant::now()), [""; 0]);
    board.want(Wanted::new("newer"));
    assert_eq!(due(&mut board, Instant::now()), ["a"]);
}

#[test]
fn failures_are_waited_for_longer_and_longer_and_never_given_up() {
    let (mut board, mut now) = (board(), Instant::now());
    let mut waits = Vec::new();
    for attempt in 0..20 {
        due(&mut board, now);
        board.ended("b", Outcome::Written(seen(ROOTS)), now);
        assert_eq!(board.ended("a", failed(), now).is_some(), attempt == 0, "told once");
        let next = board.next_due().unwrap();
        assert_eq!(due(&mut board, now), [""; 0]);
        waits.push(next - now);
        now = next;
    }
    assert!(waits[0] < Duration::from_millis(400), "{waits:?}");
    assert!(waits[19] > Duration::from_secs(40) && waits[19] <= RETRY_MAX, "{waits:?}");
    board.want(Wanted::new("newer"));
    assert_eq!(due(&mut board, now), ["a", "b"], "new roots do not wait for old failures");
}

#[test]
fn the_servers_wish_is_waited_for() {
    let (mut board, now) = (board(), Instant::now());
    due(&mut board, now);
    let wish = Some(Duration::from_secs(30));
    board.ended("a", Outcome::Not(Trouble::Failed("busy".to_owned()), wish), now);
    assert_eq!(board.next_due(), Some(now + Duration::from_secs(30)));
}

#[test]
fn a_fight_is_left_alone_for_a_while() {
    let (mut board, mut now) = (board(), Instant::now());
    due(&mut board, now);
    board.ended("a", Outcome::Written(seen(ROOTS)), now);
    board.ended("b", Outcome::Written(seen(ROOTS)), now);
    let by = || vec!["pilot-discovery".to_owned()];
    for _ in 0..HEALS_MAX {
        board.put_map("a".into(), seen("theirs"));
        assert_eq!(due(&mut board, now), ["a"]);
        assert_eq!(board.ended("a", Outcome::Healed(seen(ROOTS), by()), now), None);
        now += Duration::from_secs(1);
    }
    board.put_map("a".into(), seen("theirs"));
    due(&mut board, now);
    assert_eq!(board.ended("a", Outcome::Healed(seen(ROOTS), by()), now), Some(Trouble::Contested(by())));
    board.put_map("a".into(), seen("theirs"));
    assert_eq!(due(&mut board, now), [""; 0]);
    assert_eq!(board.spread(), Spread { total: 2, behind: 1, refused: 1 });
    assert_eq!(due(&mut board, now + TRUCE), ["a"]);
}

#[test]
fn edits_now_and_then_are_no_fight() {
    let (mut board, mut now) = (board(), Instant::now());
    for _ in 0..20 {
        due(&mut board, now);
        assert_eq!(board.ended("a", Outcome::Healed(seen(ROOTS), vec![]), now), None);
        board.put_map("a".into(), seen("edited"));
        now += HEAL_WINDOW / 4;
    }
}

#[test]
fn namespaces_come_and_go() {
    let (mut board, now) = (board(), Instant::now());
    assert_eq!(due(&mut board, now), ["a", "b"]);
    board.ended("a", Outcome::Leaving, now);
    board.remove_space("b");
    assert_eq!(board.ended("b", failed(), now), None, "its attempt ended after it");
    assert_eq!(board.spread(), Spread { total: 0, behind: 0, refused: 0 });
    board.put_space("c".into(), true);
    board.put_space("no".into(), true);
    assert_eq!(due(&mut board, now), ["c", "no"]);
    board.ended("c", Outcome::Not(Trouble::Owned(vec![]), None), now);
    board.replace_spaces(vec![("c".into(), true)]);
    assert_eq!(due(&mut board, now), [""; 0], "a new list keeps what is known of failures");
    assert_eq!(board.spread(), Spread { total: 1, behind: 1, refused: 1 });
}

#[test]
fn what_stood_there_once_is_remembered_as_ours() {
    let (mut board, now) = (board(), Instant::now());
    board.put_map("a".into(), seen(ROOTS));
    for namespace in ["a", "b"] {
        board.put_map(namespace.into(), seen("theirs"));
    }
    let due: Vec<(String, bool)> =
        board.take_due(now, 10).iter().map(|(name, ours)| (name.to_string(), *ours)).collect();
    assert_eq!(due, [("a".to_owned(), true), ("b".to_owned(), false)]);
}
