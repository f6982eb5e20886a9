//! Renewal with the certificate held, where the token is good for nothing: never before the token was tried.

use std::time::Duration;

use tonic::Status;

use crate::support::{Call, FakeCa, Pod, RunningAgent, eventually};

const RENEWED: &str = "signet_agent_renewal_attempts_total{result=\"success\"";
const BY_CERTIFICATE: &str = "signet_agent_renewals_by_certificate_total";
const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";

/// Takes tokens, and the certificates that it issued itself.
fn either(call: &Call) -> Result<(), Status> {
    match (&call.authorization, &call.shown) {
        (Some(_), None) => Ok(()),
        (None, Some(name)) if name == WEB => Ok(()),
        _ => Err(Status::unauthenticated("request authenticate failure")),
    }
}

fn certificates_only(call: &Call) -> Result<(), Status> {
    if call.shown.is_some() { Ok(()) } else { Err(Status::unauthenticated("request authenticate failure")) }
}

/// An agent with a short-lived identity that it got by its token.
async fn started(ca: &FakeCa, pod: &Pod) -> RunningAgent {
    ca.grants(Duration::from_secs(4));
    let agent = RunningAgent::start(pod, ca, &[]).await;
    agent.reaches(RENEWED, 1.0).await;
    agent
}

/// After `spoil` the agent must go on by its certificate and say `told`; with a good token it must use that again.
async fn check(told: &str, spoil: impl FnOnce(&FakeCa, &Pod)) {
    let ca = FakeCa::start().await;
    ca.serves(either);
    let pod = Pod::new(&ca);
    let agent = started(&ca, &pod).await;
    let token = std::fs::read_to_string(pod.token_file()).unwrap();
    spoil(&ca, &pod);
    agent.reaches(BY_CERTIFICATE, 2.0).await;
    assert!(agent.ready().await);
    let page = agent.get("/healthz/ready").await;
    assert!(page.contains("renewed with the certificate held") && page.contains(told), "{page}");

    pod.write_token(&token);
    ca.serves(either);
    let by_certificate = ca.calls().iter().filter(|call| call.shown.is_some()).count();
    let so_far = ca.calls().len();
    eventually("the token is used again", || async {
        ca.calls().get(so_far..).is_some_and(|calls| calls.iter().any(|call| call.authorization.is_some()))
    })
    .await;
    eventually("nothing is wrong any more", || async { !agent.get("/healthz/ready").await.contains("identity:") })
        .await;
    let shown = ca.calls().iter().filter(|call| call.shown.is_some()).count();
    assert!(shown <= by_certificate + 1, "no certificate is shown beside a good token");
    agent.stop().await;
}

#[tokio::test]
async fn a_token_that_is_gone_is_replaced_by_the_certificate_held() {
    check("does not exist", |_, pod| std::fs::remove_file(pod.token_file()).unwrap()).await;
}

#[tokio::test]
async fn a_token_that_has_expired_is_replaced_by_the_certificate_held() {
    check("token expired at", |_, pod| {
        let begun = crate::support::now().minus(Duration::from_secs(600));
        pod.write_token(&pod.issuer.token("shop", "web", begun, Duration::from_secs(300)));
    })
    .await;
}

#[tokio::test]
async fn a_token_that_the_ca_refuses_is_replaced_by_the_certificate_held() {
    check("Unauthenticated", |ca, _| ca.serves(certificates_only)).await;
}

#[tokio::test]
async fn while_the_token_is_good_no_certificate_is_shown() {
    let ca = FakeCa::start().await;
    ca.serves(either);
    let pod = Pod::new(&ca);
    let agent = started(&ca, &pod).await;
    agent.reaches(RENEWED, 3.0).await;
    assert!(ca.calls().iter().all(|call| call.shown.is_none() && call.authorization.is_some()));
    assert_eq!(agent.metric(BY_CERTIFICATE).await, 0.0);
    agent.stop().await;
}

#[tokio::test]
async fn a_ca_that_takes_no_certificates_leaves_the_tokens_trouble_to_be_told() {
    let ca = FakeCa::start().await;
    ca.serves(|call| match call.shown {
        None => Ok(()),
        Some(_) => Err(Status::unauthenticated("no certificates here")),
    });
    let pod = Pod::new(&ca);
    let agent = started(&ca, &pod).await;
    std::fs::remove_file(pod.token_file()).unwrap();
    agent.reaches("signet_agent_renewal_attempts_total{result=\"failure\",code=\"token_missing\"}", 1.0).await;
    let page = agent.get("/healthz/ready").await;
    assert!(page.contains("does not exist") && page.contains("no certificates here"), "both are told: {page}");
    agent.stop().await;
}

#[tokio::test]
async fn a_certificate_is_no_way_around_a_refusal() {
    let ca = FakeCa::start().await;
    let pod = Pod::new(&ca);
    let agent = started(&ca, &pod).await;
    ca.serves(|_| Err(Status::permission_denied("not you")));
    agent.reaches("signet_agent_renewal_attempts_total{result=\"failure\",code=\"permission_denied\"}", 1.0).await;
    assert!(ca.calls().iter().all(|call| call.shown.is_none()));
    agent.stop().await;
}

#[tokio::test]
async fn without_an_identity_there_is_nothing_to_show() {
    let ca = FakeCa::start().await;
    let pod = Pod::new(&ca);
    std::fs::remove_file(pod.token_file()).unwrap();
    let agent = RunningAgent::start(&pod, &ca, &[]).await;
    agent.reaches("signet_agent_renewal_attempts_total{result=\"failure\",code=\"token_missing\"}", 2.0).await;
    assert_eq!(ca.calls().len(), 0);
    agent.stop().await;
}
