//! The endpoints with public documents: their TLS, and what a rude reader gets.

use std::fs;

use signet_identity::{Lifetime, Timestamp};
use signet_testkit::{TestCa, knobs};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::https;
use crate::jwt::minting;
use crate::lab::{HOUR, eventually};

#[tokio::test]
async fn only_get_and_head_are_answered_and_head_without_a_body() {
    let lab = minting().start().await;
    let address = lab.addresses.oidc.unwrap();
    let ask = async |method: &str, path: &str, more: &str| {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n");
        https::send(address, &lab.roots_pem, request.as_bytes()).await.unwrap()
    };
    let whole = ask("GET", "/mesh/keys", "").await;
    let head = ask("HEAD", "/mesh/keys", "").await;
    assert_eq!((whole.status, head.status, head.body.as_str()), (200, 200, ""));
    assert_eq!(head.header("content-length"), Some(whole.body.len().to_string().as_str()));
    let known = format!("If-None-Match: {}\r\n", whole.header("etag").unwrap());
    assert_eq!(ask("GET", "/mesh/keys", &known).await.status, 304);
    assert_eq!(ask("GET", "/mesh/keys?x=1", "").await.status, 200);
    let refused = ask("POST", "/mesh/keys", "Content-Length: 0\r\n").await;
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")));
    for path in ["/", "/keys", "/mesh", "/mesh/keys/", "/metrics", "/mesh/../state"] {
        assert_eq!(ask("GET", path, "").await.status, 404, "{path}");
    }
    assert_eq!(lab.metric("signet_ca_web_answers_total{endpoint=\"oidc\",status=\"405\"}").await, 1);
}

#[tokio::test]
async fn rude_readers_are_turned_away_and_others_still_served() {
    let lab = minting().start().await;
    let address = lab.addresses.oidc.unwrap();
    let large = format!("GET /mesh/keys HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(64 * 1024));
    let many = format!("GET /mesh/keys HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(200));
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(64 * 1024));
    for request in
        [large.as_bytes(), many.as_bytes(), long.as_bytes(), b"\x00\xff\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    {
        let mut stream = https::connect(address, &lab.roots_pem).await.unwrap();
        // A server that has heard enough may hang up before it was told everything.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET /mesh/keys HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(answer.is_empty() || answer[0] == 0x15, "{answer:?}");
    eventually("the failure is counted", async || {
        lab.metric("signet_ca_web_handshake_failures_total{endpoint=\"oidc\"}").await == 1
    })
    .await;
    assert_eq!(https::get(address, &lab.roots_pem, "/mesh/keys").await.status, 200);
}

#[tokio::test]
async fn who_sends_its_request_in_drops_is_hung_up_on() {
    let lab = minting().start().await;
    let began = tokio::time::Instant::now();
    let mut stream = https::connect(lab.addresses.oidc.unwrap(), &lab.roots_pem).await.unwrap();
    stream.write_all(b"GET /mesh/keys HTTP/1.1\r\nX: ").await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(began.elapsed().as_secs() < 15 && !answer.starts_with(b"HTTP/1.1 2"));
}

#[tokio::test]
async fn who_does_nothing_at_all_keeps_nobody_out() {
    let lab = minting().start().await;
    let address = lab.addresses.oidc.unwrap();
    let mut silent = Vec::new();
    for _ in 0..256 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    // The places are taken until the handshakes' deadline.
    let answer = https::get(address, &lab.roots_pem, "/mesh/keys").await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn an_operators_certificate_is_presented_and_its_successor_without_a_restart() {
    let setup = minting();
    let ca = TestCa::root("web.example");
    let write = || {
        let now = crate::lab::now();
        let life = Lifetime::new(now.minus(HOUR), now.plus(HOUR)).unwrap();
        let leaf = ca.leaf("spiffe://web.example/x", life).with(knobs::add_dns("localhost")).issue();
        fs::write(setup.path("tls.crt"), leaf.chain_pem()).unwrap();
        fs::write(setup.path("tls.key"), leaf.key().to_pem().as_bytes()).unwrap();
        leaf.der().to_vec()
    };
    let first = write();
    let path = |name: &str| format!("{:?}", setup.path(name).to_str().unwrap());
    let (certificate, key) = (path("tls.crt"), path("tls.key"));
    let setup_with = minting().with("oidc.tls_cert_file", &certificate).with("oidc.tls_key_file", &key);
    let lab = setup_with.start().await;
    let address = lab.addresses.oidc.unwrap();
    let presented = async || {
        let stream = https::connect(address, &ca.root_pem()).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    assert_eq!(presented().await, first);
    assert!(https::connect(address, &lab.roots_pem).await.is_err(), "the CA's own certificate is not presented");
    let second = write();
    eventually("the new certificate is presented", async || presented().await == second).await;
    let series = "signet_ca_web_certificate_expiry_timestamp{endpoint=\"oidc\"}";
    assert!(lab.metric(series).await > Timestamp::from_unix_secs(1_700_000_000).unix_secs());
}

#[tokio::test]
async fn files_that_do_not_fit_are_a_reason_not_to_start() {
    let setup =
        minting().with("oidc.tls_cert_file", "'/nonexistent.crt'").with("oidc.tls_key_file", "'/nonexistent.key'");
    let error = signet_runtime::tasks::chain(&setup.try_start().await.err().unwrap());
    assert!(error.contains("cannot open `/nonexistent.crt`"), "{error}");
}
