//! When keys are read, in simulated time.

use std::fs;
use std::path::PathBuf;

use signet_runtime::{Health, ShutdownTrigger};
use signet_testkit::{TempDir, TokenIssuer, temp_dir};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A keeper at work on a file, with everything that can be seen of it.
struct Watched {
    dir: TempDir,
    keys: IssuerKeys,
    health: Health,
    metrics: Metrics,
    _trigger: ShutdownTrigger,
    _running: JoinSet<Result<(), Infallible>>,
}

impl Watched {
    async fn start(content: Option<&str>, refresh: Duration) -> Self {
        let (dir, health, metrics) = (temp_dir(), Health::new(), Metrics::new());
        let path = dir.path().join("jwks.json");
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        let source = JwksSource::File(path);
        let (keeper, keys) = KeyKeeper::new(source, refresh, metrics.clone(), Voice::Own(health.part("keys"))).await;
        let (trigger, shutdown) = Shutdown::new();
        let mut running = JoinSet::new();
        running.spawn(keeper.run(shutdown));
        Self { dir, keys, health, metrics, _trigger: trigger, _running: running }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("jwks.json")
    }

    /// How often the file was read.
    fn reads(&self) -> u64 {
        self.metrics.key_refreshes(true) + self.metrics.key_refreshes(false)
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_is_looked_at_every_few_seconds_however_rarely_a_url_would_be() {
    let watched = Watched::start(Some(&TokenIssuer::es256().jwks_json()), 300 * SECOND).await;
    let before = watched.reads();
    sleep(60 * SECOND).await;
    let reads = watched.reads() - before;
    assert!((10..=13).contains(&reads), "{reads}");
}

#[tokio::test(start_paused = true)]
async fn asking_again_and_again_for_an_unknown_key_refreshes_once_in_ten_seconds() {
    let watched = Watched::start(Some(&TokenIssuer::es256().jwks_json()), 5 * SECOND).await;
    let before = watched.reads();
    for _ in 0..600 {
        watched.keys.for_kid(Some("unknown"), None).await.unwrap();
        sleep(SECOND / 10).await;
    }
    // A minute holds twelve looks of its own and six that were asked for.
    let reads = watched.reads() - before;
    assert!((12..=20).contains(&reads), "{reads}");
}

/// What becomes of a token of this age, whose key is not known.
async fn judged(watched: &Watched, age: Duration) -> Result<(), KeysError> {
    watched.keys.for_kid(Some("unknown"), Some(age)).await.map(|_| ())
}

#[tokio::test(start_paused = true)]
async fn soon_after_a_refresh_only_tokens_that_are_older_than_it_are_told_that_their_key_is_not_there() {
    let watched = Watched::start(Some(&TokenIssuer::es256().jwks_json()), 300 * SECOND).await;
    assert_eq!(judged(&watched, Duration::ZERO).await, Ok(()), "the set was read for this one");
    sleep(SECOND).await;
    assert_eq!(judged(&watched, SECOND / 2).await, Err(KeysError::NotRefreshed), "made after that");
    assert_eq!(judged(&watched, 3 * SECOND).await, Ok(()), "made before it");
    let newcomer = TokenIssuer::es256();
    fs::write(watched.path(), newcomer.jwks_json()).unwrap();
    sleep(ASKED_INTERVAL_MIN).await;
    assert!(watched.keys.for_kid(Some(newcomer.kid()), Some(SECOND)).await.unwrap().knows(newcomer.kid()));
}

#[tokio::test(start_paused = true)]
async fn a_known_key_never_waits() {
    let issuer = TokenIssuer::es256();
    let watched = Watched::start(Some(&issuer.jwks_json()), 5 * SECOND).await;
    let before = Instant::now();
    assert!(watched.keys.for_kid(Some(issuer.kid()), None).await.unwrap().knows(issuer.kid()));
    assert!(watched.keys.for_kid(None, None).await.is_ok());
    assert_eq!(Instant::now(), before);
}

#[tokio::test(start_paused = true)]
async fn keys_that_were_never_there_are_undecided_until_they_come() {
    let watched = Watched::start(None, 300 * SECOND).await;
    assert_eq!(watched.keys.for_kid(Some("any"), None).await.unwrap_err(), KeysError::NeverObtained);
    assert_eq!(watched.health.reasons(), [("keys", "issuer's keys were never obtained".to_owned())]);
    fs::write(watched.path(), TokenIssuer::es256().jwks_json()).unwrap();
    sleep(40 * SECOND).await;
    assert!(watched.keys.for_kid(None, None).await.is_ok());
    assert_eq!(watched.health.reasons(), []);
}

#[tokio::test(start_paused = true)]
async fn failures_are_retried_sooner_than_the_interval_and_leave_the_keys_alone() {
    let issuer = TokenIssuer::es256();
    let watched = Watched::start(Some(&issuer.jwks_json()), 5 * SECOND).await;
    fs::write(watched.path(), "half a key s").unwrap();
    sleep(6 * SECOND).await;
    assert!(watched.metrics.key_refreshes(false) >= 1);
    assert!(watched.keys.for_kid(Some(issuer.kid()), None).await.is_ok());
    assert_eq!(watched.keys.for_kid(Some("unknown"), None).await.unwrap_err(), KeysError::NotRefreshed);
    assert_eq!(watched.health.reasons(), []);
}
