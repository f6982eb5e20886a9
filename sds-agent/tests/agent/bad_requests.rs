//! Requests that are not as they should be: named, bounded, never answered with a key, and no harm to others.

use bytes::Bytes;
use http_body_util::Full;
use signet_proto_envoy::pb::envoy::config::core::v3::Node;
use signet_proto_envoy::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use tonic::{Code, Status};
use tower::ServiceExt;

use crate::support::{FakeCa, Pod, RunningAgent, names};

async fn running() -> (FakeCa, Pod, RunningAgent) {
    let ca = FakeCa::start().await;
    let pod = Pod::new(&ca);
    let agent = RunningAgent::start(&pod, &ca, &[]).await;
    agent.reaches("signet_agent_renewal_attempts_total{result=\"success\"", 1.0).await;
    (ca, pod, agent)
}

async fn refused(agent: &RunningAgent, request: DiscoveryRequest) -> Status {
    let mut stream = agent.sds().await.sotw();
    stream.send(request).await;
    stream.next().await.unwrap_err()
}

/// A stream that was there before goes on, whatever others did.
async fn still_serves(agent: &RunningAgent) {
    let mut stream = agent.sds().await.sotw();
    stream.subscribe(&["default"]).await;
    assert_eq!(names(&stream.next().await.unwrap().resources), ["default"]);
}

fn asking(count: usize) -> DiscoveryRequest {
    DiscoveryRequest { resource_names: (0..count).map(|n| format!("secret-{n}")).collect(), ..Default::default() }
}

#[tokio::test]
async fn unknown_malformed_and_empty_names_never_yield_a_key() {
    let (_ca, _pod, agent) = running().await;
    for (name, code) in [
        ("", Code::NotFound),
        ("Default", Code::NotFound),
        ("rootca", Code::NotFound),
        ("file-cert:/a", Code::NotFound),
        ("file-cert:/a~/b", Code::PermissionDenied),
        ("file-root:/etc/certs/../shadow", Code::NotFound),
        ("spiffe://cluster.local/x", Code::PermissionDenied),
        ("spiffe://else.where", Code::NotFound),
        ("\0", Code::NotFound),
    ] {
        let status =
            refused(&agent, DiscoveryRequest { resource_names: vec![name.into()], ..Default::default() }).await;
        assert_eq!(status.code(), code, "{name}");
        let mut delta = agent.sds().await.delta();
        delta.change(&[name], &[]).await;
        let answer = delta.next().await.unwrap();
        assert_eq!((answer.resources.len(), answer.removed_resources), (0, vec![name.to_owned()]));
    }
    still_serves(&agent).await;
    assert!(agent.metric("signet_agent_sds_unknown_names_total").await >= 9.0);
    agent.stop().await;
}

#[tokio::test]
async fn one_bad_name_blocks_no_other() {
    let (_ca, _pod, agent) = running().await;
    let mut stream = agent.sds().await.sotw();
    stream.subscribe(&["typo", "default"]).await;
    assert_eq!(names(&stream.next().await.unwrap().resources), ["default"]);
    stream.answer(&["typo", "default", "ROOTCA"], None).await;
    assert_eq!(names(&stream.next().await.unwrap().resources), ["ROOTCA"]);
    agent.stop().await;
}

#[tokio::test]
async fn another_type_url_is_refused() {
    let (_ca, _pod, agent) = running().await;
    let type_url = "type.googleapis.com/envoy.config.cluster.v3.Cluster".to_owned();
    let names = vec!["default".to_owned()];
    let status = refused(&agent, DiscoveryRequest { resource_names: names, type_url, ..Default::default() }).await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("type URL"), "{}", status.message());
    agent.stop().await;
}

#[tokio::test]
async fn a_first_message_without_a_node_id_is_refused() {
    let (_ca, _pod, agent) = running().await;
    let node = Some(Node::default());
    let status =
        refused(&agent, DiscoveryRequest { resource_names: vec!["default".into()], node, ..Default::default() }).await;
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "first message has no node id"));
    agent.stop().await;
}

#[tokio::test]
async fn ten_thousand_names_are_refused_by_number() {
    let (_ca, _pod, agent) = running().await;
    let told = "message has 10000 resource names, at most 1000 are accepted";
    let status = refused(&agent, asking(10_000)).await;
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, told));
    let mut delta = agent.sds().await.delta();
    let names = asking(10_000).resource_names;
    delta.send(DeltaDiscoveryRequest { resource_names_subscribe: names, ..Default::default() }).await;
    assert_eq!(delta.next().await.unwrap_err().message(), told);
    assert_eq!(agent.sds().await.fetch(&["x"; 10_000]).await.unwrap_err().message(), told);

    let status = refused(&agent, asking(1000)).await;
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().len() < 200, "{}", status.message());
    still_serves(&agent).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_message_over_the_size_limit_is_refused() {
    let (_ca, _pod, agent) = running().await;
    let version_info = "x".repeat(sds_agent::sds::MESSAGE_MAX_BYTES);
    let status = refused(&agent, DiscoveryRequest { version_info, ..Default::default() }).await;
    assert_eq!(status.code(), Code::InvalidArgument);
    still_serves(&agent).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_proxy_that_describes_itself_at_length_is_served() {
    let (_ca, _pod, agent) = running().await;
    let mut stream = agent.sds().await.sotw();
    let node = Some(Node { id: "n".repeat(10_000), cluster: "c".repeat(500_000), ..Node::default() });
    stream.send(DiscoveryRequest { resource_names: vec!["default".into()], node, ..Default::default() }).await;
    assert_eq!(names(&stream.next().await.unwrap().resources), ["default"]);
    agent.stop().await;
}

#[tokio::test]
async fn bytes_that_are_no_message_end_that_stream_alone() {
    let (_ca, _pod, agent) = running().await;
    let sds = agent.sds().await;
    let mut open = sds.sotw();
    open.subscribe(&["default"]).await;
    open.accept(&["default"]).await;
    for method in ["StreamSecrets", "DeltaSecrets", "FetchSecrets"] {
        // A frame that says five bytes follow; they are no protobuf.
        let frame = Bytes::from_static(&[0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0xff]);
        let request =
            http::Request::post(format!("http://agent/envoy.service.secret.v3.SecretDiscoveryService/{method}"))
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .body(tonic::body::Body::new(Full::new(frame)))
                .unwrap();
        let answer = sds.channel.clone().oneshot(request).await.unwrap();
        let (head, body) = answer.into_parts();
        let trailers = http_body_util::BodyExt::collect(body).await.unwrap().trailers().cloned().unwrap_or_default();
        let status = Status::from_header_map(&head.headers).or(Status::from_header_map(&trailers)).unwrap();
        assert_ne!(status.code(), Code::Ok, "{method}");
    }
    open.answer(&["default", "ROOTCA"], None).await;
    assert_eq!(names(&open.next().await.unwrap().resources), ["ROOTCA"]);
    agent.stop().await;
}
