//! The CA goes, comes back, changes its root; the agent keeps what works.

use std::time::Duration;

use crate::support::{FakeCa, Pod, RunningAgent, eventually, identity, names, roots, swap_volume};

#[tokio::test]
async fn a_stream_that_comes_before_the_first_identity_waits_for_it() {
    let mut ca = FakeCa::start().await;
    ca.vanish().await;
    let pod = Pod::new(&ca);
    let agent = RunningAgent::start(&pod, &ca, &[]).await;
    let mut stream = agent.sds().await.sotw();
    stream.subscribe(&["default", "ROOTCA"]).await;
    agent.reaches("istio_agent_num_failed_outgoing_requests", 3.0).await;
    assert!(!agent.ready().await);
    assert_eq!(agent.sds().await.fetch(&["default"]).await.unwrap_err().code(), tonic::Code::Unavailable);
    ca.resume();
    assert_eq!(names(&stream.next().await.unwrap().resources), ["ROOTCA", "default"]);
    assert!(agent.ready().await);
    agent.stop().await;
}

#[tokio::test]
async fn while_the_ca_is_away_old_streams_stay_and_new_ones_get_what_there_is() {
    let mut ca = FakeCa::start().await;
    ca.grants(Duration::from_secs(10));
    let pod = Pod::new(&ca);
    let agent =
        RunningAgent::start(&pod, &ca, &[("identity.renew_ratio", "0.9"), ("identity.renew_jitter", "0")]).await;
    let mut old = agent.sds().await.sotw();
    old.subscribe(&["default"]).await;
    let held = identity(&old.accept(&["default"]).await.resources);
    ca.vanish().await;
    agent.reaches("signet_agent_renewal_attempts_total{result=\"failure\",code=\"ca_unreachable\"}", 1.0).await;
    assert!(agent.metric("signet_agent_renewal_state{state=\"overdue\"}").await > 0.0);
    assert!(agent.ready().await, "what is served is valid");

    let mut new = agent.sds().await.sotw();
    new.subscribe(&["default", "ROOTCA"]).await;
    let message = new.accept(&["default", "ROOTCA"]).await;
    assert_eq!(identity(&message.resources).leaf().serial(), held.leaf().serial());
    roots(&message.resources);

    ca.resume();
    let next = identity(&old.next().await.unwrap().resources);
    assert_ne!(next.leaf().serial(), held.leaf().serial());
    agent.stop().await;
}

#[tokio::test]
async fn an_identity_that_expired_is_no_longer_handed_out_but_the_roots_are() {
    let mut ca = FakeCa::start().await;
    ca.grants(Duration::from_secs(3));
    let pod = Pod::new(&ca);
    let agent = RunningAgent::start(&pod, &ca, &[]).await;
    let mut old = agent.sds().await.sotw();
    old.subscribe(&["default"]).await;
    old.accept(&["default"]).await;
    ca.vanish().await;
    eventually("the identity expires", || async { !agent.ready().await }).await;
    assert!(agent.metric("istio_agent_cert_expiry_seconds").await <= 0.0);
    assert!(agent.metric("signet_agent_renewal_state{state=\"absent\"}").await > 0.0);
    let mut new = agent.sds().await.sotw();
    new.subscribe(&["default", "ROOTCA"]).await;
    assert_eq!(names(&new.accept(&["default", "ROOTCA"]).await.resources), ["ROOTCA"]);
    old.is_quiet().await;
    ca.grants(Duration::from_secs(3600));
    ca.resume();
    assert_eq!(names(&old.next().await.unwrap().resources), ["default"]);
    assert_eq!(names(&new.next().await.unwrap().resources), ["default"]);
    assert!(agent.ready().await);
    agent.stop().await;
}

#[tokio::test]
async fn a_root_file_swapped_by_the_kubelet_is_in_force_at_the_next_call() {
    let mut ca = FakeCa::start().await;
    ca.grants(Duration::from_secs(3));
    let pod = Pod::new(&ca);
    let volume = pod.root_file().parent().unwrap().to_owned();
    swap_volume(&volume, "root-cert.pem", &ca.tls_root_pem(), 1);
    let agent = RunningAgent::start(&pod, &ca, &[]).await;
    for generation in 2..=4 {
        agent.reaches("signet_agent_renewal_attempts_total{result=\"success\"", f64::from(generation) - 1.0).await;
        ca.replace_tls_root().await;
        swap_volume(&volume, "root-cert.pem", &ca.tls_root_pem(), generation);
    }
    agent.reaches("signet_agent_renewal_attempts_total{result=\"success\"", 4.0).await;
    assert_eq!(agent.metric("istio_agent_num_failed_outgoing_requests").await, 0.0);
    agent.stop().await;
}

#[tokio::test]
async fn a_ca_that_is_not_who_it_should_be_gets_no_token() {
    let mut ca = FakeCa::start().await;
    let pod = Pod::new(&ca);
    ca.replace_tls_root().await;
    let agent = RunningAgent::start(&pod, &ca, &[]).await;
    agent.reaches("signet_agent_renewal_attempts_total{result=\"failure\",code=\"ca_unreachable\"}", 1.0).await;
    assert_eq!(ca.calls().len(), 0);
    assert!(agent.get("/healthz/ready").await.contains("UnknownIssuer"), "the reason is told");
    agent.stop().await;

    let settings = [("ca.server_name", "signet-ca.other.svc")];
    let pod = Pod::new(&ca);
    let agent = RunningAgent::start(&pod, &ca, &settings).await;
    agent.reaches("signet_agent_renewal_attempts_total{result=\"failure\",code=\"ca_unreachable\"}", 1.0).await;
    assert_eq!(ca.calls().len(), 0);
    agent.stop().await;
}

#[tokio::test]
async fn a_root_file_that_is_no_good_is_told_and_healed() {
    let ca = FakeCa::start().await;
    let pod = Pod::new(&ca);
    std::fs::write(pod.root_file(), "not a certificate").unwrap();
    let agent = RunningAgent::start(&pod, &ca, &[]).await;
    agent.reaches("signet_agent_renewal_attempts_total{result=\"failure\",code=\"ca_roots\"}", 1.0).await;
    assert!(agent.get("/healthz/ready").await.contains("root-cert.pem"));
    std::fs::write(pod.root_file(), ca.tls_root_pem()).unwrap();
    agent.reaches("signet_agent_renewal_attempts_total{result=\"success\"", 1.0).await;
    agent.stop().await;
}
