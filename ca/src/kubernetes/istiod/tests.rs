//! istiod's Secret: made, kept, healed, left alone.

use serde_json::{Value, json};
use signet_identity::{PrivateKey, TrustBundle};
use signet_kube_standin::{ApiServer, Effect, Options, namespace, secret};
use signet_runtime::{Health, ShutdownTrigger};
use signet_testkit::TempDir;
use tokio::task::JoinSet;

use super::*;
use crate::kubernetes::administrator::administrator;
use crate::metrics::Metrics;

const SECRET: &str = "istiod-tls";
const NAMESPACE: &str = "istio-system";
const HOUR: Duration = Duration::from_secs(3600);

struct Bench {
    server: ApiServer,
    dir: TempDir,
    clock: Clock,
    authority: watch::Sender<Arc<Authority>>,
    metrics: IstiodMetrics,
    health: Health,
    _trigger: ShutdownTrigger,
    _running: JoinSet<Result<(), Infallible>>,
}

fn authority(dir: &TempDir, name: &str, clock: &Clock) -> Arc<Authority> {
    let now = Timestamp::from(clock.now());
    let ttl = 1000 * HOUR;
    Arc::new(Authority::self_signed(&dir.path().join(name), &"cluster.local".parse().unwrap(), ttl, now).unwrap())
}

fn names() -> Vec<AltName> {
    ["istiod.istio-system.svc", "istiod-canary.istio-system.svc"].map(|name| AltName::Dns(name.to_owned())).to_vec()
}

async fn server() -> ApiServer {
    let server = ApiServer::start(Options { tls: false, ..Options::default() }).await;
    server.objects().create(&namespace(NAMESPACE));
    server
}

impl Bench {
    async fn start() -> Self {
        Self::start_with(server().await, &[], Leadership::alone()).await
    }

    async fn start_with(server: ApiServer, take_over_from: &[&str], leadership: Leadership) -> Self {
        let (client, dir) = administrator(&server, Duration::from_millis(500)).await;
        let clock = Clock::manual(Timestamp::from(Clock::system().now()).unix_millis());
        let (authority, current) = watch::channel(authority(&dir, "first", &clock));
        let take_over_from = take_over_from.iter().map(|name| (*name).to_owned()).collect();
        let policy = Policy { manager: "signet-ca".to_owned(), take_over_from, share: false };
        let (health, metrics) = (Health::new(), Metrics::new().kubernetes().istiod());
        let config = IstiodTlsConfig {
            namespace: NAMESPACE.to_owned(),
            secret: SECRET.to_owned(),
            names: names(),
            ttl: 24 * HOUR,
            policy,
        };
        let task = IstiodTls {
            client,
            config,
            authority: current,
            leadership,
            clock: clock.clone(),
            metrics: metrics.clone(),
            health: health.part("istiod"),
            was_ours: false,
            complaint: None,
        };
        let (trigger, shutdown) = Shutdown::new();
        let mut running = JoinSet::new();
        running.spawn(task.run(shutdown));
        Self { server, dir, clock, authority, metrics, health, _trigger: trigger, _running: running }
    }

    fn found(&self) -> Option<Value> {
        self.server.objects().get("secrets", NAMESPACE, SECRET)
    }

    fn edit(&self, change: impl FnOnce(&mut Value)) {
        self.server.objects().edit("secrets", NAMESPACE, SECRET, change);
    }

    /// The leaf, if what stands there is as istiod needs it.
    fn leaf(&self) -> Option<Certificate> {
        let secret: Secret = serde_json::from_value(self.found()?).unwrap();
        let entries = Snapshot::from(secret).entries;
        let authority = self.authority.borrow().clone();
        let now = Timestamp::from(self.clock.now());
        let leaf = Certificate::list_from_pem(entries.get("tls.crt")?, 1 << 20).ok()?.into_iter().next()?;
        let roots = TrustBundle::from_pem("cluster.local".parse().unwrap(), entries.get("ca.crt")?).ok()?;
        let key = PrivateKey::from_pem(entries.get("tls.key")?).ok()?;
        let is_trusted = authority.roots().roots() == roots.roots()
            && leaf.issuer_der() == authority.certificate().subject_der()
            && leaf.authority_key_id() == authority.certificate().subject_key_id();
        (is_trusted && key.public() == leaf.public_key() && leaf.lifetime().contains(now)).then_some(leaf)
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !holds() {
            assert!(Instant::now() < deadline, "waited in vain until {what}: {:?}", self.health.remarks());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn until_good(&self) -> Certificate {
        self.until("the Secret is good", || self.leaf().is_some()).await;
        self.leaf().unwrap()
    }
}

#[tokio::test]
async fn istiod_finds_what_it_needs_and_finds_it_fresh() {
    let bench = Bench::start().await;
    let first = bench.until_good().await;
    assert_eq!(bench.found().unwrap()["type"], "kubernetes.io/tls");
    assert_eq!(first.dns_names(), ["istiod.istio-system.svc", "istiod-canary.istio-system.svc"]);
    assert!(first.uris().is_empty(), "it is nobody's workload identity");
    // Nothing is written while it is good.
    bench.clock.advance(15 * HOUR);
    bench.authority.send_modify(|_| {});
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((bench.leaf(), bench.metrics.writes("written")), (Some(first.clone()), 1));
    bench.clock.advance(2 * HOUR);
    bench.authority.send_modify(|_| {});
    bench.until("it is renewed", || bench.leaf().is_some_and(|leaf| leaf != first)).await;
    // After a change of keys it is by the key that signs.
    bench.authority.send_replace(authority(&bench.dir, "second", &bench.clock));
    bench.until_good().await;
    assert_eq!(bench.health.remarks(), []);
}

#[tokio::test]
async fn what_somebody_changes_or_deletes_is_put_right_and_what_is_not_ours_stays() {
    let bench = Bench::start().await;
    bench.until_good().await;
    bench.edit(|secret| {
        secret["data"]["tls.crt"] = json!("bm9uZQ==");
        secret["data"]["other"] = json!("a2VwdA==");
    });
    bench.until_good().await;
    assert_eq!(bench.found().unwrap()["data"]["other"], "a2VwdA==");
    bench.until("healing is counted", || bench.metrics.writes("healed") == 1).await;
    bench.server.objects().delete("secrets", NAMESPACE, SECRET);
    bench.until_good().await;
}

#[tokio::test]
async fn a_secret_of_another_manager_is_left_alone_unless_that_manager_was_named() {
    for take_over_from in [&[][..], &["cert-manager"]] {
        let server = server().await;
        let theirs = secret(NAMESPACE, SECRET, "Opaque", &[("tls.crt", "theirs"), ("tls.key", "theirs")]);
        server.objects().acting_as("cert-manager").create(&theirs);
        let bench = Bench::start_with(server, take_over_from, Leadership::alone()).await;
        if take_over_from.is_empty() {
            bench.until("it is told", || format!("{:?}", bench.health.remarks()).contains("cert-manager")).await;
            assert_eq!(bench.found().unwrap()["data"]["tls.crt"], "dGhlaXJz");
            assert!(bench.metrics.writes("refused") >= 1);
            // Once they let go, it is kept.
            bench.server.objects().delete("secrets", NAMESPACE, SECRET);
        }
        bench.until_good().await;
        bench.until("it is well", || bench.health.remarks().is_empty()).await;
    }
}

#[tokio::test]
async fn who_does_not_lead_writes_nothing() {
    let (until, receiver) = watch::channel(None);
    let bench = Bench::start_with(server().await, &[], Leadership::of(receiver)).await;
    bench.until("it was looked for", || bench.server.count(|seen| seen.path.ends_with(SECRET)) >= 1).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(bench.found().is_none());
    until.send_replace(Some(Instant::now() + Duration::from_secs(60)));
    bench.until_good().await;
}

#[tokio::test]
async fn an_api_server_that_refuses_is_told_and_tried_again() {
    let server = server().await;
    server.faults().times(1, Effect::Status(403), |seen| seen.method == "PATCH");
    let bench = Bench::start_with(server, &[], Leadership::alone()).await;
    bench.until("it is told", || format!("{:?}", bench.health.remarks()).contains("403")).await;
    bench.until_good().await;
}
