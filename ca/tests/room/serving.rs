//! The server's own TLS: its certificate, its renewal, and what the port refuses.

use std::net::SocketAddr;

use signet_identity::Certificate;
use signet_testkit::{TestCa, istio_layout};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::lab::{Lab, Setup, WEB, certificates, eventually};
use crate::tls::{http2, shake_hands};

/// The chain that the server presents to a client that verifies it under `name`, and the protocol agreed on.
async fn presented(
    address: SocketAddr,
    roots_pem: &str,
    name: &str,
) -> Result<(Vec<Certificate>, Option<Vec<u8>>), String> {
    let stream = TcpStream::connect(address).await.unwrap();
    let stream = shake_hands(http2(roots_pem), stream, name).await.map_err(|error| error.to_string())?;
    let session = stream.get_ref().1;
    let chain = session.peer_certificates().unwrap().iter().map(|der| Certificate::from_der(der).unwrap()).collect();
    Ok((chain, session.alpn_protocol().map(<[u8]>::to_vec)))
}

#[tokio::test]
async fn the_server_proves_each_of_its_names_and_no_other() {
    let setup = Setup::new().with("serving.extra_names", "['ca.example.org', '127.0.0.1']").with("namespace", "'mesh'");
    let lab = setup.start().await;
    for name in [
        "istiod.mesh.svc",
        "istiod-remote.mesh.svc",
        "istio-pilot.mesh.svc",
        "signet-ca.mesh.svc",
        "localhost",
        "ca.example.org",
        "127.0.0.1",
    ] {
        let (chain, protocol) = presented(lab.listen, &lab.roots_pem, name).await.expect(name);
        assert_eq!(chain.len(), 1);
        assert_eq!(protocol.as_deref(), Some(b"h2".as_slice()));
    }
    let error = presented(lab.listen, &lab.roots_pem, "istiod.other.svc").await.unwrap_err();
    assert!(error.contains("not valid for name \"istiod.other.svc\""), "{error}");
}

#[tokio::test]
async fn the_serving_certificate_names_no_workload() {
    let lab = Lab::start().await;
    let (chain, _) = presented(lab.listen, &lab.roots_pem, "localhost").await.unwrap();
    assert!(chain[0].uris().is_empty() && !chain[0].is_ca());
    assert!(chain[0].workload_id().is_err());
    let lifetime = chain[0].lifetime();
    let whole = lifetime.not_after().since(lifetime.not_before());
    assert_eq!(whole.as_secs(), 86_400 + 120, "the default is a day, begun two minutes before its issue");
}

#[tokio::test]
async fn a_plugged_in_authority_presents_its_intermediates_and_not_its_root() {
    let setup = Setup::new().with("authority.state_dir", "'none'");
    let dir = setup.path("plugged");
    std::fs::create_dir(&dir).unwrap();
    let ca = TestCa::root("cluster.local").intermediate().intermediate();
    istio_layout(&dir, &ca);
    let lab = setup.with("authority.plugged_in_dir", &format!("{:?}", dir.to_str().unwrap())).start().await;
    let (chain, _) = presented(lab.listen, &ca.root_pem(), "localhost").await.unwrap();
    assert_eq!(chain.len(), 3);
    lab.issue().await;
}

#[tokio::test]
async fn a_new_connection_sees_the_renewed_certificate_and_an_old_one_goes_on() {
    let lab = Setup::new().with("serving.ttl", "'6s'").start().await;
    let mut old = lab.client().await;
    let served =
        async || presented(lab.listen, &lab.roots_pem, "localhost").await.map(|(mut chain, _)| chain.remove(0));
    let first = served().await.unwrap();
    eventually("the certificate was renewed", async || {
        served().await.is_ok_and(|served| served.serial() != first.serial())
    })
    .await;
    eventually("the first has ended", async || lab.now() > first.lifetime().not_after()).await;
    let csr = crate::lab::any_csr();
    old.create_certificate(crate::lab::request(&lab.token(), &csr, 60)).await.expect("the old connection should work");
    assert_eq!(lab.bundle().verify(lab.issue().await.svid().chain(), lab.now()).unwrap().as_str(), WEB);
}

#[tokio::test]
async fn what_is_not_tls_is_turned_away() {
    let lab = Lab::start().await;
    let mut stream = TcpStream::connect(lab.listen).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // A TLS alert, or a reset, but never an HTTP/2 frame.
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.is_empty() || answer[0] == 0x15, "{answer:?}");
    let series = "signet_ca_handshake_failures_total{reason=\"refused\"}";
    eventually("the failure is counted", async || lab.metric(series).await == 1).await;
    lab.issue().await;
}

#[tokio::test]
async fn grpc_health_follows_readiness_and_reflection_is_off() {
    let lab = Lab::start().await;
    let mut health = HealthClient::new(lab.channel().await);
    for service in ["", "istio.v1.auth.IstioCertificateService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let status = health.check(request).await.unwrap().into_inner().status();
        assert_eq!(status, tonic_health::pb::health_check_response::ServingStatus::Serving);
    }
    let mut reflection =
        tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient::new(lab.channel().await);
    let question = tokio_stream::iter([tonic_reflection::pb::v1::ServerReflectionRequest::default()]);
    let status = reflection.server_reflection_info(question).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test]
async fn reflection_names_the_service_where_the_operator_wants_that() {
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    let lab = Setup::new().with("reflection", "true").start().await;
    let mut client =
        tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient::new(lab.channel().await);
    let question = tonic_reflection::pb::v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = client.server_reflection_info(tokio_stream::iter([question])).await.unwrap().into_inner();
    let answer = format!("{:?}", answers.message().await.unwrap().unwrap());
    assert!(answer.contains("istio.v1.auth.IstioCertificateService"), "{answer}");
}

#[tokio::test]
async fn connections_are_counted_while_they_are_open() {
    let lab = Lab::start().await;
    let client = lab.client().await;
    eventually("one is open", async || lab.metric("signet_ca_connections").await == 1).await;
    drop(client);
    eventually("none is open", async || lab.metric("signet_ca_connections").await == 0).await;
    assert_eq!(certificates(&lab.roots_pem).len(), 1);
}
