//! SDS over the socket, the rules of the protocol end to end: subscriptions, acknowledgements, rotations.

use std::time::Duration;

use tonic::Code;

use crate::support::{FakeCa, Pod, RunningAgent, identity, names, roots};

async fn running() -> (FakeCa, Pod, RunningAgent) {
    let ca = FakeCa::start().await;
    let pod = Pod::new(&ca);
    let agent = RunningAgent::start(&pod, &ca, &[]).await;
    (ca, pod, agent)
}

/// Lives of four seconds, so that a rotation comes every two.
async fn rotating() -> (FakeCa, Pod, RunningAgent) {
    let ca = FakeCa::start().await;
    ca.grants(Duration::from_secs(4));
    let pod = Pod::new(&ca);
    let agent = RunningAgent::start(&pod, &ca, &[]).await;
    (ca, pod, agent)
}

#[tokio::test]
async fn a_proxy_gets_a_verified_identity_without_roots_in_its_chain_and_the_roots_apart() {
    let (_ca, _pod, agent) = running().await;
    let sds = agent.sds().await;
    let (mut default, mut rootca) = (sds.sotw(), sds.sotw());
    default.subscribe(&["default"]).await;
    rootca.subscribe(&["ROOTCA"]).await;
    let svid = identity(&default.next().await.unwrap().resources);
    let bundle = roots(&rootca.next().await.unwrap().resources);
    assert_eq!(svid.id().as_str(), "spiffe://cluster.local/ns/shop/sa/web");
    assert_eq!(svid.chain().count(), 1);
    assert!(bundle.verify(svid.chain(), svid.lifetime().not_before()).is_ok());
    agent.stop().await;
}

#[tokio::test]
async fn a_client_that_reconnects_with_an_old_nonce_and_version_is_answered_in_full() {
    let (_ca, _pod, agent) = running().await;
    let mut stream = agent.sds().await.sotw();
    stream.reply(&["default"], "old".into(), "older".into(), None).await;
    assert_eq!(names(&stream.next().await.unwrap().resources), ["default"]);
    agent.stop().await;
}

#[tokio::test]
async fn acknowledgements_are_quiet_added_names_come_alone_and_stale_nonces_are_counted() {
    let (_ca, _pod, agent) = running().await;
    let mut stream = agent.sds().await.sotw();
    stream.subscribe(&["default"]).await;
    stream.accept(&["default"]).await;
    stream.is_quiet().await;
    let old = stream.nonce.clone();
    stream.answer(&["default", "ROOTCA"], None).await;
    assert_eq!(names(&stream.next().await.unwrap().resources), ["ROOTCA"]);
    stream.reply(&["default"], String::new(), old, None).await;
    stream.is_quiet().await;
    assert!(agent.metric("istio_agent_pilot_xds_expired_nonce").await >= 1.0);
    agent.stop().await;
}

#[tokio::test]
async fn a_rejection_is_counted_changes_names_and_is_not_answered_with_the_same() {
    let (_ca, _pod, agent) = running().await;
    let mut stream = agent.sds().await.sotw();
    stream.subscribe(&["default"]).await;
    stream.next().await.unwrap();
    stream.answer(&["default"], Some("no thanks")).await;
    stream.is_quiet().await;
    stream.reply(&["default", "ROOTCA"], String::new(), stream.nonce.clone(), Some("still no")).await;
    assert_eq!(names(&stream.next().await.unwrap().resources), ["ROOTCA"]);
    assert!(agent.metric("istio_agent_pilot_total_xds_rejects").await >= 2.0);
    assert!(agent.metric("signet_agent_sds_nacks_total{resource=\"default\"}").await >= 1.0);
    agent.stop().await;
}

#[tokio::test]
async fn a_rejected_rotation_is_followed_by_what_was_accepted() {
    let (ca, _pod, agent) = rotating().await;
    let mut stream = agent.sds().await.sotw();
    stream.subscribe(&["default"]).await;
    let good = identity(&stream.accept(&["default"]).await.resources);
    let bad = identity(&stream.next().await.unwrap().resources);
    assert_ne!(good.leaf().serial(), bad.leaf().serial());
    ca.grants(Duration::from_secs(3600));
    stream.answer(&["default"], Some("bad")).await;
    let back = identity(&stream.next().await.unwrap().resources);
    assert_eq!(back.leaf().serial(), good.leaf().serial());
    agent.stop().await;
}

#[tokio::test]
async fn after_unsubscribing_a_rotation_sends_nothing() {
    let (_ca, _pod, agent) = rotating().await;
    let mut stream = agent.sds().await.sotw();
    stream.subscribe(&["default"]).await;
    stream.accept(&[]).await;
    let before = agent.metric("signet_agent_renewal_attempts_total").await;
    agent.reaches("signet_agent_renewal_attempts_total", before + 1.0).await;
    stream.is_quiet().await;
    agent.stop().await;
}

#[tokio::test]
async fn a_rotation_reaches_every_subscriber_once_and_leaves_the_roots_alone() {
    let (_ca, _pod, agent) = rotating().await;
    let sds = agent.sds().await;
    let (mut one, mut two, mut both) = (sds.sotw(), sds.sotw(), agent.sds().await.sotw());
    one.subscribe(&["default"]).await;
    two.subscribe(&["default"]).await;
    both.subscribe(&["default", "ROOTCA"]).await;
    one.accept(&["default"]).await;
    two.accept(&["default"]).await;
    assert_eq!(names(&both.accept(&["default", "ROOTCA"]).await.resources), ["ROOTCA", "default"]);
    let mut serials = Vec::new();
    for stream in [&mut one, &mut two] {
        serials.push(identity(&stream.accept(&["default"]).await.resources).leaf().serial().clone());
    }
    let message = both.accept(&["default", "ROOTCA"]).await;
    assert_eq!(names(&message.resources), ["default"]);
    assert!(serials.iter().all(|serial| serial == identity(&message.resources).leaf().serial()));
    one.is_quiet().await;
    agent.stop().await;
}

#[tokio::test]
async fn a_new_root_is_pushed_with_the_identity_under_it() {
    let (ca, _pod, agent) = rotating().await;
    let mut stream = agent.sds().await.sotw();
    stream.subscribe(&["ROOTCA"]).await;
    let before = roots(&stream.accept(&["ROOTCA"]).await.resources);
    ca.replace_root();
    let after = roots(&stream.next().await.unwrap().resources);
    assert_ne!(before, after);
    agent.stop().await;
}

#[tokio::test]
async fn equal_content_has_an_equal_version_on_every_stream() {
    let (_ca, _pod, agent) = running().await;
    let mut versions = Vec::new();
    for _ in 0..2 {
        let mut stream = agent.sds().await.sotw();
        stream.subscribe(&["default"]).await;
        versions.push(stream.next().await.unwrap().version_info);
    }
    assert_eq!(versions[0], versions[1]);
    assert_eq!(agent.sds().await.fetch(&["default"]).await.unwrap().version_info, versions[0]);
    agent.stop().await;
}

#[tokio::test]
async fn the_incremental_form_answers_pushes_and_says_what_is_unknown() {
    let (_ca, _pod, agent) = rotating().await;
    agent.reaches("signet_agent_renewal_attempts_total", 1.0).await;
    let mut stream = agent.sds().await.delta();
    stream.change(&["default", "nope"], &[]).await;
    let first = stream.next().await.unwrap();
    assert_eq!(first.removed_resources, ["nope"]);
    assert_eq!(first.resources[0].name, "default");
    let svid = identity(first.resources[0].resource.as_ref());
    stream.answer(None).await;
    let second = stream.next().await.unwrap();
    assert_ne!(second.resources[0].version, first.resources[0].version);
    stream.answer(Some("bad")).await;
    let third = stream.next().await.unwrap();
    assert_eq!(identity(third.resources[0].resource.as_ref()).leaf().serial(), svid.leaf().serial());
    stream.change(&[], &["default"]).await;
    agent.reaches("signet_agent_renewal_attempts_total", 4.0).await;
    stream.is_quiet().await;
    agent.stop().await;
}

#[tokio::test]
async fn secrets_can_be_fetched_once() {
    let (_ca, _pod, agent) = running().await;
    agent.reaches("signet_agent_renewal_attempts_total{result=\"success\"", 1.0).await;
    let sds = agent.sds().await;
    let answer = sds.fetch(&["default", "ROOTCA", "nope"]).await.unwrap();
    assert_eq!(names(&answer.resources), ["ROOTCA", "default"]);
    assert_eq!(answer.nonce, "");
    assert_eq!(sds.fetch(&["nope"]).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(sds.fetch(&[]).await.unwrap_err().code(), Code::InvalidArgument);
    agent.stop().await;
}

#[tokio::test]
async fn streams_are_told_that_the_agent_stops() {
    let (_ca, _pod, agent) = running().await;
    let mut stream = agent.sds().await.sotw();
    stream.subscribe(&["default"]).await;
    stream.accept(&["default"]).await;
    let (ended, ()) = tokio::join!(stream.next(), agent.stop());
    assert_eq!(ended.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn health_and_reflection_are_served_beside_sds() {
    use tonic_health::pb::health_client::HealthClient;
    use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

    let (_ca, _pod, agent) = running().await;
    let channel = agent.sds().await.channel;
    let service = "envoy.service.secret.v3.SecretDiscoveryService".to_owned();
    let check = HealthCheckRequest { service: service.clone() };
    let answer = HealthClient::new(channel.clone()).check(check).await.unwrap();
    assert_eq!(answer.into_inner().status(), ServingStatus::Serving);

    let symbol = Some(MessageRequest::FileContainingSymbol(service));
    let request = ServerReflectionRequest { host: String::new(), message_request: symbol };
    let mut answers = ServerReflectionClient::new(channel)
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap()
        .into_inner();
    let ServerReflectionResponse { message_response, .. } = answers.message().await.unwrap().unwrap();
    assert!(matches!(message_response, Some(MessageResponse::FileDescriptorResponse(_))));
    agent.stop().await;
}
