//! What an API server tells of pods and service accounts is what a view knows.

use std::time::Duration;

use serde_json::json;
use signet_kube_standin::{ApiServer, Options, namespace, pod, service_account};
use signet_runtime::ShutdownTrigger;
use signet_testkit::TempDir;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::*;
use crate::kubernetes::administrator::administrator;
use crate::kubernetes::{ClusterView, Freshness, PodPhase};
use crate::metrics::Metrics;

/// Quick, so that no test waits for what takes minutes.
const PACE: Pace = Pace {
    watch: Duration::from_secs(2),
    silence_max: Duration::from_secs(1),
    list_again: Duration::from_secs(3600),
    retry_first: Duration::from_millis(20),
    retry_max: Duration::from_millis(100),
};

const DEADLINE: Duration = Duration::from_millis(500);

/// A server with a pod, and a view that is kept.
struct Bench {
    server: ApiServer,
    view: ClusterView,
    _dir: TempDir,
    _trigger: ShutdownTrigger,
    _running: JoinSet<Result<(), Infallible>>,
}

async fn server() -> ApiServer {
    let options = Options { tls: false, bookmark_every: Duration::from_millis(200), ..Options::default() };
    let server = ApiServer::start(options).await;
    let objects = server.objects();
    objects.create(&namespace("shop"));
    objects.create(&service_account("shop", "web"));
    objects.create(&pod("shop", "web-1", "web", "node-1"));
    server
}

impl Bench {
    async fn start() -> Self {
        let bench = Self::start_unsynced(server().await).await;
        bench.until("the pod is known", |view| view.pod("shop", "web-1").is_some()).await;
        bench
    }

    async fn start_unsynced(server: ApiServer) -> Self {
        let (client, dir) = administrator(&server, DEADLINE).await;
        let metrics = Metrics::new().kubernetes().clone();
        let (view, watches) = watch_views(&client, "main", &Clock::system(), PACE, &metrics);
        let (trigger, shutdown) = Shutdown::new();
        let mut running = JoinSet::new();
        running.spawn(watches.run(shutdown));
        Self { server, view, _dir: dir, _trigger: trigger, _running: running }
    }

    async fn until(&self, what: &str, holds: impl Fn(&ClusterView) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(15);
        while !holds(&self.view) {
            assert!(Instant::now() < deadline, "waited in vain until {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn what_happens_to_objects_is_known() {
    let bench = Bench::start().await;
    let objects = bench.server.objects();
    let seen = bench.view.pod("shop", "web-1").unwrap();
    let made = objects.get("pods", "shop", "web-1").unwrap();
    assert_eq!(made["metadata"]["uid"], *seen.uid);
    assert_eq!((&*seen.service_account, seen.node.as_deref()), ("web", Some("node-1")));
    assert_eq!((seen.phase, seen.deleted_at, seen.enrolled), (PodPhase::Running, None, false));

    objects.edit("pods", "shop", "web-1", |pod| {
        pod["metadata"]["annotations"] = json!({ "ambient.istio.io/redirection": "enabled" });
        pod["status"]["phase"] = json!("Succeeded");
    });
    bench.until("it is over", |view| view.pod("shop", "web-1").unwrap().phase == PodPhase::Succeeded).await;
    assert!(bench.view.pod("shop", "web-1").unwrap().enrolled);
    objects.delete("pods", "shop", "web-1");
    bench.until("it is being deleted", |view| view.pod("shop", "web-1").unwrap().deleted_at.is_some()).await;
    objects.kill_pod("shop", "web-1");
    bench.until("it is gone", |view| view.pod("shop", "web-1").is_none()).await;
    objects.delete("serviceaccounts", "shop", "web");
    bench.until("the account is gone", |view| view.account("shop", "web").is_none()).await;
}

#[tokio::test]
async fn an_outage_keeps_what_is_known_and_tells_its_age() {
    let mut bench = Bench::start().await;
    bench.server.stop().await;
    bench.server.objects().kill_pod("shop", "web-1");
    let heard = bench.view.heard_at().unwrap();
    let stale = |view: &ClusterView, secs: u64| {
        let now = heard.plus(Duration::from_secs(secs));
        view.freshness(now, Duration::from_secs(60))
    };
    tokio::time::sleep(DEADLINE).await;
    assert!(bench.view.pod("shop", "web-1").is_some(), "nobody could say that it is gone");
    assert_eq!(bench.view.heard_at(), Some(heard));
    assert_eq!(stale(&bench.view, 59), Freshness::Fresh);
    assert_eq!(stale(&bench.view, 61), Freshness::Stale { age: Duration::from_secs(61) });

    bench.server.resume().await;
    bench.until("what happened meanwhile is known", |view| view.pod("shop", "web-1").is_none()).await;
    bench.until("the server is heard", |view| view.heard_at() > Some(heard)).await;
}

#[tokio::test]
async fn a_view_that_was_never_filled_says_so() {
    let mut server = server().await;
    server.stop().await;
    let mut bench = Bench::start_unsynced(server).await;
    tokio::time::sleep(DEADLINE).await;
    assert_eq!(bench.view.freshness(Timestamp::from_unix_secs(0), Duration::MAX), Freshness::Unsynced);
    bench.server.resume().await;
    bench.until("the pod is known", |view| view.pod("shop", "web-1").is_some()).await;
}
