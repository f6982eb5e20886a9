//! A new root signs only once it stands wherever roots are published: what is in the way is said, and once it is gone the
//! change goes on.

use signet_kube_standin::{ApiServer, Effect, Seen};

use crate::kubernetes::{cluster, setup, token};
use crate::lab::{Lab, eventually};
use crate::rotation::{becomes, did, listed};
use crate::watcher::Watcher;

/// What generation 2 waits for.
async fn waits_for(lab: &Lab) -> String {
    let overview = listed(lab).await;
    let generation = overview["generations"].as_array().unwrap().iter().find(|found| found["id"] == 2).unwrap();
    generation["waits_for"].as_str().unwrap_or_default().to_owned()
}

/// A change of keys that every agent has acknowledged, in a cluster that refuses writes for which `is_refused` holds.
async fn changing(cluster: &ApiServer, is_refused: fn(&Seen) -> bool) -> (Lab, Watcher) {
    let lab = setup(cluster).with("authority.rotation.min_wait", "'0s'").start().await;
    lab.wait_ready().await;
    let mut agent = Watcher::with_token(&lab, Some(&token(cluster)), 0).await.unwrap();
    let bundle = agent.next().await.generation;
    agent.acknowledge(bundle).await;
    eventually("the first root stands everywhere", async || {
        lab.metric("signet_ca_roots_namespaces{state=\"published\"}").await == 4
            && lab.metric("signet_ca_cluster_trust_bundles{state=\"published\"}").await == 1
    })
    .await;
    cluster.faults().always(Effect::Status(403), is_refused);
    did(&lab, &["prepare"]).await;
    did(&lab, &["activate", "2", "--when-known"]).await;
    let bundle = agent.next().await.generation;
    agent.acknowledge(bundle).await;
    eventually("all agents have it", async || waits_for(&lab).await.contains("1 of 1 watching agents have it")).await;
    (lab, agent)
}

#[tokio::test]
async fn a_namespace_that_cannot_be_written_to_keeps_a_new_root_from_signing_until_it_can() {
    let cluster = cluster().await;
    let is_shop = |seen: &Seen| seen.method == "PATCH" && seen.path.starts_with("/api/v1/namespaces/shop/");
    let (lab, _agent) = changing(&cluster, is_shop).await;
    eventually("one namespace is behind", async || {
        lab.metric("signet_ca_roots_namespaces{state=\"behind\"}").await == 1
            && lab.metric("signet_ca_roots_namespaces{state=\"published\"}").await == 3
            && lab.metric("signet_ca_cluster_trust_bundles{state=\"published\"}").await == 1
    })
    .await;
    eventually("it says why", async || {
        let why = waits_for(&lab).await;
        why.contains("it is not in all namespaces") && !why.contains("cluster trust bundle")
    })
    .await;
    // Looks that could have let it sign.
    for _ in 0..2 {
        becomes(&lab, "1:active 2:published").await;
        tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    }
    becomes(&lab, "1:active 2:published").await;
    cluster.faults().clear();
    becomes(&lab, "1:old 2:active").await;
    lab.stop().await;
}

#[tokio::test]
async fn a_cluster_trust_bundle_that_cannot_be_written_keeps_a_new_root_from_signing_until_it_can() {
    let cluster = cluster().await;
    let is_bundle = |seen: &Seen| seen.method == "PATCH" && seen.path.contains("/clustertrustbundles/");
    let (lab, _agent) = changing(&cluster, is_bundle).await;
    eventually("it says why", async || {
        let why = waits_for(&lab).await;
        why.contains("it is not in the cluster trust bundle") && !why.contains("namespaces")
    })
    .await;
    becomes(&lab, "1:active 2:published").await;
    cluster.faults().clear();
    becomes(&lab, "1:old 2:active").await;
    lab.stop().await;
}
