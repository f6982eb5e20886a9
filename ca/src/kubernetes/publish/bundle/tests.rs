//! The bundle, where the API is there, is not, comes and goes, and belongs to others.

use std::sync::Arc;

use signet_identity::Timestamp;
use signet_kube_standin::{ApiServer, Effect, Options, cluster_trust_bundle};
use signet_kubernetes::Pace;
use signet_runtime::{Clock, Health, ShutdownTrigger};
use signet_testkit::{TempDir, TestCa};

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::*;
use crate::kubernetes::Leadership;
use crate::kubernetes::administrator::administrator;
use crate::kubernetes::publish::{Around, BundlePublisher, Policy};
use crate::metrics::{KubernetesMetrics, Metrics};

struct Bench {
    server: ApiServer,
    dir: TempDir,
    authority: watch::Sender<Arc<Authority>>,
    everywhere: watch::Receiver<u64>,
    metrics: KubernetesMetrics,
    _trigger: ShutdownTrigger,
    _running: JoinSet<Result<(), Infallible>>,
}

fn authority(dir: &TempDir, name: &str) -> Arc<Authority> {
    let now = Timestamp::from(Clock::system().now());
    let ttl = Duration::from_secs(86_400);
    Arc::new(Authority::self_signed(&dir.path().join(name), &"cluster.local".parse().unwrap(), ttl, now).unwrap())
}

async fn server(versions: &[&str]) -> ApiServer {
    let bundle_versions = versions.iter().map(|version| (*version).to_owned()).collect();
    ApiServer::start(Options { tls: false, bundle_versions, ..Options::default() }).await
}

fn policy() -> Policy {
    Policy { manager: "signet-ca".to_owned(), take_over_from: vec![], share: false }
}

impl Bench {
    async fn start(server: ApiServer, policy: Policy) -> Self {
        Self::start_with(server, policy, Leadership::alone()).await
    }

    async fn start_with(server: ApiServer, policy: Policy, leadership: Leadership) -> Self {
        let (client, dir) = administrator(&server, Duration::from_millis(500)).await;
        let (authority, roots) = watch::channel(authority(&dir, "first"));
        let (metrics, health, clock) = (Metrics::new().kubernetes().clone(), Health::new(), Clock::system());
        let health = health.part("cluster trust bundle");
        let around = Around { cluster: "main", clock: &clock, pace: Pace::default(), metrics: &metrics, health };
        let publisher = BundlePublisher::new(&client, policy, roots, leadership, around);
        let everywhere = publisher.everywhere();
        let (trigger, shutdown) = Shutdown::new();
        let mut running = JoinSet::new();
        running.spawn(publisher.run(shutdown));
        Self { server, dir, authority, everywhere, metrics, _trigger: trigger, _running: running }
    }

    fn roots(&self) -> String {
        self.authority.borrow().roots_pem().to_owned()
    }

    /// What stands there, by way of `version`.
    fn found(&self, version: &str) -> Option<(String, String)> {
        let path = format!("/apis/certificates.k8s.io/{version}/{PLURAL}/{NAME}");
        let answer = self.server.objects().send("GET", &path, &Value::Null);
        let text = |field: &str| answer.body["spec"][field].as_str().map(str::to_owned);
        text("signerName").zip(text("trustBundle"))
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !holds() {
            assert!(Instant::now() < deadline, "waited in vain until {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn until_published(&self, version: &str) {
        let wanted = Some((SIGNER.to_owned(), self.roots()));
        self.until("the roots are published", || self.found(version) == wanted).await;
    }

    fn writes(&self, result: &'static str) -> u64 {
        self.metrics.publish_bundle().writes(result)
    }
}

#[tokio::test]
async fn the_roots_are_published_in_the_newest_version_that_is_served_and_follow_the_authority() {
    for versions in [&["v1alpha1"][..], &["v1beta1", "v1alpha1"], &["v1", "v1beta1"]] {
        let bench = Bench::start(server(versions).await, policy()).await;
        bench.until_published(versions[0]).await;
        bench.authority.send_replace(authority(&bench.dir, "second"));
        bench.until_published(versions[0]).await;
        let wrote = format!("/apis/certificates.k8s.io/{}/", versions[0]);
        assert_eq!(bench.server.count(|seen| seen.method == "PATCH" && !seen.path.starts_with(&wrote)), 0);
        bench.until("it is told that it stands", || *bench.everywhere.borrow() > 0).await;
    }
}

#[tokio::test]
async fn an_edited_or_deleted_bundle_is_put_right() {
    let bench = Bench::start(server(&["v1beta1"]).await, policy()).await;
    bench.until_published("v1beta1").await;
    let other = TestCa::root("cluster.local").pem();
    bench.server.objects().edit(PLURAL, "", NAME, |bundle| bundle["spec"]["trustBundle"] = json!(other));
    bench.until_published("v1beta1").await;
    bench.until("healing is counted", || bench.writes("healed") == 1).await;
    bench.server.objects().delete(PLURAL, "", NAME);
    bench.until_published("v1beta1").await;
}

#[tokio::test]
async fn a_bundle_of_another_manager_is_left_alone_unless_that_manager_was_named() {
    let theirs = TestCa::root("cluster.local").pem();
    for take_over_from in [vec![], vec!["pilot-discovery".to_owned()]] {
        let server = server(&["v1beta1"]).await;
        let bundle = cluster_trust_bundle(NAME, Some(SIGNER), &theirs);
        server.objects().acting_as("pilot-discovery").create(&bundle);
        let is_named = !take_over_from.is_empty();
        let bench = Bench::start(server, Policy { take_over_from, ..policy() }).await;
        if is_named {
            bench.until_published("v1beta1").await;
        } else {
            bench.until("it is refused", || bench.writes("refused") >= 1).await;
            assert_eq!(bench.found("v1beta1").unwrap().1, theirs);
            assert_eq!(*bench.everywhere.borrow(), 0, "a bundle that does not stand is waited for");
        }
    }
}

#[tokio::test]
async fn control_planes_that_share_keep_each_others_roots() {
    let server = server(&["v1beta1"]).await;
    let theirs = TestCa::root("cluster.local").pem();
    server.objects().acting_as("other-plane").create(&cluster_trust_bundle(NAME, Some(SIGNER), &theirs));
    let bench = Bench::start(server, Policy { share: true, ..policy() }).await;
    let joined = format!("{}{theirs}", bench.roots());
    bench.until("both are there", || bench.found("v1beta1").is_some_and(|(_, pem)| pem == joined)).await;
}

#[tokio::test]
async fn a_cluster_without_the_api_is_left_in_peace_and_keeps_no_gate_closed() {
    let bench = Bench::start(server(&[]).await, policy()).await;
    bench.until("the gate is open", || *bench.everywhere.borrow() > 0).await;
    assert_eq!(bench.server.count(|seen| seen.method != "GET"), 0);
    assert_eq!(bench.server.count(|seen| seen.path.contains(PLURAL)), 0);
}

#[tokio::test]
async fn an_api_server_that_is_away_is_no_api_server_without_the_api() {
    let server = server(&["v1beta1"]).await;
    server.faults().times(3, Effect::Status(503), |seen| seen.path.starts_with("/apis/certificates"));
    let bench = Bench::start(server, policy()).await;
    bench.until("it was asked", || bench.server.count(|seen| seen.path.starts_with("/apis/certificates")) >= 1).await;
    assert_eq!(*bench.everywhere.borrow(), 0);
    bench.until_published("v1beta1").await;
}

#[tokio::test]
async fn who_does_not_lead_writes_nothing_and_sees_what_stands() {
    let server = server(&["v1beta1"]).await;
    let (_until, receiver) = watch::channel(None);
    let bench = Bench::start_with(server, policy(), Leadership::of(receiver)).await;
    bench.until("it was looked for", || bench.server.count(|seen| seen.path.ends_with(NAME)) >= 1).await;
    assert_eq!((bench.server.count(|seen| seen.method == "PATCH"), *bench.everywhere.borrow()), (0, 0));
    bench.server.objects().create(&cluster_trust_bundle(NAME, Some(SIGNER), &bench.roots()));
    bench.until("it is seen", || *bench.everywhere.borrow() > 0).await;
}
