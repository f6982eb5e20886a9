//! Following objects through everything that an API server may do.

use std::time::Duration;

use serde_json::json;
use signet_kube_standin::{ApiServer, Effect, Options, namespace, pod, service_account};
use signet_runtime::ShutdownTrigger;
use signet_testkit::TempDir;
use tokio::task::JoinSet;

use super::*;
use crate::kubernetes::api::administrator;
use crate::kubernetes::{ClusterView, Freshness, PodPhase};
use crate::metrics::{KubernetesMetrics, Metrics};

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
    metrics: KubernetesMetrics,
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
        Self::start_with(server().await, PACE).await
    }

    async fn start_with(server: ApiServer, pace: Pace) -> Self {
        let bench = Self::start_unsynced(server, pace).await;
        bench.until("the pod is known", |view| view.pod("shop", "web-1").is_some()).await;
        bench
    }

    async fn start_unsynced(server: ApiServer, pace: Pace) -> Self {
        Self::start_within(server, pace, DEADLINE).await
    }

    async fn start_within(server: ApiServer, pace: Pace, deadline: Duration) -> Self {
        let (client, dir) = administrator(&server, deadline).await;
        let metrics = Metrics::new().kubernetes().clone();
        let (view, watches) = watch_views(&client, "main", &Clock::system(), pace, &metrics);
        let (trigger, shutdown) = Shutdown::new();
        let mut running = JoinSet::new();
        running.spawn(watches.run(shutdown));
        Self { server, view, metrics, _dir: dir, _trigger: trigger, _running: running }
    }

    async fn until(&self, what: &str, holds: impl Fn(&ClusterView) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(15);
        while !holds(&self.view) {
            assert!(Instant::now() < deadline, "waited in vain until {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn restarts(&self, reason: &'static str) -> u64 {
        self.metrics.watch("main", "pods").restarts(reason)
    }

    /// Makes a pod, and waits until the view has it.
    async fn sees_pod(&self, name: &str) {
        self.server.objects().create(&pod("shop", name, "web", "node-1"));
        self.until(name, |view| view.pod("shop", name).is_some()).await;
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
async fn a_list_of_many_pages_is_taken_in_whole() {
    let server = server().await;
    for n in 0..(2 * PAGE_OBJECTS + 10) {
        server.objects().create(&pod("shop", &format!("many-{n}"), "web", "node-1"));
    }
    // Time enough, as a page that takes too long makes the next ones smaller.
    let bench = Bench::start_within(server, PACE, Duration::from_secs(10)).await;
    bench.until("all are known", |view| view.counts().pods > 1).await;
    assert_eq!(bench.view.counts().pods, usize::try_from(2 * PAGE_OBJECTS + 11).unwrap());
    let pages = bench.server.count(|seen| seen.path == "/api/v1/pods" && !seen.is_watch);
    assert_eq!(pages, 3);
}

#[tokio::test]
async fn objects_too_large_for_a_page_together_are_listed_in_smaller_ones() {
    let server = server().await;
    let padding = "x".repeat(1024 * 1024);
    for n in 0..20 {
        let mut large = pod("shop", &format!("large-{n}"), "web", "node-1");
        large["metadata"]["annotations"] = json!({ "padding": padding });
        server.objects().create(&large);
    }
    let bench = Bench::start_within(server, PACE, Duration::from_secs(10)).await;
    bench.until("all are known", |view| view.counts().pods == 21).await;
    bench.sees_pod("web-2").await;
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
    let mut bench = Bench::start_unsynced(server, PACE).await;
    tokio::time::sleep(DEADLINE).await;
    assert_eq!(bench.view.freshness(Timestamp::from_unix_secs(0), Duration::MAX), Freshness::Unsynced);
    bench.server.resume().await;
    bench.until("the pod is known", |view| view.pod("shop", "web-1").is_some()).await;
}

#[tokio::test]
async fn a_place_that_the_server_forgot_is_left_for_a_new_list() {
    for by_status in [false, true] {
        let mut bench = Bench::start().await;
        bench.server.say_gone_by_status(by_status);
        bench.server.stop().await;
        bench.server.objects().kill_pod("shop", "web-1");
        bench.server.compact();
        bench.server.resume().await;
        bench.until("the pod is gone", |view| view.pod("shop", "web-1").is_none()).await;
        bench.sees_pod("web-2").await;
        assert_eq!(bench.restarts("gone"), 1, "by status: {by_status}");
    }
}

#[tokio::test]
async fn a_server_that_was_set_back_is_noticed_though_it_says_nothing() {
    let server = server().await;
    let backup = server.revision();
    let mut bench = Bench::start_with(server, PACE).await;
    for name in ["lost-1", "lost-2", "lost-3"] {
        bench.sees_pod(name).await;
    }
    bench.server.roll_back(backup).await;
    bench.until("the lost pods are gone", |view| view.counts().pods == 1).await;
    bench.sees_pod("web-2").await;
    assert_eq!(bench.restarts("silent"), 1);
}

#[tokio::test]
async fn nothing_is_missed_when_connections_break_anywhere() {
    let mut bench = Bench::start().await;
    for n in 0..4 {
        // In the midst of a line, so that it has to come again.
        let cut = 300 * (n + 1);
        bench.server.faults().times(1, Effect::CutAfter(cut), |seen| seen.is_watch && seen.path.ends_with("/pods"));
        bench.server.disconnect().await;
        bench.sees_pod(&format!("cut-{n}")).await;
    }
    assert_eq!(bench.view.counts().pods, 5);
}

#[tokio::test]
async fn refusals_are_survived() {
    let mut bench = Bench::start().await;
    let is_pods = |seen: &signet_kube_standin::Seen| seen.path == "/api/v1/pods";
    for effect in [
        Effect::Status(403),
        Effect::Status(401),
        Effect::Status(500),
        Effect::Status(503),
        Effect::TooMany(0),
        Effect::Silence,
        Effect::Body("{\"type\":\"NONSENSE\"}\n".to_owned()),
        Effect::Body("<html>".to_owned()),
        Effect::Body("{\"type\":\"ERROR\",\"object\":{\"code\":500,\"reason\":\"InternalError\"}}\n".to_owned()),
    ] {
        let name = format!("after-{}", bench.view.counts().pods);
        bench.server.faults().times(3, effect.clone(), is_pods);
        bench.server.disconnect().await;
        bench.sees_pod(&name).await;
    }
}

#[tokio::test]
async fn a_wish_to_be_left_alone_is_heeded() {
    let mut bench = Bench::start().await;
    bench.server.faults().times(1, Effect::TooMany(2), |seen| seen.path == "/api/v1/pods");
    bench.server.disconnect().await;
    let began = Instant::now();
    bench.sees_pod("late").await;
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_connection_that_falls_silent_is_given_up() {
    let is_watch = |seen: &signet_kube_standin::Seen| seen.is_watch && seen.path == "/api/v1/pods";
    for effect in [Effect::Silence, Effect::StallAfter(0), Effect::StallAfter(2000)] {
        let mut bench = Bench::start().await;
        bench.server.faults().times(1, effect, is_watch);
        bench.server.disconnect().await;
        bench.sees_pod("web-2").await;
        bench.sees_pod("web-3").await;
    }
}

#[tokio::test]
async fn everything_is_listed_again_now_and_then() {
    let pace = Pace { list_again: Duration::from_millis(500), ..PACE };
    let bench = Bench::start_with(server().await, pace).await;
    bench.until("a list without a reason", |_| bench.restarts("routine") > 0).await;
    bench.sees_pod("web-2").await;
}
