//! A reader of public documents over HTTPS, as plain as one can be.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::ResolvesClientCert;
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{HandshakeKind, SignatureScheme};
use signet_identity::PrivateKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::lab::Issued;
use crate::tls::{shake_hands, trusting};

/// How an HTTP/2 client begins: the preface, and settings that say nothing.
const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("the answer should be JSON")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(": ")?;
            known.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// Connects to `address`, which must prove to be `localhost` by `roots_pem`.
pub(crate) async fn connect(address: SocketAddr, roots_pem: &str) -> Result<TlsStream<TcpStream>, String> {
    let config = trusting(roots_pem).with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    shake_hands(config, stream, "localhost").await.map_err(|error| error.to_string())
}

/// How the second of two connections of one client to the CA's endpoint begins, after the first was used.
pub(crate) async fn second_handshake(address: SocketAddr, roots_pem: &str, held: Option<&Issued>) -> HandshakeKind {
    let builder = trusting(roots_pem);
    let config = match held {
        None => builder.with_no_client_auth(),
        Some(held) => {
            let key = PrivateKeyDer::Pkcs8(held.key.to_pkcs8().to_vec().into());
            builder.with_client_auth_cert(vec![CertificateDer::from(held.leaf().der().to_vec())], key).unwrap()
        }
    };
    let config = Arc::new(config);
    let connect = async || {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut stream = shake_hands(config.clone(), stream, "localhost").await.unwrap();
        // Tickets come before the first answer.
        stream.write_all(OPENING).await.unwrap();
        assert!(stream.read(&mut [0; 64]).await.unwrap() > 0, "the server should say something");
        stream.get_ref().1.handshake_kind().expect("the handshake should be over")
    };
    assert_eq!(connect().await, HandshakeKind::Full);
    connect().await
}

/// Presents a certificate whose key it does not hold.
#[derive(Debug)]
struct Impostor(Arc<CertifiedKey>);

impl ResolvesClientCert for Impostor {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Whether the CA's endpoint says anything to a peer that presents the leaf of `held` with another key.
pub(crate) async fn serves_an_impostor(address: SocketAddr, roots_pem: &str, held: &Issued) -> bool {
    let other = PrivateKey::generate_p256().unwrap();
    let key = any_ecdsa_type(&PrivateKeyDer::Pkcs8(other.to_pkcs8().to_vec().into())).unwrap();
    let certified = CertifiedKey::new(vec![CertificateDer::from(held.leaf().der().to_vec())], key);
    let config = trusting(roots_pem).with_client_cert_resolver(Arc::new(Impostor(Arc::new(certified))));
    let stream = TcpStream::connect(address).await.unwrap();
    // In TLS 1.3 the client learns of the refusal when it reads.
    let Ok(mut stream) = shake_hands(config, stream, "localhost").await else { return false };
    let _ = stream.write_all(OPENING).await;
    matches!(stream.read(&mut [0; 64]).await, Ok(read) if read > 0)
}

/// Sends `request` as it is and reads to the end, for at most twenty seconds. An answer that breaks off counts as read.
pub(crate) async fn send(address: SocketAddr, roots_pem: &str, request: &[u8]) -> Option<Answer> {
    let mut stream = connect(address, roots_pem).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let reading = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer));
    let _ = reading.await.expect("the server should answer or hang up");
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

/// Reads a document.
pub(crate) async fn get(address: SocketAddr, roots_pem: &str, path: &str) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    send(address, roots_pem, request.as_bytes()).await.expect("there should be an answer")
}
