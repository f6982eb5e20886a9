//! Following objects through everything that an API server may do.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use signet_kube_standin::{ApiServer, Effect, Options, namespace, pod, service_account};
use signet_runtime::ShutdownTrigger;
use signet_testkit::TempDir;
use tokio::task::JoinSet;

use super::*;
use crate::administrator::administrator;

/// Quick, so that no test waits for what takes minutes.
const PACE: Pace = Pace {
    watch: Duration::from_secs(2),
    silence_max: Duration::from_secs(1),
    list_again: Duration::from_secs(3600),
    retry_first: Duration::from_millis(20),
    retry_max: Duration::from_millis(100),
};

const DEADLINE: Duration = Duration::from_millis(500);

/// The names of the pods, and what was told. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
struct View(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    pods: HashSet<String>,
    restarts: HashMap<&'static str, u64>,
}

impl View {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, pod: &str) -> bool {
        self.lock().pods.contains(pod)
    }
}

impl Watched for View {
    type Object = Value;
    type Kept = String;

    fn collection(&self) -> Collection {
        Collection::all("api/v1", "pods")
    }

    fn version<'a>(&self, pod: &'a Value) -> &'a str {
        pod["metadata"]["resourceVersion"].as_str().unwrap_or_default()
    }

    fn keep(&self, pod: Value) -> String {
        pod["metadata"]["name"].as_str().unwrap_or_default().to_owned()
    }

    fn replace(&mut self, all: Vec<String>, _: SystemTime) {
        self.lock().pods = all.into_iter().collect();
    }

    fn apply(&mut self, pod: String) {
        self.lock().pods.insert(pod);
    }

    fn delete(&mut self, pod: String) {
        self.lock().pods.remove(&pod);
    }

    fn heard(&mut self, _: SystemTime) {}

    fn count(&self) -> usize {
        self.lock().pods.len()
    }
}

impl WatchTold for View {
    fn kind(&self) -> &'static str {
        "pods"
    }

    fn listed(&self, _: usize) {}

    fn counted(&self, _: usize) {}

    fn heard(&self, _: SystemTime) {}

    fn restarted(&self, reason: &'static str) {
        *self.lock().restarts.entry(reason).or_default() += 1;
    }
}

/// A server with a pod, and a view that is kept.
struct Bench {
    server: ApiServer,
    view: View,
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
        let bench = Self::start_within(server, pace, DEADLINE).await;
        bench.until("the pod is known", |view| view.has("web-1")).await;
        bench
    }

    async fn start_within(server: ApiServer, pace: Pace, deadline: Duration) -> Self {
        let (client, dir) = administrator(&server, deadline).await;
        let view = View::default();
        let follower = Follower::new(client, view.clone(), Clock::system(), pace, view.clone());
        let (trigger, shutdown) = Shutdown::new();
        let mut running = JoinSet::new();
        running.spawn(follower.run(shutdown));
        Self { server, view, _dir: dir, _trigger: trigger, _running: running }
    }

    async fn until(&self, what: &str, holds: impl Fn(&View) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(15);
        while !holds(&self.view) {
            assert!(Instant::now() < deadline, "waited in vain until {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn restarts(&self, reason: &'static str) -> u64 {
        self.view.lock().restarts.get(reason).copied().unwrap_or_default()
    }

    /// Makes a pod, and waits until the view has it.
    async fn sees_pod(&self, name: &str) {
        self.server.objects().create(&pod("shop", name, "web", "node-1"));
        self.until(name, |view| view.has(name)).await;
    }
}

#[tokio::test]
async fn a_list_of_many_pages_is_taken_in_whole() {
    let server = server().await;
    for n in 0..(2 * PAGE_OBJECTS + 10) {
        server.objects().create(&pod("shop", &format!("many-{n}"), "web", "node-1"));
    }
    // Time enough, as a page that takes too long makes the next ones smaller.
    let bench = Bench::start_within(server, PACE, Duration::from_secs(10)).await;
    bench.until("all are known", |view| view.count() > 1).await;
    assert_eq!(bench.view.count(), usize::try_from(2 * PAGE_OBJECTS + 11).unwrap());
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
    bench.until("all are known", |view| view.count() == 21).await;
    bench.sees_pod("web-2").await;
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
        bench.until("the pod is gone", |view| !view.has("web-1")).await;
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
    bench.until("the lost pods are gone", |view| view.count() == 1).await;
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
    assert_eq!(bench.view.count(), 5);
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
        let name = format!("after-{}", bench.view.count());
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
