//! A CA that answers rubbish, slowly, or not at all: nothing of it is served, and the agent tries again.

use std::time::Duration;

use signet_identity::VerifiedCsr;
use signet_testkit::{TestCa, knobs};
use tonic::{Code, Status};

use crate::support::{Answer, FakeCa, Pod, RunningAgent, identity, roots};

const HOUR: Duration = Duration::from_secs(3600);

fn leaf(ca: &TestCa, csr: &VerifiedCsr, life: Duration) -> String {
    let (now, uri) = (crate::support::now(), &csr.asked().uris[0]);
    let lifetime = signet_identity::Lifetime::new(now.minus(HOUR), now.plus(life)).unwrap();
    ca.leaf(uri, lifetime).for_key(csr.public_key()).issue().pem()
}

/// The answer must be refused for `reason`; a good one thereafter must be served.
async fn check(reason: &str, answer: impl Fn(&TestCa, &VerifiedCsr) -> Answer + Send + 'static) {
    let ca = FakeCa::start().await;
    ca.answers(answer);
    let pod = Pod::new(&ca);
    let agent = RunningAgent::start(&pod, &ca, &[("ca.deadline", "500ms")]).await;
    let mut stream = agent.sds().await.sotw();
    stream.subscribe(&["default", "ROOTCA"]).await;
    let failures = format!("signet_agent_renewal_attempts_total{{result=\"failure\",code=\"{reason}\"}}");
    agent.reaches(&failures, 1.0).await;
    assert!(!agent.ready().await, "{reason}");
    ca.thinks(Duration::ZERO);
    ca.grants(HOUR);
    let message = stream.next().await.unwrap();
    assert_eq!(identity(&message.resources).id().path(), "/ns/shop/sa/web", "{reason}");
    assert!(agent.ready().await, "{reason}");
    agent.stop().await;
}

#[tokio::test]
async fn a_chain_of_one_element_is_refused() {
    check("answer_shape", |ca, csr| Ok(vec![leaf(ca, csr, HOUR)])).await;
}

#[tokio::test]
async fn an_answer_that_is_no_certificate_is_refused() {
    check("answer_chain", |ca, _| Ok(vec!["rubbish".to_owned(), ca.pem()])).await;
}

#[tokio::test]
async fn an_empty_bundle_is_refused() {
    check("answer_roots", |ca, csr| Ok(vec![leaf(ca, csr, HOUR), String::new()])).await;
}

#[tokio::test]
async fn another_name_is_refused() {
    check("answer_identity", |ca, csr| {
        let life = crate::support::lifetime(HOUR);
        let leaf = ca.leaf("spiffe://cluster.local/ns/shop/sa/admin", life).for_key(csr.public_key()).issue();
        Ok(vec![leaf.pem(), ca.pem()])
    })
    .await;
}

#[tokio::test]
async fn another_key_is_refused() {
    check("answer_chain", |ca, csr| {
        let leaf = ca.leaf(&csr.asked().uris[0], crate::support::lifetime(HOUR)).issue();
        Ok(vec![leaf.pem(), ca.pem()])
    })
    .await;
}

#[tokio::test]
async fn an_expired_leaf_is_refused_and_does_not_make_the_agent_spin() {
    let ca = FakeCa::start().await;
    ca.answers(|ca, csr| {
        let now = crate::support::now();
        let over = signet_identity::Lifetime::new(now.minus(HOUR), now.minus(Duration::from_secs(5))).unwrap();
        let leaf = ca.leaf(&csr.asked().uris[0], over).for_key(csr.public_key()).issue();
        Ok(vec![leaf.pem(), ca.pem()])
    });
    let pod = Pod::new(&ca);
    let agent = RunningAgent::start(&pod, &ca, &[]).await;
    agent.reaches("signet_agent_renewal_attempts_total{result=\"failure\",code=\"answer_expired\"}", 2.0).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(ca.calls().len() <= 6, "{} calls", ca.calls().len());
    assert!(agent.get("/healthz/ready").await.contains("clock"), "the reason is told");
    agent.stop().await;
}

#[tokio::test]
async fn a_leaf_that_its_roots_do_not_trust_is_refused() {
    check("answer_untrusted", |ca, csr| Ok(vec![leaf(ca, csr, HOUR), TestCa::root("cluster.local").pem()])).await;
}

#[tokio::test]
async fn a_leaf_that_is_an_authority_is_refused() {
    check("answer_chain", |ca, csr| {
        let leaf = ca.leaf(&csr.asked().uris[0], crate::support::lifetime(HOUR)).with(knobs::key_cert_sign);
        Ok(vec![leaf.for_key(csr.public_key()).issue().pem(), ca.pem()])
    })
    .await;
}

#[tokio::test]
async fn a_refusal_that_is_final_is_not_tried_again_within_the_request() {
    let ca = FakeCa::start().await;
    ca.answers(|_, _| Err(Status::permission_denied("no\nidentity")));
    let pod = Pod::new(&ca);
    let agent = RunningAgent::start(&pod, &ca, &[]).await;
    agent.reaches("signet_agent_renewal_attempts_total{result=\"failure\",code=\"permission_denied\"}", 1.0).await;
    assert_eq!(agent.metric("istio_agent_num_outgoing_retries").await, 0.0);
    assert!(agent.get("/healthz/ready").await.contains("PermissionDenied: no\\nidentity"), "on one line");
    agent.stop().await;
}

#[tokio::test]
async fn transient_refusals_are_tried_again_with_the_same_key() {
    for code in [Code::Cancelled, Code::ResourceExhausted, Code::Aborted, Code::Internal, Code::Unavailable] {
        let ca = FakeCa::start().await;
        let tries = std::sync::atomic::AtomicU32::new(0);
        ca.answers(move |ca, csr| match tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 | 1 => Err(Status::new(code, "later")),
            _ => Ok(vec![leaf(ca, csr, HOUR), ca.pem()]),
        });
        let pod = Pod::new(&ca);
        let agent = RunningAgent::start(&pod, &ca, &[]).await;
        agent.reaches("signet_agent_renewal_attempts_total{result=\"success\"", 1.0).await;
        assert_eq!(agent.metric("istio_agent_num_outgoing_retries").await, 2.0, "{code:?}");
        assert_eq!(agent.metric("signet_agent_renewal_attempts_total{result=\"failure\"").await, 0.0);
        let keys: Vec<_> = ca.calls().iter().map(|call| call.key.clone()).collect();
        assert!(keys.len() == 3 && keys.iter().all(|key| *key == keys[0]), "{code:?}");
        agent.stop().await;
    }
}

#[tokio::test]
async fn a_request_is_given_up_after_five_calls_and_begun_anew_later() {
    let ca = FakeCa::start().await;
    ca.answers(|_, _| Err(Status::unavailable("later")));
    let pod = Pod::new(&ca);
    let agent = RunningAgent::start(&pod, &ca, &[]).await;
    agent.reaches("signet_agent_renewal_attempts_total{result=\"failure\",code=\"unavailable\"}", 1.0).await;
    assert_eq!(ca.calls().len(), 5);
    agent.reaches("signet_agent_renewal_attempts_total{result=\"failure\",code=\"unavailable\"}", 2.0).await;
    let keys: Vec<_> = ca.calls().iter().map(|call| call.key.clone()).collect();
    assert!(keys.iter().all(|key| *key == keys[0]), "one rotation, one key");
    agent.stop().await;
}

#[tokio::test]
async fn a_ca_that_hangs_is_cut_off() {
    let ca = FakeCa::start().await;
    ca.thinks(Duration::from_secs(60));
    let pod = Pod::new(&ca);
    let agent = RunningAgent::start(&pod, &ca, &[("ca.deadline", "200ms")]).await;
    agent.reaches("signet_agent_renewal_attempts_total{result=\"failure\",code=\"ca_deadline\"}", 1.0).await;
    assert!(agent.get("/healthz/ready").await.contains("did not answer within 200ms"));
    agent.stop().await;
}

#[tokio::test]
async fn several_roots_in_the_last_element_are_all_handed_out() {
    let ca = FakeCa::start().await;
    ca.answers(|ca, csr| {
        let other = TestCa::root("cluster.local");
        Ok(vec![leaf(ca, csr, HOUR), format!("{}{}{}", other.pem(), ca.pem(), other.pem())])
    });
    let pod = Pod::new(&ca);
    let agent = RunningAgent::start(&pod, &ca, &[]).await;
    let mut stream = agent.sds().await.sotw();
    stream.subscribe(&["ROOTCA"]).await;
    assert_eq!(roots(&stream.next().await.unwrap().resources).roots().len(), 2);
    agent.stop().await;
}

#[tokio::test]
async fn what_is_asked_for_says_who_and_for_how_long() {
    let ca = FakeCa::start().await;
    let pod = Pod::new(&ca);
    let agent = RunningAgent::start(&pod, &ca, &[("ca.cluster_id", "east"), ("identity.ttl", "90m")]).await;
    agent.reaches("signet_agent_renewal_attempts_total", 1.0).await;
    let call = ca.calls()[0].clone();
    assert_eq!((call.cluster.as_deref(), call.validity_secs), (Some("east"), 5400));
    let token = std::fs::read_to_string(pod.token_file()).unwrap();
    assert_eq!(call.authorization, Some(format!("Bearer {token}")));
    agent.stop().await;
}
