//! Events about the replica's pod, in a cluster that grants exactly what the manifest asks for.

use std::time::Duration;

use serde_json::Value;
use signet_kube_standin::{ApiServer, Effect, pod};
use tokio::time::{Instant, sleep};

use crate::kubernetes::{cluster, setup, token};
use crate::lab::{Lab, any_csr};
use crate::rotation::operator;

const POD: &str = "signet-ca-0";

/// A server in its own pod.
async fn start(cluster: &ApiServer) -> Lab {
    start_in(cluster, POD).await
}

async fn start_in(cluster: &ApiServer, name: &str) -> Lab {
    cluster.objects().create(&pod("istio-system", name, "signet-ca", "node-1"));
    let lab = setup(cluster).with("kubernetes.replica", &format!("{name:?}")).start().await;
    lab.wait_ready().await;
    lab
}

/// The first event with `reason`, once there is one.
async fn event(cluster: &ApiServer, reason: &str) -> Value {
    // Two looks of ten seconds, and some.
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let events =
            cluster.objects().send("GET", "/apis/events.k8s.io/v1/namespaces/istio-system/events", &Value::Null);
        let items = events.body["items"].as_array().cloned().unwrap_or_default();
        if let Some(found) = items.into_iter().find(|event| event["reason"] == reason) {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for `{reason}`");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn steps_of_rotation_and_bursts_of_refusals_are_events_about_the_replicas_pod() {
    let cluster = cluster().await;
    let lab = start(&cluster).await;
    let uid = cluster.objects().get("pods", "istio-system", POD).unwrap()["metadata"]["uid"].clone();
    assert_eq!(operator(&lab, &["prepare"]).await.status.code(), Some(0));
    let told = event(&cluster, "RootPublished").await;
    assert!(told["note"].as_str().unwrap().starts_with("the root of generation 2 is published"), "{told}");
    assert_eq!((&told["type"], &told["action"]), (&"Normal".into(), &"Rotating".into()));
    assert_eq!((&told["regarding"]["uid"], &told["regarding"]["name"]), (&uid, &POD.into()));
    assert_eq!((&told["reportingController"], &told["reportingInstance"]), (&"signet-ca".into(), &POD.into()));

    for _ in 0..120 {
        lab.ask(&lab.setup.issuer.token("shop", "web", lab.now(), crate::lab::HOUR), "no request", 60)
            .await
            .unwrap_err();
    }
    let told = event(&cluster, "RefusalBurst").await;
    assert_eq!(told["type"], "Warning");
    assert!(told["note"].as_str().unwrap().contains("requests were refused within a minute"), "{told}");
    assert!(lab.metric("signet_ca_events_total{result=\"sent\"}").await >= 2);
    lab.stop().await;
}

#[tokio::test]
async fn a_pod_with_the_longest_name_has_events_too() {
    let cluster = cluster().await;
    let name = format!("signet-ca-{}", "x".repeat(243));
    let lab = start_in(&cluster, &name).await;
    assert_eq!(operator(&lab, &["prepare"]).await.status.code(), Some(0));
    let told = event(&cluster, "RootPublished").await;
    assert_eq!(told["regarding"]["name"], name.as_str());
    assert_eq!(told["reportingInstance"].as_str().map(str::len), Some(128));
    lab.stop().await;
}

#[tokio::test]
async fn a_server_whose_events_are_refused_works_on_and_counts_them() {
    let cluster = cluster().await;
    cluster.faults().always(Effect::Status(403), |seen| seen.path.ends_with("/events"));
    let lab = start(&cluster).await;
    assert_eq!(operator(&lab, &["prepare"]).await.status.code(), Some(0));
    crate::lab::eventually("a refused event is counted", async || {
        lab.metric("signet_ca_events_total{result=\"failed\"}").await > 0
    })
    .await;
    lab.ask(&token(&cluster), &any_csr(), 60).await.unwrap();
    assert_eq!(lab.get("/healthz/ready").await.0, 200);
    lab.stop().await;
}
