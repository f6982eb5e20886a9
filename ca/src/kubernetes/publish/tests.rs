//! Roots in every namespace, whatever happens to them.

use std::time::Duration;

use serde_json::{Value, json};
use signet_identity::Timestamp;
use signet_kube_standin::{ApiServer, Effect, Objects, Options, config_map, namespace};
use signet_runtime::{Health, ShutdownTrigger};
use signet_testkit::{TempDir, TestCa};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::*;
use crate::kubernetes::administrator::administrator;
use crate::metrics::Metrics;

const NAME: &str = "istio-ca-root-cert";
const PACE: Pace = Pace {
    watch: Duration::from_secs(2),
    silence_max: Duration::from_secs(1),
    list_again: Duration::from_secs(3600),
    retry_first: Duration::from_millis(20),
    retry_max: Duration::from_millis(100),
};

/// Namespaces of a fresh server that get the roots.
const OWN: usize = 2;

/// An authority with a root of its own.
fn authority(dir: &TempDir, name: &str) -> Arc<Authority> {
    let now = Timestamp::from(Clock::system().now());
    let trust_domain = "cluster.local".parse().unwrap();
    let ttl = Duration::from_secs(86_400);
    Arc::new(Authority::self_signed(&dir.path().join(name), &trust_domain, ttl, now).unwrap())
}

struct Bench {
    server: ApiServer,
    dir: TempDir,
    authority: watch::Sender<Arc<Authority>>,
    spread: watch::Receiver<Spread>,
    metrics: KubernetesMetrics,
    health: Health,
    _trigger: ShutdownTrigger,
    _running: JoinSet<Result<(), Infallible>>,
}

async fn server() -> ApiServer {
    let options = Options { tls: false, bookmark_every: Duration::from_millis(200), ..Options::default() };
    ApiServer::start(options).await
}

fn config(policy: Policy) -> ConfigMapsConfig {
    let excluded = ["kube-public", "kube-node-lease"].map(str::to_owned).to_vec();
    ConfigMapsConfig { name: NAME.to_owned(), excluded, selector: None, policy }
}

fn policy() -> Policy {
    Policy { manager: "signet-ca".to_owned(), take_over_from: vec![], share: false }
}

impl Bench {
    async fn start() -> Self {
        Self::start_with(server().await, config(policy()), Leadership::alone()).await
    }

    async fn start_with(server: ApiServer, config: ConfigMapsConfig, leadership: Leadership) -> Self {
        let (client, dir) = administrator(&server, Duration::from_millis(500)).await;
        let (metrics, health) = (Metrics::new().kubernetes().clone(), Health::new());
        let (authority, current) = watch::channel(authority(&dir, "first"));
        let clock = Clock::system();
        let around = Around {
            cluster: "main",
            clock: &clock,
            pace: PACE,
            metrics: &metrics,
            health: health.part("published roots"),
        };
        let (publisher, spread) = Publisher::new(&client, config, current, leadership, around);
        let (trigger, shutdown) = Shutdown::new();
        let mut running = JoinSet::new();
        running.spawn(publisher.run(shutdown));
        Self { server, dir, authority, spread, metrics, health, _trigger: trigger, _running: running }
    }

    fn objects(&self) -> Objects {
        self.server.objects()
    }

    fn roots(&self) -> String {
        self.authority.borrow().roots_pem().to_owned()
    }

    fn map(&self, namespace: &str) -> Option<Value> {
        self.objects().get("configmaps", namespace, NAME)
    }

    fn published(&self, namespace: &str) -> Option<String> {
        self.map(namespace)?["data"]["root-cert.pem"].as_str().map(str::to_owned)
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(15);
        while !holds() {
            assert!(Instant::now() < deadline, "waited in vain until {what}: {:?}", self.spread.borrow());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn until_published(&self, namespace: &str) {
        let roots = self.roots();
        self.until(namespace, || self.published(namespace).as_ref() == Some(&roots)).await;
    }

    async fn until_spread(&self, total: usize, behind: usize, refused: usize) {
        let wanted = Spread { total, behind, refused };
        self.until(&format!("{wanted:?}"), || *self.spread.borrow() == wanted).await;
    }
}

#[tokio::test]
async fn every_enabled_namespace_gets_the_roots_as_istio_expects_them() {
    let bench = Bench::start().await;
    bench.until_spread(OWN, 0, 0).await;
    let map = bench.map("kube-system").unwrap();
    assert_eq!(map["data"], json!({ "root-cert.pem": bench.roots() }));
    assert_eq!(map["metadata"]["labels"], json!({ "istio.io/config": "true" }));
    assert_eq!(map["metadata"]["managedFields"][0]["manager"], "signet-ca");
    assert_eq!(map["metadata"]["managedFields"][0]["operation"], "Apply");
    assert!(bench.map("default").is_some());
    assert!(bench.map("kube-public").is_none() && bench.map("kube-node-lease").is_none());

    bench.objects().create(&namespace("shop"));
    bench.until_published("shop").await;
    bench.until_spread(OWN + 1, 0, 0).await;
}

#[tokio::test]
async fn new_roots_reach_every_namespace() {
    let bench = Bench::start().await;
    for n in 0..30 {
        bench.objects().create(&namespace(&format!("shop-{n}")));
    }
    bench.until_spread(OWN + 30, 0, 0).await;
    for name in ["second", "third"] {
        bench.authority.send_replace(authority(&bench.dir, name));
        bench.until_published("shop-29").await;
        bench.until_spread(OWN + 30, 0, 0).await;
    }
    let roots = bench.roots();
    for n in 0..30 {
        assert_eq!(bench.published(&format!("shop-{n}")).as_ref(), Some(&roots));
    }
}

#[tokio::test]
async fn what_somebody_changes_is_put_right_and_what_is_not_ours_stays() {
    let bench = Bench::start().await;
    bench.until_spread(OWN, 0, 0).await;
    let objects = bench.objects();
    objects.edit("configmaps", "default", NAME, |map| {
        map["data"]["root-cert.pem"] = json!("edited");
        map["data"]["other"] = json!("kept");
    });
    bench.until_published("default").await;
    assert_eq!(bench.map("default").unwrap()["data"]["other"], "kept");
    objects.edit("configmaps", "default", NAME, |map| map["metadata"]["labels"] = json!({}));
    bench
        .until("the label is back", || bench.map("default").unwrap()["metadata"]["labels"]["istio.io/config"] == "true")
        .await;
    objects.edit("configmaps", "default", NAME, |map| *map = config_map("default", NAME, "root-cert.pem", "replaced"));
    bench.until_published("default").await;
    objects.delete("configmaps", "default", NAME);
    bench.until_published("default").await;
    assert!(bench.metrics.publish().writes("healed") >= 2);
}

#[tokio::test]
async fn a_map_that_belongs_to_another_is_left_alone_and_told() {
    let server = server().await;
    let theirs = config_map("default", NAME, "root-cert.pem", "theirs");
    server.objects().acting_as("pilot-discovery").create(&theirs);
    let bench = Bench::start_with(server, config(policy()), Leadership::alone()).await;
    bench.until_spread(OWN, 1, 1).await;
    assert_eq!(bench.published("default").as_deref(), Some("theirs"));
    assert!(bench.metrics.publish().writes("refused") >= 1);
    bench.objects().delete("configmaps", "default", NAME);
    bench.until_published("default").await;
    bench.until_spread(OWN, 0, 0).await;
}

#[tokio::test]
async fn a_map_of_a_manager_that_was_named_is_taken_over() {
    let server = server().await;
    let theirs = config_map("default", NAME, "root-cert.pem", "theirs");
    server.objects().acting_as("pilot-discovery").create(&theirs);
    let named = Policy { take_over_from: vec!["pilot-discovery".to_owned()], ..policy() };
    let bench = Bench::start_with(server, config(named), Leadership::alone()).await;
    bench.until_published("default").await;
    bench.until_spread(OWN, 0, 0).await;
}

#[tokio::test]
async fn the_same_roots_in_anothers_map_are_shared_without_a_word() {
    let server = server().await;
    let bench = Bench::start_with(server, config(policy()), Leadership::alone()).await;
    bench.until_spread(OWN, 0, 0).await;
    bench.objects().create(&namespace("shop"));
    bench.until_published("shop").await;
    bench.objects().delete("configmaps", "shop", NAME);
    let mut theirs = config_map("shop", NAME, "root-cert.pem", &bench.roots());
    theirs["metadata"]["labels"] = json!({ "istio.io/config": "true" });
    // Either of us may be first.
    bench.objects().acting_as("pilot-discovery").send("POST", "/api/v1/namespaces/shop/configmaps", &theirs);
    bench.until_spread(OWN + 1, 0, 0).await;
    assert_eq!(bench.metrics.publish().writes("refused"), 0);
}

#[tokio::test]
async fn control_planes_that_share_keep_each_others_roots() {
    let server = server().await;
    let theirs = TestCa::root("cluster.local").pem();
    server.objects().acting_as("other-plane").create(&config_map("default", NAME, "root-cert.pem", &theirs));
    let shared = Policy { share: true, ..policy() };
    let bench = Bench::start_with(server, config(shared), Leadership::alone()).await;
    let first = bench.roots();
    bench.until("both are there", || bench.published("default") == Some(format!("{first}{theirs}"))).await;
    bench.authority.send_replace(authority(&bench.dir, "second"));
    let second = bench.roots();
    bench.until("ours moved on", || bench.published("default") == Some(format!("{second}{theirs}"))).await;
    let newer = TestCa::root("cluster.local").pem();
    bench.objects().acting_as("other-plane").edit("configmaps", "default", NAME, |map| {
        map["data"]["root-cert.pem"] = json!(format!("{theirs}{newer}"));
    });
    bench.until("all are there", || bench.published("default") == Some(format!("{second}{theirs}{newer}"))).await;
}

#[tokio::test]
async fn who_fights_is_left_alone_after_a_few_rounds() {
    let bench = Bench::start().await;
    bench.until_spread(OWN, 0, 0).await;
    let objects = bench.objects().acting_as("pilot-discovery");
    for round in 0..6 {
        bench.until_published("default").await;
        objects
            .edit("configmaps", "default", NAME, |map| map["data"]["root-cert.pem"] = json!(format!("theirs {round}")));
    }
    // The sixth edit is put right once more, and with it the fight is noticed.
    bench.until_published("default").await;
    objects.edit("configmaps", "default", NAME, |map| map["data"]["root-cert.pem"] = json!("last"));
    bench.until_spread(OWN, 1, 1).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(bench.published("default").as_deref(), Some("last"));
}

#[tokio::test]
async fn an_outage_during_a_change_of_roots_leaves_nobody_behind() {
    let mut bench = Bench::start().await;
    for n in 0..10 {
        bench.objects().create(&namespace(&format!("shop-{n}")));
    }
    bench.until_spread(OWN + 10, 0, 0).await;
    bench.server.stop().await;
    bench.authority.send_replace(authority(&bench.dir, "second"));
    bench.until_spread(OWN + 10, OWN + 10, 0).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    bench.server.resume().await;
    for effect in
        [Effect::Status(500), Effect::TooMany(0), Effect::CutAfter(20), Effect::Status(403), Effect::Status(404)]
    {
        bench.server.faults().times(4, effect, |seen| seen.method == "PATCH");
    }
    bench.until_spread(OWN + 10, 0, 0).await;
    let roots = bench.roots();
    assert!((0..10).all(|n| bench.published(&format!("shop-{n}")).as_ref() == Some(&roots)));
}

#[tokio::test]
async fn a_namespace_that_ends_is_left_alone() {
    let bench = Bench::start().await;
    bench.objects().create(&namespace("shop"));
    bench.until_published("shop").await;
    bench.objects().delete("namespaces", "", "shop");
    bench.objects().delete("configmaps", "shop", NAME);
    bench.until_spread(OWN, 0, 0).await;
    bench.authority.send_replace(authority(&bench.dir, "second"));
    bench.until_published("default").await;
    bench.objects().finish_namespace("shop");
    bench.objects().create(&namespace("shop"));
    bench.until_published("shop").await;
    bench.until_spread(OWN + 1, 0, 0).await;
}

#[tokio::test]
async fn only_namespaces_that_a_selector_names_get_the_roots() {
    let selected = ConfigMapsConfig { selector: Some("mesh=on,tier notin (x)".to_owned()), ..config(policy()) };
    let bench = Bench::start_with(server().await, selected, Leadership::alone()).await;
    let mut shop = namespace("shop");
    shop["metadata"]["labels"] = json!({ "mesh": "on" });
    bench.objects().create(&shop);
    bench.until_published("shop").await;
    bench.until_spread(1, 0, 0).await;
    assert!(bench.map("default").is_none());
    bench.objects().edit("namespaces", "", "default", |space| space["metadata"]["labels"]["mesh"] = json!("on"));
    bench.until_published("default").await;
}

#[tokio::test]
async fn who_does_not_lead_writes_nothing_and_takes_over_when_it_does() {
    let (until, receiver) = watch::channel(None);
    let bench = Bench::start_with(server().await, config(policy()), Leadership::of(receiver)).await;
    bench.until_spread(OWN, OWN, 0).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(bench.map("default").is_none());
    until.send_replace(Some(Instant::now() + Duration::from_secs(60)));
    bench.until_spread(OWN, 0, 0).await;
    until.send_replace(None);
    tokio::time::sleep(Duration::from_millis(100)).await;
    bench.objects().delete("configmaps", "default", NAME);
    bench.until_spread(OWN, 1, 0).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(bench.map("default").is_none());
}

#[tokio::test]
async fn what_stands_already_is_not_written_again() {
    let bench = Bench::start().await;
    bench.until_spread(OWN, 0, 0).await;
    let version = |map: &Value| map["metadata"]["resourceVersion"].clone();
    let before = version(&bench.map("default").unwrap());
    bench.authority.send_modify(|_| {});
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(version(&bench.map("default").unwrap()), before);
    assert_eq!(bench.server.count(|seen| seen.method == "PATCH"), OWN);
    assert_eq!(bench.health.reasons(), []);
}
