//! Bare TLS to a server, for tests that look at the handshake or at what comes below gRPC.

use std::io;
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A client that believes in `roots_pem`; what it presents is still to be said.
pub(crate) fn trusting(roots_pem: &str) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(roots_pem.as_bytes()).flatten());
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
}

/// A client that presents nothing and wants to speak HTTP/2.
pub(crate) fn http2(roots_pem: &str) -> ClientConfig {
    let mut config = trusting(roots_pem).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// Shakes hands with a server that must prove to be `name`.
pub(crate) async fn shake_hands(
    config: impl Into<Arc<ClientConfig>>,
    stream: TcpStream,
    name: &str,
) -> io::Result<TlsStream<TcpStream>> {
    TlsConnector::from(config.into()).connect(ServerName::try_from(name.to_owned()).unwrap(), stream).await
}
