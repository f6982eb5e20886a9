//! What stands in the directory of a plugged-in authority, and what becomes of it.

use signet_identity::Lifetime;
use signet_testkit::{TestCa, istio_layout, knobs};

use super::*;
use crate::authority::import::Reload;
use crate::authority::rotation::GENERATIONS_MAX;

/// A root that signs, valid for two months from an hour before `from`.
pub(super) fn root(from: Timestamp) -> TestCa {
    let life = Lifetime::new(from.minus(HOUR), from.plus(60 * DAY)).unwrap();
    TestCa::root_with("cluster.local", knobs::lifetime(life))
}

/// A world in which `first` signs.
fn world(first: &TestCa) -> (World, TempDir) {
    let files = memory_dir();
    istio_layout(files.path(), first);
    let mut world = World::plugged_in(files.path());
    world.restart();
    assert_eq!(world.phases(), "1:active");
    (world, files)
}

impl World {
    /// Looks twice, after which a content is judged.
    fn see(&mut self) {
        self.look(Duration::ZERO).unwrap();
        self.look(Duration::ZERO).unwrap();
    }

    fn is_in_force(&mut self) -> bool {
        self.conductor().is_in_force()
    }

    fn remark(&mut self) -> String {
        let now = self.now;
        self.conductor().remark(now).unwrap_or_default()
    }
}

#[test]
fn the_old_files_again_cancel_the_new_ones_that_wait() {
    let (first, second) = (root(start()), root(start()));
    let (mut world, files) = world(&first);
    istio_layout(files.path(), &second);
    world.see();
    assert_eq!(world.phases(), "1:active 2:published");
    assert!(world.is_in_force(), "what waits is what stands there");
    istio_layout(files.path(), &first);
    world.see();
    assert_eq!(world.phases(), "1:active");
    assert!(world.is_in_force() && world.remark().is_empty());
    assert_eq!(world.authority().roots().roots().len(), 1, "the root of what never signed is gone");
    world.restart();
    world.pass(6 * HOUR, TICK);
    assert_eq!(world.phases(), "1:active", "nothing is left that would sign later");

    // And the new ones once more; a start finds what it knows.
    istio_layout(files.path(), &second);
    world.see();
    assert_eq!(world.phases(), "1:active 3:published");
    world.pass(3 * HOUR, TICK);
    assert_eq!(world.phases(), "1:old 3:active");
    for _ in 0..3 {
        world.restart();
        world.see();
        assert_eq!(world.phases(), "1:old 3:active");
    }
    assert_eq!(world.conductor().take_reloads(), [Reload::Same]);
}

#[test]
fn files_that_an_operator_overruled_are_not_said_to_be_in_force() {
    let (mut world, files) = world(&root(start()));
    istio_layout(files.path(), &root(start()));
    world.see();
    world.wish(Wish::Activate { id: 2, readiness: Readiness::Whatever }).unwrap();
    assert!(world.is_in_force() && world.remark().is_empty());
    world.wish(Wish::Activate { id: 1, readiness: Readiness::Whatever }).unwrap();
    assert!(!world.is_in_force());
    assert_eq!(world.remark(), "plugged-in files are not in force: their generation 2 is old");
}

#[test]
fn files_for_which_there_is_no_room_leave_nothing_behind_and_are_taken_once_there_is() {
    let (mut world, files) = world(&root(start()));
    for id in 2..=GENERATIONS_MAX as u64 {
        istio_layout(files.path(), &root(start()));
        world.see();
        world.wish(Wish::Activate { id, readiness: Readiness::Whatever }).unwrap();
    }
    istio_layout(files.path(), &root(start()));
    world.see();
    world.see();
    assert!(world.remark().contains("16 generations are still needed"), "{}", world.remark());
    assert!(!world.is_in_force() && !world.names().contains(&"authority-17.pem".to_owned()));
    let reloads = world.conductor().take_reloads();
    assert_eq!(reloads.iter().filter(|reload| **reload == Reload::Refused("rotation")).count(), 1, "it is told once");
    for _ in 0..12 {
        world.now = world.now.plus(HOUR);
        world.look(HOUR).unwrap();
    }
    world.see();
    assert_eq!(world.phases(), "16:active 17:published");
    assert!(world.is_in_force());
}

#[test]
fn files_that_are_too_early_at_a_start_are_taken_when_their_time_has_come() {
    let (mut world, files) = world(&root(start()));
    istio_layout(files.path(), &root(start().plus(DAY)));
    world.restart();
    assert!(world.remark().contains("is not valid before"), "{}", world.remark());
    world.now = world.now.plus(DAY);
    world.see();
    assert_eq!(world.phases(), "1:active 2:published");
}

#[test]
fn a_set_that_was_kept_and_never_written_down_is_not_in_the_way_of_a_root_of_our_own() {
    let files = memory_dir();
    let mut world = World { makes_roots: true, ..World::plugged_in(files.path()) };
    world.restart();
    world.see();
    assert!(world.remark().is_empty(), "a directory that is empty is no trouble: {}", world.remark());
    let now = world.now;
    assert_eq!(world.conductor().overview(now, &Watching::default()).directory, None);
    // As a process that was killed before it wrote the journal left it; then the files were taken away.
    let plugged_in = root(start());
    let kept = [plugged_in.key_pem(), plugged_in.pem(), plugged_in.root_pem()].concat();
    std::fs::write(world.dir.path().join("authority-2.pem"), kept).unwrap();
    world.wish(Wish::Prepare).unwrap();
    assert_eq!(world.phases(), "1:active 2:published");
    world.pass(3 * HOUR, TICK);
}

#[test]
fn a_fresh_intermediate_that_outlives_the_usual_certificate_is_no_trouble_until_its_last_fifth() {
    let (mut world, _files) = world(&root(start()));
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    world.policy = Policy { leaf_max: hours(2160), leaf_usual: DAY, ..policy() };
    world.restart();
    let mut check = |left: Duration, wanted: &str| {
        world.now = start().plus(60 * DAY).minus(left);
        world.look(Duration::ZERO).unwrap();
        assert!(world.remark().starts_with(wanted) && world.remark().is_empty() == wanted.is_empty(), "{left:?}");
    };
    check(60 * DAY, "");
    check(13 * DAY, "");
    check(11 * DAY, "generation 1 ends at 2027-03-16T08:00:00Z and no successor is prepared");
    check(23 * HOUR, "certificates are cut short: generation 1 ends at");
}

#[test]
fn files_plugged_in_over_a_root_from_before_there_were_generations_follow_it_and_its_key_stays() {
    for makes_roots in [true, false] {
        let mut world = World::new();
        world.restart();
        world.give_and_judge();
        let before = std::fs::read(world.dir.path().join("authority.pem")).unwrap();
        std::fs::remove_file(world.dir.path().join("state.json")).unwrap();
        let files = memory_dir();
        istio_layout(files.path(), &root(start()));
        (world.directory, world.makes_roots) = (Some(files.path().to_owned()), makes_roots);
        world.restart();
        assert_eq!(world.phases(), "1:active 2:published");
        assert_eq!(std::fs::read(world.dir.path().join("authority.pem")).unwrap(), before);
        world.pass(3 * HOUR, TICK);
        assert_eq!(world.phases(), "1:old 2:active");
    }
}
