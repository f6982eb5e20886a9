//! Killed at every step: what one process leaves, the next one goes on with.

use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::plugged_in::root;
use super::*;
use crate::authority::material::Material;
use signet_testkit::istio_layout;

/// How a write is met by the end of its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Killed {
    /// Before anything was written.
    Before,
    /// With half of the new file beside the old one.
    Half,
    /// With all of the new file beside the old one.
    Beside,
    /// After the new file took its place.
    After,
}

/// A store whose process is killed at its write number `at`.
struct Mortal {
    inner: StateDir,
    dir: PathBuf,
    at: usize,
    how: Killed,
    writes: Arc<AtomicUsize>,
    is_dead: Cell<bool>,
}

fn dead() -> StateError {
    StateError::Busy { place: PathBuf::from("the process was killed") }
}

impl Mortal {
    fn write(
        &mut self,
        name: &str,
        content: &str,
        act: impl FnOnce(&mut StateDir) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        if self.is_dead.get() {
            return Err(dead());
        }
        if self.writes.fetch_add(1, Ordering::Relaxed) + 1 < self.at {
            return act(&mut self.inner);
        }
        self.is_dead.set(true);
        let beside = self.dir.join(format!(".{name}.0123456789abcdef.tmp"));
        match self.how {
            Killed::Before => {}
            Killed::Half => std::fs::write(beside, &content.as_bytes()[..content.len() / 2]).unwrap(),
            Killed::Beside => std::fs::write(beside, content).unwrap(),
            Killed::After => act(&mut self.inner)?,
        }
        Err(dead())
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

impl Store for Mortal {
    fn leads(&mut self) -> Result<bool, StateError> {
        if self.is_dead.get() { Err(dead()) } else { self.inner.leads() }
    }

    fn load(&self) -> Result<Option<Rotation>, StateError> {
        self.inner.load()
    }

    fn save(&mut self, rotation: &Rotation) -> Result<(), StateError> {
        let rotation = rotation.clone();
        self.write("state.json", "{\"version\": 1, \"half\": true}", |inner| inner.save(&rotation))
    }

    fn keep(&mut self, id: u64, material: Material) -> Result<(), StateError> {
        let name = file_name(&self.inner.place(id));
        let text = material.to_pem();
        self.write(&name, &text, |inner| inner.keep(id, material))
    }

    fn material(&self, generation: &Generation) -> Result<Material, StateError> {
        self.inner.material(generation)
    }

    fn unwritten(&self, id: u64) -> Result<Option<Material>, StateError> {
        self.inner.unwritten(id)
    }

    fn publish(&mut self, rotation: &Rotation, roots_pem: &str) -> Result<(), StateError> {
        let rotation = rotation.clone();
        self.write("root-cert.pem", roots_pem, |inner| inner.publish(&rotation, roots_pem))
    }

    fn sweep(&mut self, rotation: &Rotation) -> bool {
        let rotation = rotation.clone();
        let _ = self.write("state.json", "", |inner| {
            inner.sweep(&rotation);
            Ok(())
        });
        true
    }

    fn place(&self, id: u64) -> PathBuf {
        self.inner.place(id)
    }

    fn has_published(&self) -> bool {
        self.inner.has_published()
    }
}

/// One life of an authority, killed once on its way.
pub(super) struct Life {
    pub(super) world: World,
    pub(super) is_killed: bool,
}

impl Life {
    /// Starts; the process is killed at its write number `at`. Gives the count of writes as well.
    fn begin(world: World, at: usize, how: Killed) -> (Self, Arc<AtomicUsize>) {
        let writes = Arc::new(AtomicUsize::new(0));
        let (inner, dir) = (world.state_dir(), world.dir.path().to_owned());
        let mortal = Mortal { inner, dir, at, how, writes: writes.clone(), is_dead: Cell::new(false) };
        (Self::begin_on(world, Box::new(mortal)), writes)
    }

    /// Starts on `store`.
    pub(super) fn begin_on(world: World, store: Box<dyn Store>) -> Self {
        let mut life = Self { world, is_killed: false };
        if life.world.start_on(store).is_err() {
            life.is_killed = true;
            life.world.restart();
            life.check_leftovers();
        }
        life
    }

    /// Does `act` until `done` holds, starting again after the end of the process.
    fn until(&mut self, done: impl Fn(&Rotation) -> bool, act: impl Fn(&mut World) -> Result<(), String>) {
        for number in 0..2_000 {
            if self.world.conductor.as_ref().is_some_and(|conductor| done(&conductor.rotation)) {
                self.world.give_and_judge();
                return;
            }
            let acted = act(&mut self.world);
            if acted.is_err() {
                assert!(!self.is_killed, "only one end was asked for: {acted:?}");
                self.is_killed = true;
                self.world.restart();
                self.check_leftovers();
                self.world.give_and_judge();
            } else if number % 6 == 0 {
                self.world.give_and_judge();
            }
        }
        panic!("it should come to an end: {}", self.world.phases());
    }

    /// The next start leaves no half-written file, and no key that is of no use: each is a generation's, or the next
    /// one's.
    fn check_leftovers(&self) {
        let names = self.world.names();
        assert!(!names.iter().any(|name| name.starts_with('.')), "{names:?}");
        let rotation = &self.world.conductor.as_ref().unwrap().rotation;
        let live = rotation.generations().iter().filter(|found| !found.phase.is_over()).map(|found| found.id);
        let kept = self.world.keys().into_iter().filter(|id| *id != rotation.next_id());
        assert_eq!(kept.collect::<BTreeSet<_>>(), live.collect());
    }

    fn wait_until(&mut self, done: impl Fn(&Rotation) -> bool) {
        self.until(done, |world| world.tick().map_err(|error| error.to_string()));
    }

    fn wish_until(&mut self, done: impl Fn(&Rotation) -> bool, wish: Wish) {
        self.until(done, |world| world.wish(wish).map_err(|error| error.to_string()));
    }
}

pub(super) fn is(id: u64, phase: Phase) -> impl Fn(&Rotation) -> bool {
    move |rotation| rotation.get(id).is_some_and(|found| found.phase == phase)
}

/// Every step there is: the first root, a horizon, a rotation by hand with taint and revocation, one by itself, and
/// retirement. Answers with the number of writes.
fn live(at: usize, how: Killed) -> (usize, bool) {
    let (life, writes) = Life::begin(World::new(), at, how);
    let life = live_on(life);
    let is_killed = life.is_killed || writes.load(Ordering::Relaxed) >= at;
    assert_eq!(life.world.names(), ["authority-3.pem", "root-cert.pem", "state.json"]);
    (writes.load(Ordering::Relaxed), is_killed)
}

/// The same wherever generations are kept.
pub(super) fn live_on(mut life: Life) -> Life {
    life.world.give_and_judge();
    let first_horizon = life.world.conductor().rotation.active().unwrap().horizon;
    life.wait_until(move |rotation| {
        let active = rotation.active().unwrap();
        active.horizon > first_horizon || active.horizon == Some(active.usable.not_after())
    });
    life.wish_until(is(2, Phase::Published), Wish::Prepare);
    let activate = Wish::Activate { id: 2, readiness: Readiness::WhenKnown };
    life.wish_until(|rotation| rotation.get(2).is_some_and(|found| found.is_armed), activate);
    life.wait_until(is(2, Phase::Active));
    life.wish_until(is(1, Phase::Tainted), Wish::Taint { id: 1 });
    life.wish_until(is(1, Phase::Revoked), Wish::Revoke { id: 1 });
    life.wait_until(is(3, Phase::Active));
    life.wait_until(is(2, Phase::Retired));
    // A process that is killed while it removes what is not needed has done everything else; the next one removes it.
    life.world.restart();
    assert_eq!(life.world.phases(), "3:active");
    assert_eq!(life.world.keys(), BTreeSet::from([3]));
    life
}

/// The same with an authority that is plugged in: files are replaced, put back, and replaced again.
fn live_plugged_in(at: usize, how: Killed) -> (usize, bool) {
    let files = memory_dir();
    let (first, second) = (root(start()), root(start()));
    istio_layout(files.path(), &first);
    let (mut life, writes) = Life::begin(World::plugged_in(files.path()), at, how);
    life.world.give_and_judge();
    istio_layout(files.path(), &second);
    life.wait_until(is(2, Phase::Published));
    istio_layout(files.path(), &first);
    life.wait_until(is(2, Phase::Retired));
    istio_layout(files.path(), &second);
    life.wait_until(is(3, Phase::Active));
    life.wait_until(is(1, Phase::Retired));
    let is_killed = life.is_killed || writes.load(Ordering::Relaxed) >= at;
    life.world.restart();
    assert_eq!(life.world.phases(), "3:active");
    assert_eq!(life.world.names(), ["authority-3.pem", "root-cert.pem", "state.json"]);
    (writes.load(Ordering::Relaxed), is_killed)
}

/// Lives once for each write, killed at it.
fn check(how: Killed) {
    for (live, least) in [(live as fn(usize, Killed) -> (usize, bool), 40), (live_plugged_in, 20)] {
        let (writes, is_killed) = live(usize::MAX, how);
        assert!(!is_killed && writes > least, "{writes}");
        for at in 1..=writes {
            assert!(live(at, how).1, "{how:?} {at}");
        }
    }
}

#[test]
fn killed_before_any_write_of_its_life_the_authority_goes_on_and_no_leaf_is_lost() {
    check(Killed::Before);
}

#[test]
fn killed_in_the_middle_of_any_write_it_goes_on_too() {
    check(Killed::Half);
}

#[test]
fn killed_with_a_file_written_and_not_in_its_place_it_goes_on_too() {
    check(Killed::Beside);
}

#[test]
fn killed_after_any_write_before_anything_followed_from_it_it_goes_on_too() {
    check(Killed::After);
}

#[test]
fn a_disk_that_refuses_changes_nothing_and_is_asked_again() {
    let mut world = World::new();
    world.restart();
    world.give_and_judge();
    let before = world.authority();
    // Names that cannot be replaced, as on a disk that is full.
    let in_the_way = |name: &str| world.dir.path().join(name);
    let (later, journal) = (in_the_way("authority-2.pem"), in_the_way("state.json"));
    std::fs::create_dir_all(later.join("x")).unwrap();
    let error = world.wish(Wish::Prepare).unwrap_err();
    assert!(matches!(error, WishError::State(StateError::File(_))), "{error:?}");
    assert_eq!(world.phases(), "1:active");
    std::fs::remove_dir_all(&later).unwrap();

    let text = std::fs::read(&journal).unwrap();
    std::fs::remove_file(&journal).unwrap();
    std::fs::create_dir_all(journal.join("x")).unwrap();
    world.wish(Wish::Prepare).unwrap_err();
    assert_eq!(world.phases(), "1:active", "what is not written down has not happened");
    assert!(Arc::ptr_eq(&before, &world.authority()));
    std::fs::remove_dir_all(&journal).unwrap();
    std::fs::write(&journal, text).unwrap();

    let roots = world.dir.path().join("root-cert.pem");
    std::fs::remove_file(&roots).unwrap();
    std::fs::create_dir_all(roots.join("x")).unwrap();
    world.wish(Wish::Prepare).unwrap_err();
    assert_eq!(world.phases(), "1:active 2:prepared", "what cannot be published is not published");
    assert!(Arc::ptr_eq(&before, &world.authority()));
    world.now = world.now.plus(DAY);
    world.look(DAY).unwrap_err();
    assert_eq!(world.phases(), "1:active 2:prepared");
    std::fs::remove_dir_all(&roots).unwrap();
    world.look(Duration::ZERO).unwrap();
    assert_eq!(world.phases(), "1:active 2:published");
    assert!(world.root_of(2).served.is_zero(), "time counts only once the root is published");
    world.give_and_judge();
    assert_eq!(world.authority().roots().roots().len(), 2);
}
