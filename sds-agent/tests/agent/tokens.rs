//! The projected token: read at every call, looked at before it is sent.

use std::time::Duration;

use crate::support::{FakeCa, Pod, RunningAgent};

/// With this in the token file the agent must say `reason` and send nothing; with a good token it must recover.
async fn check(reason: &str, spoil: impl FnOnce(&Pod)) {
    let ca = FakeCa::start().await;
    let pod = Pod::new(&ca);
    spoil(&pod);
    let agent = RunningAgent::start(&pod, &ca, &[]).await;
    agent.reaches(&format!("signet_agent_renewal_attempts_total{{result=\"failure\",code=\"{reason}\"}}"), 1.0).await;
    assert_eq!(ca.calls().len(), 0, "{reason}: nothing is sent");
    let told = agent.get("/healthz/ready").await;
    assert!(told.starts_with("HTTP/1.1 503") && told.contains("token"), "{told}");
    pod.write_token(&pod.token(Duration::from_secs(600)));
    agent.reaches("signet_agent_renewal_attempts_total{result=\"success\"", 1.0).await;
    assert!(agent.ready().await);
    agent.stop().await;
}

#[tokio::test]
async fn a_missing_token_is_told() {
    check("token_missing", |pod| std::fs::remove_file(pod.token_file()).unwrap()).await;
}

#[tokio::test]
async fn an_empty_token_is_told() {
    check("token_empty", |pod| pod.write_token("\n")).await;
}

#[tokio::test]
async fn an_expired_token_is_told() {
    check("token_expired", |pod| {
        let begun = crate::support::now().minus(Duration::from_secs(600));
        pod.write_token(&pod.issuer.token("shop", "web", begun, Duration::from_secs(300)));
    })
    .await;
}

#[tokio::test]
async fn a_token_for_another_audience_is_told() {
    check("token_audience", |pod| {
        let mut claims = pod.issuer.claims("shop", "web", crate::support::now(), Duration::from_secs(600));
        claims["aud"] = serde_json::json!(["vault"]);
        pod.write_token(&pod.issuer.sign(&claims));
    })
    .await;
}

#[tokio::test]
async fn a_token_that_is_none_is_told() {
    check("token_malformed", |pod| pod.write_token("hello")).await;
}

#[tokio::test]
async fn a_token_without_a_service_account_names_nobody() {
    check("token_workload", |pod| {
        let mut claims = pod.issuer.claims("shop", "web", crate::support::now(), Duration::from_secs(600));
        claims["sub"] = serde_json::json!("somebody");
        pod.write_token(&pod.issuer.sign(&claims));
    })
    .await;
}

#[tokio::test]
async fn a_token_of_another_workload_than_configured_is_not_sent() {
    let ca = FakeCa::start().await;
    let pod = Pod::new(&ca);
    let settings = [("namespace", "shop"), ("service_account", "orders")];
    let agent = RunningAgent::start(&pod, &ca, &settings).await;
    agent.reaches("signet_agent_renewal_attempts_total{result=\"failure\",code=\"token_workload\"}", 1.0).await;
    assert!(agent.get("/healthz/ready").await.contains("token belongs to `shop/web`, but `shop/orders` is configured"));
    assert_eq!(ca.calls().len(), 0);
    agent.stop().await;
}

#[tokio::test]
async fn each_call_shows_the_token_that_is_there_then_and_a_fresh_key() {
    let ca = FakeCa::start().await;
    ca.grants(Duration::from_secs(3));
    let pod = Pod::new(&ca);
    let agent = RunningAgent::start(&pod, &ca, &[]).await;
    agent.reaches("signet_agent_renewal_attempts_total{result=\"success\"", 1.0).await;
    let replaced = pod.token(Duration::from_secs(1200));
    pod.write_token(&replaced);
    agent.reaches("signet_agent_renewal_attempts_total{result=\"success\"", 2.0).await;
    let calls = ca.calls();
    assert_ne!(calls[0].authorization, calls[1].authorization);
    assert_eq!(calls[1].authorization, Some(format!("Bearer {replaced}")));
    assert_ne!(calls[0].key, calls[1].key);
    agent.stop().await;
}
