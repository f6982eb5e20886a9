//! A Secret on a real connection: who wins a race, what a stale version is worth, and what is heard.

use std::time::{Duration, Instant};

use signet_kube_standin::{ApiServer, Effect, Objects, Options, config_map, namespace};
use signet_runtime::ShutdownTrigger;
use signet_testkit::TempDir;
use tokio::task::{JoinSet, spawn_blocking};
use zeroize::Zeroizing;

use super::*;
use crate::kubernetes::administrator::administrator;
use crate::metrics::Metrics;

const NAME: &str = "istio-ca-secret";

struct Bench {
    server: ApiServer,
    _dir: TempDir,
    client: ApiClient,
}

impl Bench {
    async fn start() -> Self {
        let server = ApiServer::start(Options { tls: false, ..Options::default() }).await;
        server.objects().create(&namespace("istio-system"));
        let (client, dir) = administrator(&server, Duration::from_millis(500)).await;
        Self { server, _dir: dir, client }
    }

    fn share(&self) -> (Arc<dyn SharedObject>, SecretWatch) {
        let place = Place {
            namespace: "istio-system".to_owned(),
            name: NAME.to_owned(),
            kind: "istio.io/ca-root",
            mark: None,
            witness: Some("istio-ca-root-cert".to_owned()),
        };
        let metrics = Metrics::new().kubernetes().watch("main", "authority secret");
        share(&self.client, place, Leadership::alone(), &Clock::system(), metrics)
    }

    fn objects(&self) -> Objects {
        self.server.objects()
    }
}

fn entries(texts: &[(&str, &str)]) -> Entries {
    texts.iter().map(|(name, text)| ((*name).to_owned(), Zeroizing::new(text.as_bytes().to_vec()))).collect()
}

/// Calls wait, so they run where that is no harm.
async fn call<T: Send + 'static>(
    shared: &Arc<dyn SharedObject>,
    call: impl FnOnce(&dyn SharedObject) -> T + Send + 'static,
) -> T {
    let shared = shared.clone();
    spawn_blocking(move || call(&*shared)).await.unwrap()
}

#[tokio::test]
async fn of_many_that_create_it_one_does_and_the_others_are_told() {
    let bench = Bench::start().await;
    let mut racing = JoinSet::new();
    for number in 0..8 {
        let (shared, _) = bench.share();
        racing.spawn(async move {
            call(&shared, move |shared| shared.create(&entries(&[("a", &number.to_string())]))).await
        });
    }
    let ended = racing.join_all().await;
    let made: Vec<_> = ended.iter().filter_map(|made| made.as_ref().ok()).collect();
    assert_eq!(made.len(), 1);
    let lost = ended.iter().filter(|made| matches!(made, Err(SharedError::Conflict { .. })));
    assert_eq!(lost.count(), 7);
    let (shared, _) = bench.share();
    let read = call(&shared, |shared| shared.read()).await.unwrap().unwrap();
    assert_eq!(&read, made[0]);
    assert_eq!(bench.objects().get("secrets", "istio-system", NAME).unwrap()["type"], "istio.io/ca-root");
}

#[tokio::test]
async fn a_change_leaves_what_is_not_ours_and_an_older_version_changes_nothing() {
    let bench = Bench::start().await;
    let (shared, _) = bench.share();
    assert_eq!(call(&shared, |shared| shared.read()).await, Ok(None));
    let first = call(&shared, |shared| shared.create(&entries(&[("a", "1"), ("b", "2")]))).await.unwrap();
    bench.objects().edit("secrets", "istio-system", NAME, |secret| {
        secret["metadata"]["labels"] = serde_json::json!({ "theirs": "kept" });
    });
    let changes = Changes::from([("a".to_owned(), None), ("b".to_owned(), Some(Zeroizing::new(b"3".to_vec())))]);
    let (old, stale) = (first.version.clone(), changes.clone());
    let refused = call(&shared, move |shared| shared.change(&old, &stale)).await;
    assert!(matches!(refused, Err(SharedError::Conflict { .. })), "{refused:?}");
    let now = call(&shared, |shared| shared.read()).await.unwrap().unwrap();
    assert_eq!(now.entries, first.entries);
    let changed = call(&shared, move |shared| shared.change(&now.version, &changes)).await.unwrap();
    assert_eq!(changed.entries, entries(&[("b", "3")]));
    let secret = bench.objects().get("secrets", "istio-system", NAME).unwrap();
    assert_eq!(secret["metadata"]["labels"]["theirs"], "kept");
}

#[tokio::test]
async fn roots_beside_it_witness_that_there_was_one() {
    let bench = Bench::start().await;
    let (shared, _) = bench.share();
    let witness = || async { call(&shared, |shared| shared.witness()).await.unwrap() };
    assert_eq!(witness().await, None);
    bench.objects().create(&config_map("istio-system", "istio-ca-root-cert", "root-cert.pem", "\n"));
    assert_eq!(witness().await, None);
    bench.objects().edit("configmaps", "istio-system", "istio-ca-root-cert", |map| {
        map["data"]["root-cert.pem"] = serde_json::json!("a root");
    });
    let told = witness().await.unwrap();
    assert_eq!(told.name, "configmap istio-system/istio-ca-root-cert");
    assert_eq!(told.text, "a root");
}

#[tokio::test]
async fn an_answer_that_is_none_is_told_as_such_and_quotes_nothing() {
    let bench = Bench::start().await;
    let (shared, _) = bench.share();
    let first = call(&shared, |shared| shared.create(&entries(&[("key", "hidden")]))).await.unwrap();
    for effect in [
        Effect::Status(500),
        Effect::Status(403),
        Effect::TooMany(0),
        Effect::Silence,
        Effect::CutAfter(20),
        Effect::Body(r#"{"data":{"key":"hidden!"}}"#.to_owned()),
        Effect::Body("{}".to_owned()),
        Effect::Body(r#"{"metadata":{"name":"istio-ca-secret"},"data":{}}"#.to_owned()),
        Effect::Body(r#"{"metadata":{"name":"another","resourceVersion":"7"},"data":{}}"#.to_owned()),
    ] {
        bench.server.faults().times(1, effect.clone(), |seen| seen.method == "PATCH");
        let version = call(&shared, |shared| shared.read()).await.unwrap().unwrap().version;
        let changes = Changes::from([("key".to_owned(), Some(Zeroizing::new(b"hidden too".to_vec())))]);
        let error = call(&shared, move |shared| shared.change(&version, &changes)).await.unwrap_err();
        assert!(matches!(error, SharedError::Unreachable { .. }), "{effect:?}: {error:?}");
        assert!(!error.to_string().contains("hidden"), "{error}");
    }
    drop(first);
}

struct Heard {
    shared: Arc<dyn SharedObject>,
    _trigger: ShutdownTrigger,
    _running: JoinSet<Result<(), Infallible>>,
}

impl Heard {
    fn start(bench: &Bench) -> Self {
        let (shared, watch) = bench.share();
        let (trigger, shutdown) = Shutdown::new();
        let mut running = JoinSet::new();
        running.spawn(watch.run(shutdown));
        Self { shared, _trigger: trigger, _running: running }
    }

    async fn until(&self, what: &str, holds: impl Fn(&Seen) -> bool) {
        let began = Instant::now();
        while !holds(&self.shared.seen()) {
            assert!(began.elapsed() < Duration::from_secs(10), "waited in vain until {what}: {:?}", self.shared.seen());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn whoever_follows_hears_of_every_change_and_of_the_end() {
    let bench = Bench::start().await;
    let heard = Heard::start(&bench);
    heard.until("it is missed", |seen| matches!(seen, Seen::Absent)).await;
    let (writer, _) = bench.share();
    let made = call(&writer, |shared| shared.create(&entries(&[("a", "1")]))).await.unwrap();
    heard.until("it is seen", |seen| matches!(seen, Seen::There(seen) if **seen == made)).await;
    heard.shared.bell().notified().await;
    // Another Secret is nobody's concern.
    bench.objects().create(&signet_kube_standin::secret("istio-system", "other", "Opaque", &[]));
    let changes = Changes::from([("a".to_owned(), Some(Zeroizing::new(b"2".to_vec())))]);
    let changed = call(&writer, move |shared| shared.change(&made.version, &changes)).await.unwrap();
    heard.until("the change is seen", |seen| matches!(seen, Seen::There(seen) if **seen == changed)).await;
    bench.objects().delete("secrets", "istio-system", NAME);
    heard.until("its end is seen", |seen| matches!(seen, Seen::Absent)).await;
}
