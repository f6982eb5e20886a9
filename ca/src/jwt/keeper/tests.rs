//! Keys on a disk that fails, processes that are killed at every step, and two of them with one directory.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Mutex;

use signet_runtime::Health;
use signet_runtime::files::FileError;
use signet_testkit::temp_dir;
use zeroize::Zeroizing;

use super::super::store::StateDir;
use super::*;
use crate::metrics::Metrics;

const START_MILLIS: i64 = 1_800_000_000_000;
const HOUR: Duration = Duration::from_secs(3600);

const POLICY: Policy = Policy {
    mints: true,
    key_ttl: Duration::from_secs(86_400),
    lead: Duration::from_secs(20),
    token_ttl_max: Duration::from_secs(30),
    away: Duration::ZERO,
};

fn trust_domain() -> TrustDomain {
    "cluster.local".parse().unwrap()
}

fn open(store: Box<dyn Store>, clock: &Clock, health: &Health) -> Result<Keeper, KeysError> {
    open_by(POLICY, store, clock, health)
}

fn open_by(policy: Policy, store: Box<dyn Store>, clock: &Clock, health: &Health) -> Result<Keeper, KeysError> {
    let metrics = Metrics::new().jwt();
    Keeper::open(store, policy, trust_domain(), clock.clone(), metrics, health.part("token keys"))
}

fn in_dir(dir: &Path, clock: &Clock) -> Keeper {
    open(Box::new(StateDir::new(dir)), clock, &Health::new()).unwrap()
}

fn kids(keeper: &Keeper) -> Vec<String> {
    keeper.ring().borrow().published.iter().map(|key| key.kid.clone()).collect()
}

fn signing(keeper: &Keeper) -> Option<String> {
    keeper.ring().borrow().signing.as_ref().map(|key| key.kid.clone())
}

/// One look after `span`, of which the keeper credits what it may.
async fn look_after(keeper: &mut Keeper, clock: &Clock, span: Duration) -> Result<(), KeysError> {
    clock.advance(span);
    tokio::time::advance(span).await;
    keeper.look()
}

#[tokio::test(start_paused = true)]
async fn keys_survive_the_process_where_only_we_can_read_them() {
    let (dir, clock) = (temp_dir(), Clock::manual(START_MILLIS));
    let state = dir.path().join("deep/jwt");
    let first = in_dir(&state, &clock);
    let (known, signs) = (kids(&first), signing(&first));
    assert_eq!((known.len(), signs.as_deref()), (2, known.first().map(String::as_str)));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&state), mode(&state.join("jwt-keys.json"))), (0o700, 0o600));
    drop(first);
    let second = in_dir(&state, &clock);
    assert_eq!((kids(&second), signing(&second)), (known, signs));
}

#[tokio::test(start_paused = true)]
async fn names_of_keys_are_long_random_and_never_the_same() {
    let (dir, clock) = (temp_dir(), Clock::manual(START_MILLIS));
    let mut keeper = in_dir(dir.path(), &clock);
    let mut seen: BTreeSet<String> = kids(&keeper).into_iter().collect();
    for _ in 0..40 {
        for _ in 0..4 {
            look_after(&mut keeper, &clock, 6 * HOUR).await.unwrap();
        }
        seen.extend(kids(&keeper));
    }
    assert!(seen.len() > 35, "{}", seen.len());
    assert!(seen.iter().all(|kid| kid.len() == 2 * KID_OCTETS && kid.bytes().all(|b| b.is_ascii_hexdigit())));
}

/// A store in memory that others can look at, and that fails when told to.
#[derive(Clone, Default)]
struct Disk {
    content: Arc<Mutex<Content>>,
}

#[derive(Default)]
struct Content {
    text: Option<Vec<u8>>,
    /// Everything that was ever written.
    history: Vec<Vec<u8>>,
    fails: bool,
    is_led_elsewhere: bool,
}

impl Disk {
    fn with<T>(&self, use_it: impl FnOnce(&mut Content) -> T) -> T {
        use_it(&mut self.content.lock().unwrap())
    }
}

impl Store for Disk {
    fn leads(&mut self) -> Result<bool, StoreError> {
        Ok(self.with(|content| !content.is_led_elsewhere))
    }

    fn load(&self) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        Ok(self.with(|content| content.text.clone().map(Zeroizing::new)))
    }

    fn save(&mut self, text: &[u8]) -> Result<(), StoreError> {
        self.with(|content| {
            if content.fails {
                let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
                return Err(FileError::Io { verb: "write", path: self.place(), source }.into());
            }
            content.text = Some(text.to_vec());
            content.history.push(text.to_vec());
            Ok(())
        })
    }

    fn place(&self) -> PathBuf {
        PathBuf::from("disk")
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_killed_at_any_step_is_continued_by_the_next_without_losing_a_key() {
    let (disk, clock) = (Disk::default(), Clock::manual(START_MILLIS));
    let mut keeper = open(Box::new(disk.clone()), &clock, &Health::new()).unwrap();
    for _ in 0..20 {
        look_after(&mut keeper, &clock, 6 * HOUR).await.unwrap();
    }
    let history = disk.with(|content| content.history.clone());
    assert!(history.len() > 20);
    for (step, text) in history.iter().enumerate() {
        let at_death = journal::read(text, &trust_domain()).unwrap();
        disk.with(|content| content.text = Some(text.clone()));
        let next = open(Box::new(disk.clone()), &clock, &Health::new()).unwrap();
        let known = kids(&next);
        let honest = at_death.0.entries().iter().filter(|entry| entry.horizon > Timestamp::from(clock.now()));
        for entry in honest {
            assert!(known.contains(&entry.kid), "step {step} lost {}", entry.kid);
        }
        assert!(signing(&next).is_some(), "step {step}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_takes_effect_that_was_not_written_down() {
    let (disk, clock, health) = (Disk::default(), Clock::manual(START_MILLIS), Health::new());
    let mut keeper = open(Box::new(disk.clone()), &clock, &health).unwrap();
    let (before, signs) = (kids(&keeper), signing(&keeper));
    disk.with(|content| content.fails = true);
    for _ in 0..10 {
        let looked = look_after(&mut keeper, &clock, 6 * HOUR).await;
        assert!(looked.is_err());
        keeper.tell(looked);
        assert_eq!((kids(&keeper), signing(&keeper)), (before.clone(), signs.clone()));
    }
    assert!(keeper.keys.len() == 2, "keys that were not kept are forgotten");
    let remarks = health.remarks();
    assert!(remarks[0].1.contains("token keys cannot be kept"), "{remarks:?}");
    disk.with(|content| content.fails = false);
    let looked = look_after(&mut keeper, &clock, Duration::from_secs(10)).await;
    keeper.tell(looked);
    assert_ne!(signing(&keeper), signs, "the next key signs, having been known all the time");
    assert_eq!((health.remarks(), health.reasons()), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_written_at_first_is_no_reason_not_to_start() {
    let (disk, clock, health) = (Disk::default(), Clock::manual(START_MILLIS), Health::new());
    disk.with(|content| content.fails = true);
    let mut keeper = open(Box::new(disk.clone()), &clock, &health).unwrap();
    assert!(signing(&keeper).is_none() && kids(&keeper).is_empty());
    disk.with(|content| content.fails = false);
    look_after(&mut keeper, &clock, LOOK_INTERVAL).await.unwrap();
    assert!(signing(&keeper).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_cannot_be_used_is_a_reason_and_stays_as_it_is() {
    let (dir, clock) = (temp_dir(), Clock::manual(START_MILLIS));
    let path = dir.path().join("jwt-keys.json");
    std::fs::write(&path, "{}").unwrap();
    let opened = open(Box::new(StateDir::new(dir.path())), &clock, &Health::new());
    assert!(matches!(opened.err(), Some(KeysError::Journal { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), b"{}");
}

#[tokio::test(start_paused = true)]
async fn of_two_processes_one_changes_keys_and_the_other_follows_and_takes_over() {
    let (dir, clock) = (temp_dir(), Clock::manual(START_MILLIS));
    let mut leader = in_dir(dir.path(), &clock);
    let mut follower = in_dir(dir.path(), &clock);
    assert!(leader.led && !follower.led);
    for _ in 0..8 {
        look_after(&mut leader, &clock, 6 * HOUR).await.unwrap();
        follower.look().unwrap();
        assert_eq!((kids(&follower), signing(&follower)), (kids(&leader), signing(&leader)));
    }
    let last = kids(&leader);
    drop(leader);
    look_after(&mut follower, &clock, LOOK_INTERVAL).await.unwrap();
    assert!(follower.led);
    assert!(last.iter().filter(|kid| kids(&follower).contains(kid)).count() >= 2);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_leads_no_more_follows_what_the_new_leader_keeps() {
    let (disk, clock) = (Disk::default(), Clock::manual(START_MILLIS));
    let mut one = open(Box::new(disk.clone()), &clock, &Health::new()).unwrap();
    disk.with(|content| content.is_led_elsewhere = true);
    let elsewhere = in_dir(temp_dir().path(), &clock);
    let text = journal::write(&elsewhere.schedule, &elsewhere.keys, &trust_domain());
    disk.with(|content| content.text = Some(text.to_vec()));
    one.look().unwrap();
    assert_eq!(kids(&one), kids(&elsewhere));
    disk.with(|content| content.is_led_elsewhere = false);
    one.look().unwrap();
    assert_eq!(kids(&one), kids(&elsewhere), "it begins from what is kept");
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_process_left_half_written_is_removed() {
    let (dir, clock) = (temp_dir(), Clock::manual(START_MILLIS));
    let leftover = dir.path().join(".jwt-keys.json.0123456789abcdef.tmp");
    std::fs::write(&leftover, "half").unwrap();
    in_dir(dir.path(), &clock);
    assert!(!leftover.exists());
}

#[tokio::test(start_paused = true)]
async fn turned_off_keys_go_with_their_last_token_and_the_number_of_the_set_never_falls() {
    let (dir, clock) = (temp_dir(), Clock::manual(START_MILLIS));
    let off = Policy { mints: false, ..POLICY };
    let start = |policy| {
        let store = Box::new(StateDir::new(dir.path()));
        open_by(policy, store, &clock, &Health::new()).unwrap()
    };
    let number = |keeper: &Keeper| keeper.ring().borrow().version;
    assert_eq!(number(&start(off)), 0, "where nothing was ever minted nothing is counted");
    assert!(!dir.path().join("jwt-keys.json").exists());

    let mut last = 0;
    for _ in 0..3 {
        let minting = start(POLICY);
        let (signs, minted) = (signing(&minting).unwrap(), number(&minting));
        assert!(minted > last);
        drop(minting);

        let mut leaving = start(off);
        assert_eq!(kids(&leaving), [signs], "its tokens are verified on, and no other key is to come");
        assert!(number(&leaving) > minted);
        // Tokens of thirty seconds, under a horizon that was written down for an hour, by a clock that may be behind.
        for _ in 0..30 {
            look_after(&mut leaving, &clock, Duration::from_secs(300)).await.unwrap();
        }
        assert!(kids(&leaving).is_empty());
        last = number(&leaving);
        assert!(last > minted);
        drop(leaving);
        assert_eq!(number(&start(off)), last, "also over a restart");
    }
}
