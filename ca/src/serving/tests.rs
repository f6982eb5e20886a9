//! When the serving certificate is replaced, in simulated time.

use signet_identity::{Certificate, TrustDomain};
use signet_runtime::ShutdownTrigger;
use signet_testkit::{TempDir, temp_dir};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

struct Watched {
    certificate: Arc<ServingCertificate>,
    clock: Clock,
    authority: watch::Sender<Arc<Authority>>,
    _dir: TempDir,
    _trigger: ShutdownTrigger,
    _running: JoinSet<Result<(), Infallible>>,
}

fn new_authority(root_ttl: Duration, clock: &Clock) -> (Arc<Authority>, TempDir) {
    let (dir, trust_domain): (_, TrustDomain) = (temp_dir(), "cluster.local".parse().unwrap());
    let now = Timestamp::from(clock.now());
    (Arc::new(Authority::self_signed(dir.path(), &trust_domain, root_ttl, now).unwrap()), dir)
}

impl Watched {
    async fn start(ttl: Duration, root_ttl: Duration) -> Self {
        let clock = Clock::manual(1_700_000_000_000);
        let (authority, dir) = new_authority(root_ttl, &clock);
        let (authority, current) = watch::channel(authority);
        let names = vec![AltName::Dns("localhost".to_owned())];
        let keeper = ServingKeeper::new(names, ttl, current, clock.clone()).await.unwrap();
        let certificate = keeper.certificate();
        let (trigger, shutdown) = Shutdown::new();
        let mut running = JoinSet::new();
        running.spawn(keeper.run(shutdown));
        Self { certificate, clock, authority, _dir: dir, _trigger: trigger, _running: running }
    }

    fn served(&self) -> Certificate {
        let key = self.certificate.current.load_full().unwrap();
        Certificate::from_der(&key.cert[0]).unwrap()
    }

    /// Lets the clock run, and the keeper look at it.
    async fn pass(&self, span: Duration) {
        self.clock.advance(span);
        sleep(LOOK_INTERVAL_MAX + RENEWAL_INTERVAL_MIN).await;
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_renewed_when_two_thirds_of_its_life_have_passed() {
    let watched = Watched::start(HOUR, 100 * HOUR).await;
    let first = watched.served();
    watched.pass(HOUR * 2 / 3 - Duration::from_secs(1)).await;
    assert_eq!(watched.served(), first);
    watched.pass(Duration::from_secs(1)).await;
    let second = watched.served();
    assert_ne!(second.serial(), first.serial());
    assert_ne!(second.public_key(), first.public_key(), "each certificate has a key of its own");
    assert_eq!(second.lifetime().remaining(Timestamp::from(watched.clock.now())), HOUR);
}

#[tokio::test(start_paused = true)]
async fn it_is_replaced_at_once_when_the_authority_changes() {
    let watched = Watched::start(HOUR, 100 * HOUR).await;
    let (next, _dir) = new_authority(100 * HOUR, &watched.clock);
    watched.authority.send_replace(next.clone());
    sleep(Duration::from_millis(1)).await;
    assert_eq!(watched.served().issuer_der(), next.certificate().subject_der());
}

#[tokio::test(start_paused = true)]
async fn it_is_renewed_when_the_clock_is_set_to_where_it_is_not_valid() {
    let watched = Watched::start(HOUR, 100 * HOUR).await;
    watched.pass(10 * HOUR).await;
    let first = watched.served();
    watched.clock.set(1_700_000_000_000);
    sleep(LOOK_INTERVAL_MAX).await;
    let second = watched.served();
    assert_ne!(first, second);
    assert!(second.lifetime().contains(Timestamp::from(watched.clock.now())));
}

#[tokio::test(start_paused = true)]
async fn the_old_one_stays_when_no_new_one_can_be_had() {
    let watched = Watched::start(HOUR, HOUR).await;
    watched.pass(2 * HOUR).await;
    let served = watched.served();
    watched.pass(HOUR).await;
    assert_eq!(watched.served(), served);
    let (next, _dir) = new_authority(HOUR, &watched.clock);
    watched.authority.send_replace(next);
    sleep(Duration::from_millis(1)).await;
    assert_ne!(watched.served(), served);
}
