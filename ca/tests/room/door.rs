//! What happens to connections and requests before anybody knows whose they are.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use signet_proto::istio_ca::{IstioCertificateRequest, IstioCertificateResponse};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::client::TlsStream;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::lab::{Lab, Setup, any_csr, eventually, request};
use crate::tls::{http2, shake_hands};

const UNKNOWN: &str = "grpc_type=\"unary\",grpc_service=\"unknown\",grpc_method=\"unknown\"";
const CREATE: &str =
    "grpc_type=\"unary\",grpc_service=\"istio.v1.auth.IstioCertificateService\",grpc_method=\"CreateCertificate\"";

/// Sends a message of another type to `path`.
async fn send_something_else(lab: &Lab, path: &'static str) -> Status {
    let mut client = tonic::client::Grpc::new(lab.channel().await);
    client.ready().await.unwrap();
    // Its first field is a number, where the CA API has text.
    let message = prost_types::Timestamp { seconds: 1, nanos: 0 };
    let codec = tonic_prost::ProstCodec::<prost_types::Timestamp, prost_types::Timestamp>::default();
    client.unary(Request::new(message), PathAndQuery::from_static(path), codec).await.unwrap_err()
}

#[tokio::test]
async fn whatever_is_asked_is_named_and_counted() {
    let lab = Lab::start().await;
    let nowhere = send_something_else(&lab, "/nowhere/Nothing").await;
    let no_method = send_something_else(&lab, "/istio.v1.auth.IstioCertificateService/Nothing").await;
    let unreadable = send_something_else(&lab, "/istio.v1.auth.IstioCertificateService/CreateCertificate").await;
    let too_large = lab.ask(&lab.token(), &"x".repeat(100_000), 60).await.unwrap_err();
    let wanted = [Code::Unimplemented, Code::Unimplemented, Code::Internal, Code::ResourceExhausted];
    let refused = [nowhere, no_method, unreadable, too_large];
    for (status, code) in refused.iter().zip(wanted) {
        assert_eq!(status.code(), code, "{status:?}");
        assert!(status.metadata().get("x-request-id").is_some_and(|id| id.as_bytes().len() > 16), "{status:?}");
    }
    let handled = async |method: &str, code: &str| {
        lab.metric(&format!("grpc_server_handled_total{{{method},grpc_code=\"{code}\"}}")).await
    };
    assert_eq!(handled(UNKNOWN, "Unimplemented").await, 2);
    assert_eq!(handled(CREATE, "Internal").await, 1);
    assert_eq!(handled(CREATE, "ResourceExhausted").await, 1);
    assert_eq!(lab.metric(&format!("grpc_server_started_total{{{CREATE}}}")).await, 2);
    assert_eq!(lab.metric(&format!("grpc_server_msg_received_total{{{CREATE}}}")).await, 0);
}

async fn tcp_from(source: [u8; 4], server: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(IpAddr::from(source), 0)).unwrap();
    socket.connect(server).await.unwrap()
}

/// A connection that has shaken hands and said nothing yet.
async fn silent_tls(stream: TcpStream, roots_pem: &str) -> Option<TlsStream<TcpStream>> {
    shake_hands(http2(roots_pem), stream, "localhost").await.ok()
}

async fn shakes_hands(stream: TcpStream, roots_pem: &str) -> bool {
    silent_tls(stream, roots_pem).await.is_some()
}

/// Whether the server ends the connection within its deadline and some.
async fn ends(mut stream: TlsStream<TcpStream>) -> bool {
    let mut rest = Vec::new();
    // How it ends is of no interest.
    tokio::time::timeout(Duration::from_secs(8), stream.read_to_end(&mut rest)).await.is_ok()
}

#[tokio::test]
async fn who_shakes_hands_and_never_begins_to_speak_is_let_go() {
    let lab = Lab::start().await;
    let patient = lab.client().await;
    let silent = silent_tls(tcp_from([127, 0, 0, 2], lab.listen).await, &lab.roots_pem).await.unwrap();
    let mut half = silent_tls(tcp_from([127, 0, 0, 2], lab.listen).await, &lab.roots_pem).await.unwrap();
    half.write_all(b"PRI * HTTP/2.0").await.unwrap();
    assert_eq!(tokio::join!(ends(silent), ends(half)), (true, true));
    assert_eq!(lab.metric("signet_ca_handshake_failures_total{reason=\"silent\"}").await, 2);
    // It has asked for nothing either, but it speaks.
    assert_eq!(lab.metric("signet_ca_connections").await, 1);
    drop(patient);
}

#[tokio::test]
async fn a_message_that_does_not_come_holds_its_place_for_five_seconds() {
    let lab = Lab::start().await;
    let mut client = tonic::client::Grpc::new(lab.channel().await);
    client.ready().await.unwrap();
    let path = PathAndQuery::from_static("/istio.v1.auth.IstioCertificateService/CreateCertificate");
    let codec = tonic_prost::ProstCodec::<IstioCertificateRequest, IstioCertificateResponse>::default();
    let began = Instant::now();
    let nothing = Request::new(tokio_stream::pending::<IstioCertificateRequest>());
    let status = client.client_streaming(nothing, path, codec).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::DeadlineExceeded, "request took too long"));
    assert!((4..8).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn streams_that_anybody_may_open_are_few_on_each_connection() {
    let lab = Lab::start().await;
    let channel = lab.channel().await;
    let watch = async || {
        let mut client = HealthClient::new(channel.clone());
        client.watch(HealthCheckRequest { service: String::new() }).await.map(Response::into_inner)
    };
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(watch().await.unwrap());
    }
    let status = watch().await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(status.metadata().contains_key("grpc-retry-pushback-ms"));
    assert_eq!(lab.metric("signet_ca_shed_total{reason=\"peer_streams\"}").await, 1);
    open.pop();
    eventually("one may be opened again", async || watch().await.is_ok()).await;
}

#[tokio::test]
async fn connections_that_say_nothing_keep_no_other_address_out() {
    let lab = Lab::start().await;
    let mut silent = Vec::new();
    for _ in 0..600 {
        silent.push(tcp_from([127, 0, 0, 2], lab.listen).await);
    }
    let other = tcp_from([127, 0, 0, 3], lab.listen).await;
    // Long before the silent ones time out.
    let shaken = tokio::time::timeout(Duration::from_secs(2), shakes_hands(other, &lab.roots_pem)).await;
    assert_eq!(shaken, Ok(true));
}

#[tokio::test]
async fn an_old_connection_is_told_to_end_and_its_caller_comes_back() {
    let lab = Setup::new().with("connections.max_age", "'1s'").start().await;
    let mut client = lab.client().await;
    let (token, csr) = (lab.token(), any_csr());
    client.create_certificate(request(&token, &csr, 60)).await.unwrap();
    eventually("the connection is gone", async || lab.metric("signet_ca_connections").await == 0).await;
    client.create_certificate(request(&token, &csr, 60)).await.expect("the client should connect anew");
}

#[tokio::test]
async fn a_flood_of_bad_tokens_is_turned_away_unseen_and_its_neighbours_are_served() {
    let lab = Lab::start().await;
    let (mut flood, csr) = (lab.client().await, any_csr());
    let bad = lab.token().replace('.', "x.");
    let mut codes = Vec::new();
    for _ in 0..400 {
        let status = flood.create_certificate(request(&bad, &csr, 60)).await.unwrap_err();
        if status.code() == Code::ResourceExhausted {
            let hint = status.metadata().get("grpc-retry-pushback-ms").unwrap().to_str().unwrap();
            assert!((500..=2_000).contains(&hint.parse::<u64>().unwrap()), "{hint}");
        }
        codes.push(status.code());
    }
    let looked_at = codes.iter().filter(|code| **code == Code::Unauthenticated).count();
    assert!(codes[..64].iter().all(|code| *code == Code::Unauthenticated), "{codes:?}");
    assert!(looked_at < 400, "{codes:?}");
    assert_eq!(looked_at, usize::try_from(lab.metric("citadel_server_csr_count").await).unwrap());
    let shed = lab.metric("signet_ca_shed_total{reason=\"bad_tokens\"}").await;
    assert_eq!(shed, i64::try_from(400 - looked_at).unwrap());
    // From the same address, on a connection of its own.
    lab.issue().await;
}

#[tokio::test]
async fn who_is_sent_here_after_the_end_was_announced_is_served() {
    let lab = Setup::new().with("shutdown.delay", "'2s'").start().await;
    lab.wait_ready().await;
    let mut old = lab.client().await;
    lab.tell_to_stop();
    eventually("readiness says so", async || lab.get("/healthz/ready").await.0 == 503).await;
    assert!(lab.get("/healthz/ready").await.1.contains("stops, send nobody here any more"));
    lab.issue().await;
    old.create_certificate(request(&lab.token(), &any_csr(), 60)).await.expect("old connections too");
    let address = lab.listen;
    lab.stop().await;
    assert!(TcpStream::connect(address).await.is_err(), "then it is over");
}
