//! Roots that the CA tells on their own: they reach every stream at once and are acknowledged; identities under an
//! authority that is no longer trusted are replaced early; a CA that cannot tell them is no harm.

use std::time::Duration;

use signet_identity::hex;
use signet_testkit::TestCa;
use tokio::time::Instant;
use tonic::Status;

use crate::support::{FakeCa, Pod, RunningAgent, eventually, identity, names, roots};

const WATCHED: &str = "signet_agent_roots_watched";

async fn watching(ca: &FakeCa, pod: &Pod) -> RunningAgent {
    ca.roots.tell(ca.bundle(1, &[]));
    let agent = RunningAgent::start(pod, ca, &[]).await;
    agent.reaches(WATCHED, 1.0).await;
    agent
}

#[tokio::test]
async fn new_roots_reach_every_stream_within_a_second_and_are_acknowledged() {
    let ca = FakeCa::start().await;
    let pod = Pod::new(&ca);
    let agent = watching(&ca, &pod).await;
    let (mut sotw, mut delta) = (agent.sds().await.sotw(), agent.sds().await.delta());
    sotw.subscribe(&["ROOTCA"]).await;
    delta.change(&["ROOTCA", "default"], &[]).await;
    assert_eq!(roots(&sotw.accept(&["ROOTCA"]).await.resources).roots().len(), 1);
    assert_eq!(delta.next().await.unwrap().resources.len(), 2);
    delta.answer(None).await;

    let told_at = Instant::now();
    ca.roots.tell(ca.bundle(2, &[&TestCa::root("cluster.local")]));
    assert_eq!(roots(&sotw.accept(&["ROOTCA"]).await.resources).roots().len(), 2);
    let pushed = delta.next().await.unwrap();
    assert!(told_at.elapsed() < Duration::from_secs(1), "{:?}", told_at.elapsed());
    assert_eq!(pushed.resources.len(), 1, "the identity is not pushed again");
    eventually("both generations are acknowledged", || async { ca.roots.acknowledged() == [0, 1, 2] }).await;
    assert_eq!(agent.metric("signet_agent_roots_generation").await, 2.0);
    assert_eq!(agent.metric("signet_agent_trust_bundle_certs").await, 2.0);
    assert_eq!(ca.calls().len(), 1, "no certificate is asked for");
    agent.stop().await;
}

#[tokio::test]
async fn a_certificate_from_a_replica_that_lags_behind_takes_no_root_away() {
    let ca = FakeCa::start().await;
    ca.grants(Duration::from_secs(3));
    let pod = Pod::new(&ca);
    let agent = watching(&ca, &pod).await;
    let mut stream = agent.sds().await.sotw();
    stream.subscribe(&["ROOTCA"]).await;
    stream.accept(&["ROOTCA"]).await;
    ca.roots.tell(ca.bundle(2, &[&TestCa::root("cluster.local")]));
    assert_eq!(roots(&stream.accept(&["ROOTCA"]).await.resources).roots().len(), 2);
    let renewed = "signet_agent_renewal_attempts_total{result=\"success\"";
    agent.reaches(renewed, agent.metric(renewed).await + 2.0).await;
    stream.is_quiet().await;
    agent.stop().await;
}

#[tokio::test]
async fn an_identity_under_a_tainted_authority_is_replaced_early() {
    let ca = FakeCa::start().await;
    let pod = Pod::new(&ca);
    let agent = watching(&ca, &pod).await;
    let mut stream = agent.sds().await.sotw();
    stream.subscribe(&["default"]).await;
    let held = identity(&stream.accept(&["default"]).await.resources);
    let old = ca.root();
    ca.replace_root();
    let mut told = ca.bundle(2, &[&old]);
    told.tainted_key_ids = vec![hex(old.bundle().roots()[0].subject_key_id().unwrap())];
    told.renewal_spread_seconds = 1;
    ca.roots.tell(told);
    let next = identity(&stream.accept(&["default"]).await.resources);
    assert_ne!(next.leaf().authority_key_id(), held.leaf().authority_key_id());
    assert_eq!(agent.metric("signet_agent_renewals_hastened_total").await, 1.0);
    assert_eq!(ca.calls().len(), 2);
    agent.stop().await;
}

#[tokio::test]
async fn a_successor_that_is_condemned_as_well_is_not_asked_for_in_a_loop() {
    let ca = FakeCa::start().await;
    let pod = Pod::new(&ca);
    let agent = watching(&ca, &pod).await;
    let mut told = ca.bundle(2, &[]);
    told.tainted_key_ids = vec![hex(ca.root().bundle().roots()[0].subject_key_id().unwrap())];
    ca.roots.tell(told);
    agent.reaches("signet_agent_renewals_hastened_total", 2.0).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(ca.calls().len(), 2, "the next one is a minute away");
    agent.stop().await;
}

#[tokio::test]
async fn an_identity_whose_root_is_gone_is_replaced_within_seconds() {
    let ca = FakeCa::start().await;
    let pod = Pod::new(&ca);
    let agent = watching(&ca, &pod).await;
    let mut stream = agent.sds().await.sotw();
    stream.subscribe(&["default"]).await;
    stream.accept(&["default"]).await;
    ca.replace_root();
    ca.roots.tell(ca.bundle(2, &[]));
    let next = identity(&stream.accept(&["default"]).await.resources);
    assert!(ca.root().bundle().verify(next.chain(), crate::support::now()).is_ok());
    agent.stop().await;
}

#[tokio::test]
async fn roots_that_are_no_good_are_refused_and_told_and_those_in_force_stay() {
    let ca = FakeCa::start().await;
    let pod = Pod::new(&ca);
    let agent = watching(&ca, &pod).await;
    let mut stream = agent.sds().await.sotw();
    stream.subscribe(&["ROOTCA"]).await;
    stream.accept(&["ROOTCA"]).await;
    let mut empty = ca.bundle(2, &[]);
    empty.roots_pem.clear();
    let mut foreign = ca.bundle(3, &[]);
    foreign.trust_domain = "other.test".to_owned();
    for (count, bad) in [(1.0, empty), (2.0, foreign)] {
        ca.roots.tell(bad);
        agent.reaches("signet_agent_roots_refused_total", count).await;
    }
    stream.is_quiet().await;
    assert!(agent.get("/healthz/ready").await.contains("newest roots were refused"));
    assert!(agent.ready().await, "what is served is good");
    ca.roots.tell(ca.bundle(4, &[&TestCa::root("cluster.local")]));
    assert_eq!(roots(&stream.accept(&["ROOTCA"]).await.resources).roots().len(), 2);
    eventually("only what was taken is acknowledged", || async { ca.roots.acknowledged() == [0, 1, 4] }).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_watch_that_breaks_is_opened_again_and_older_roots_wait() {
    let mut ca = FakeCa::start().await;
    let pod = Pod::new(&ca);
    let agent = watching(&ca, &pod).await;
    let mut stream = agent.sds().await.sotw();
    stream.subscribe(&["ROOTCA"]).await;
    stream.accept(&["ROOTCA"]).await;
    ca.roots.tell(ca.bundle(5, &[&TestCa::root("cluster.local")]));
    stream.accept(&["ROOTCA"]).await;
    // Connections outlive their server here, so the watch has to be ended on its own.
    ca.roots.refuse(Status::unavailable("stopping"));
    ca.vanish().await;
    eventually("the loss is told", || async { agent.get("/healthz/ready").await.contains("cannot be reached") }).await;
    assert!(agent.ready().await);
    ca.roots.tell(ca.bundle(4, &[]));
    ca.resume();
    agent.reaches(WATCHED, 1.0).await;
    stream.is_quiet().await;
    assert_eq!(agent.metric("signet_agent_roots_generation").await, 5.0, "a replica that lags behind is not believed");
    ca.roots.tell(ca.bundle(6, &[]));
    assert_eq!(roots(&stream.accept(&["ROOTCA"]).await.resources).roots().len(), 1);
    agent.stop().await;
}

#[tokio::test]
async fn a_watch_that_is_refused_harms_nothing_else() {
    let ca = FakeCa::start().await;
    ca.roots.refuse(Status::resource_exhausted("too many watchers"));
    let pod = Pod::new(&ca);
    let agent = RunningAgent::start(&pod, &ca, &[]).await;
    eventually("it is told", || async { agent.get("/healthz/ready").await.contains("too many watchers") }).await;
    assert!(agent.ready().await);
    ca.roots.tell(ca.bundle(1, &[]));
    agent.reaches(WATCHED, 1.0).await;
    assert!(!agent.get("/healthz/ready").await.contains("too many watchers"));
    agent.stop().await;
}

#[tokio::test]
async fn with_a_ca_that_cannot_tell_its_roots_they_come_with_certificates() {
    let ca = FakeCa::start().await;
    ca.grants(Duration::from_secs(3));
    let pod = Pod::new(&ca);
    let agent = RunningAgent::start(&pod, &ca, &[]).await;
    let mut stream = agent.sds().await.sotw();
    stream.subscribe(&["ROOTCA"]).await;
    stream.accept(&["ROOTCA"]).await;
    eventually("it was tried", || async { ca.roots.opened() == 1 }).await;
    ca.replace_root();
    assert_eq!(names(&stream.accept(&["ROOTCA"]).await.resources), ["ROOTCA"]);
    assert_eq!(ca.roots.opened(), 1, "it is not asked again soon");
    assert!(!agent.get("/healthz/ready").await.contains("roots:"), "nothing is wrong");
    agent.stop().await;
}
