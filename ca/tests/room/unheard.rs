//! A replica that hears nothing more of the Secret, while everything else works.

use std::time::{Duration, Instant};

use signet_kube_standin::{ApiServer, Effect};

use crate::kubernetes::token;
use crate::lab::{Lab, any_csr, certificates, eventually};
use crate::replicas::{cluster, entry, kept, replica, with_roots};
use crate::rotation::operator;

/// How long it may take until a replica that hears nothing asks, on a machine that is busy.
const UNHEARD_MAX: Duration = Duration::from_secs(60);

async fn start(cluster: &ApiServer) -> Lab {
    let setup = replica(cluster);
    // Where the control socket is.
    std::fs::create_dir_all(setup.path("state")).unwrap();
    let lab = with_roots(setup.start().await, cluster);
    lab.wait_ready().await;
    lab
}

async fn did(lab: &Lab, words: &[&str]) -> bool {
    operator(lab, words).await.status.success()
}

/// The roots that `lab` gives, and who signs.
async fn given(lab: &Lab, cluster: &ApiServer) -> (Vec<String>, Option<Vec<u8>>) {
    let chain = lab.ask(&token(cluster), &any_csr(), 3600).await.unwrap();
    let leaf = certificates(&chain[0]).remove(0);
    (roots(chain.last().unwrap()), leaf.authority_key_id().map(<[u8]>::to_vec))
}

fn roots(pem: &str) -> Vec<String> {
    certificates(pem).iter().map(|root| root.serial().to_string()).collect()
}

fn published(cluster: &ApiServer) -> Vec<String> {
    let map = cluster.objects().get("configmaps", "shop", "istio-ca-root-cert");
    map.map(|map| roots(map["data"]["root-cert.pem"].as_str().unwrap())).unwrap_or_default()
}

#[tokio::test]
async fn who_cannot_watch_the_secret_asks_for_it_and_publishes_nothing_that_is_over() {
    let mut cluster = cluster().await;
    let (one, other) = (start(&cluster).await, start(&cluster).await);
    eventually("the first root is published", async || published(&cluster).len() == 1).await;
    let first = published(&cluster);
    // List and watch of Secrets are refused from now on, as by a Role that was edited; get and patch are not.
    cluster.faults().always(Effect::Status(403), |seen| seen.path.ends_with("/secrets") && seen.method == "GET");
    cluster.stop().await;
    cluster.resume().await;
    let (mut leader, mut follower) = (one, other);
    eventually("one of them leads", async || {
        let prepared = did(&leader, &["prepare"]).await;
        if !prepared {
            std::mem::swap(&mut leader, &mut follower);
        }
        prepared
    })
    .await;
    for words in [&["activate", "2", "--force"][..], &["taint", "1"], &["revoke", "1"]] {
        assert!(did(&leader, words).await, "{words:?}");
    }
    eventually("the new root alone is published", async || {
        let now = published(&cluster);
        now.len() == 1 && now != first
    })
    .await;
    // The test itself believes both roots.
    let both = [follower.roots_pem.as_str(), &entry(&kept(&cluster), "root-cert.pem")].concat();
    (leader.roots_pem, follower.roots_pem) = (both.clone(), both);
    let wanted = given(&leader, &cluster).await;
    in_time("it signs as the leader does", async || given(&follower, &cluster).await == wanted).await;

    // Now nobody can ask either. The leader writes on for as long as it has heard of its own writes.
    assert!(did(&leader, &["prepare"]).await);
    in_time("it knows the third root", async || given(&follower, &cluster).await.0.len() == 2).await;
    assert!(did(&leader, &["activate", "3", "--force"]).await);
    cluster
        .faults()
        .always(Effect::Status(403), |seen| seen.path.ends_with("/secrets/istio-ca-secret") && seen.method == "GET");
    for words in [&["taint", "2"][..], &["revoke", "2"]] {
        assert!(did(&leader, words).await, "{words:?}");
    }
    eventually("the third root alone is published", async || published(&cluster).len() == 1).await;
    let third = published(&cluster);
    in_time("readiness tells", async || follower.get("/healthz/ready").await.1.contains("cannot be reached")).await;
    let holder =
        || cluster.objects().get("leases", "istio-system", "signet-ca").unwrap()["spec"]["holderIdentity"].clone();
    let before = holder();
    leader.stop().await;
    in_time("another one leads", async || holder() != before && holder() != "").await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        assert_eq!(published(&cluster), third, "it leads, and does not know what is in force");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    follower.stop().await;
}

async fn in_time(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < UNHEARD_MAX, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
