//! What a journal may say.

use super::*;

fn written() -> (World, String) {
    let mut world = World::new();
    world.restart();
    world.wish(Wish::Prepare).unwrap();
    let text = std::fs::read_to_string(world.dir.path().join("state.json")).unwrap();
    (world, text)
}

#[test]
fn the_end_that_alarms_is_that_of_the_path_and_not_of_what_is_written_down_so_far() {
    let mut world = World::new();
    world.restart();
    let now = world.now;
    let ending = world.conductor().overview(now, &Watching::default()).ending.unwrap();
    let authority = world.authority();
    assert_eq!(ending.usable, authority.certificate().lifetime());
    assert!(authority.usable().not_after() < ending.usable.not_after(), "what may be signed now is cut to the horizon");
}

#[test]
fn a_journal_reads_back_as_it_was_written() {
    let (mut world, _) = written();
    world.wish(Wish::Revoke { id: 2 }).unwrap();
    let text = std::fs::read_to_string(world.dir.path().join("state.json")).unwrap();
    assert!(text.contains("\"distrusted\": {\n"), "{text}");
    let (of, rotation) = journal::read(text.as_bytes(), &trust_domain()).unwrap();
    assert_eq!(of, "cluster.local");
    assert_eq!(rotation, world.conductor().rotation);
    assert_eq!(journal::write(&rotation, &trust_domain()).unwrap(), text);
    assert!(!text.contains("PRIVATE"));
}

#[test]
fn a_journal_that_was_tampered_with_stops_the_start_and_stays_as_it_is() {
    let (mut world, text) = written();
    world.conductor = None;
    let path = world.dir.path().join("state.json");
    let mut check = |text: &str, wanted: &str| {
        std::fs::write(&path, text).unwrap();
        let error = world.start_on(Box::new(world.state_dir())).unwrap_err();
        let said = chain(&error);
        assert!(said.contains(wanted), "{said}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    };
    check("", "it is not a journal");
    let (half, _) = text.split_at(text.len() / 2);
    check(half, "it is not a journal");
    check(&text.replace("\"version\": 1", "\"version\": 2"), "it has version 2, this program knows 1");
    check(&text.replace("\"next_id\": 3", "\"next_id\": 3, \"more\": 1"), "unknown field `more`");
    check(&text.replace("\"next_id\": 3", "\"next_id\": 2"), "ids of generations are out of order");
    check(&text.replace("\"published\"", "\"active\""), "more than one generation is active");
    check(&text.replace("\"published\"", "\"sleepy\""), "`sleepy` is no phase");
    check(&text.replace("self-signed", "found"), "`found` is no origin");
    check(&text.replace("\"cluster.local\"", "\"example.org\""), "was made for another trust domain");
    check(&text.replace("BEGIN CERT", "BEGIN DIRT"), "roots of generation 1");
    check(&text.replace("\"bundle\": 2", "\"bundle\": 1"), "the published roots are not those");
    std::fs::write(&path, &text).unwrap();
    world.restart();
}

#[test]
fn the_key_of_a_generation_that_is_written_down_is_not_replaced() {
    let (mut world, _) = written();
    world.wish(Wish::Activate { id: 2, readiness: Readiness::Whatever }).unwrap();
    world.conductor = None;
    std::fs::remove_file(world.dir.path().join("authority-2.pem")).unwrap();
    let error = world.start_on(Box::new(world.state_dir())).unwrap_err();
    assert!(matches!(error, AuthorityError::SelfSigned(StateError::KeyLost { .. })), "{error:?}");
}

#[test]
fn a_generation_whose_key_is_gone_is_not_activated() {
    let (mut world, _) = written();
    std::fs::remove_file(world.dir.path().join("authority-2.pem")).unwrap();
    let error = world.wish(Wish::Activate { id: 2, readiness: Readiness::Whatever }).unwrap_err();
    assert!(matches!(error, WishError::State(StateError::KeyLost { .. })), "{error:?}");
    assert_eq!(world.phases(), "1:active 2:published");
    world.give_and_judge();
}

#[test]
fn a_key_that_a_later_backup_left_is_used_again_and_never_overwritten() {
    let (mut world, before) = written();
    world.conductor = None;
    // The journal of yesterday, the keys of today.
    std::fs::write(world.dir.path().join("state.json"), before).unwrap();
    world.restart();
    world.wish(Wish::Revoke { id: 2 }).unwrap();
    let key = std::fs::read(world.dir.path().join("authority.pem")).unwrap();
    std::fs::write(world.dir.path().join("authority-3.pem"), &key).unwrap();
    world.wish(Wish::Prepare).unwrap_err();
    std::fs::write(world.dir.path().join("authority-3.pem"), "half a key").unwrap();
    world.wish(Wish::Prepare).unwrap_err();
    assert_eq!(std::fs::read(world.dir.path().join("authority-3.pem")).unwrap(), b"half a key");
}

#[test]
fn what_was_kept_of_a_key_in_a_token_is_never_taken_for_a_root_of_our_own() {
    let world = World::new();
    let ca = signet_testkit::TestCa::root("cluster.local");
    let certificates = format!("{}{}", ca.pem(), ca.root_pem());
    // As a process leaves it that is killed before it could write down what they are.
    for (id, name) in [(1, "authority.pem"), (2, "authority-2.pem")] {
        files::replace(&world.dir.path().join(name), certificates.as_bytes(), 0o600).unwrap();
        assert!(world.state_dir().unwritten(id).unwrap().is_none(), "{name}");
    }
    files::replace(&world.dir.path().join("authority-3.pem"), b"nothing", 0o600).unwrap();
    assert!(world.state_dir().unwritten(3).is_err(), "what cannot be read is still told");
}
