//! What is remembered, for how long, and what a flood can push out.

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const THEN: Timestamp = Timestamp::from_unix_secs(1_795_403_000);

fn hash(number: usize) -> TokenHash {
    TokenHash::of(&format!("token-{number}"))
}

#[test]
fn a_verdict_is_remembered_from_its_time_until_its_end() {
    let memory = Memory::new(4);
    assert!(memory.is_empty());
    memory.put(hash(1), "good", THEN, THEN.plus(SECOND * 10));
    assert!(!memory.is_empty());
    assert_eq!(memory.get(hash(1), THEN), Some("good"));
    assert_eq!(memory.get(hash(1), THEN.plus(SECOND * 9)), Some("good"));
    assert_eq!(memory.get(hash(1), THEN.plus(SECOND * 10)), None);
    assert_eq!(memory.get(hash(2), THEN), None);
}

#[test]
fn a_clock_set_back_makes_forget() {
    let memory = Memory::new(4);
    memory.put(hash(1), "good", THEN, THEN.plus(SECOND * 10));
    assert_eq!(memory.get(hash(1), THEN.minus(SECOND)), None);
    let earlier = THEN.minus(SECOND * 3600);
    memory.put(hash(2), "good", earlier, earlier.plus(SECOND * 10));
    assert_eq!(memory.get(hash(2), earlier), Some("good"));
    assert_eq!(memory.get(hash(1), THEN), None, "it was taken for one from the future and dropped");
}

#[test]
fn the_oldest_goes_first_and_a_newer_word_on_the_same_token_counts() {
    let memory = Memory::new(2);
    let until = THEN.plus(SECOND * 10);
    memory.put(hash(1), "first", THEN, until);
    memory.put(hash(1), "second", THEN, until);
    memory.put(hash(2), "other", THEN, until);
    assert_eq!((memory.get(hash(1), THEN), memory.get(hash(2), THEN)), (Some("second"), Some("other")));
    memory.put(hash(3), "third", THEN, until);
    assert_eq!((memory.get(hash(1), THEN), memory.get(hash(2), THEN)), (None, Some("other")));
    let state = memory.entries.lock().unwrap();
    assert_eq!((state.by_hash.len(), state.order.len()), (2, 2));
}

#[test]
fn what_has_ended_makes_room_without_being_asked_for() {
    let memory = Memory::new(1000);
    for number in 0..100 {
        memory.put(hash(number), (), THEN, THEN.plus(SECOND));
    }
    memory.put(hash(200), (), THEN.plus(SECOND), THEN.plus(SECOND * 2));
    assert_eq!(memory.entries.lock().unwrap().by_hash.len(), 1);
}

#[test]
fn a_flood_of_refusals_stays_within_its_bound() {
    let refused = Refused::new();
    for number in 0..REFUSED_MAX * 2 {
        refused.put(&format!("token-{number}"), "bad", THEN);
    }
    assert_eq!(refused.memory.entries.lock().unwrap().order.len(), REFUSED_MAX);
    assert_eq!(refused.get("token-0", THEN), None);
    assert_eq!(refused.get(&format!("token-{}", REFUSED_MAX * 2 - 1), THEN), Some("bad"));
    assert_eq!(refused.get(&format!("token-{}", REFUSED_MAX * 2 - 1), THEN.plus(REFUSED_FOR)), None);
}
