//! Where public documents are served and with which certificate: the same three settings for each endpoint.

use std::net::SocketAddr;
use std::path::PathBuf;

use signet_runtime::Reader;

/// One endpoint with public documents.
#[derive(Debug, Clone)]
pub struct WebConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What it presents.
    pub certificate: WebCertificate,
}

/// What an endpoint presents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebCertificate {
    /// The authority's own serving certificate.
    Own,
    /// An operator's: certificates, the leaf first, and the leaf's key; both PEM.
    Files {
        /// The certificates.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
    },
}

/// Reads the endpoint of `section`. `Some(None)` when it is not served, `None` only after a problem.
pub(super) fn web(reader: &mut Reader, section: &str) -> Option<Option<WebConfig>> {
    let [listen_key, certificate_key, key_key] =
        ["listen", "tls_cert_file", "tls_key_file"].map(|key| format!("{section}.{key}"));
    let listen: Option<SocketAddr> = reader.optional(&listen_key);
    let certificate: Option<PathBuf> = reader.optional(&certificate_key);
    let key: Option<PathBuf> = reader.optional(&key_key);
    let certificate = match (certificate, key) {
        (Some(certificate), Some(key)) => WebCertificate::Files { certificate, key },
        (None, None) => WebCertificate::Own,
        (Some(_), None) => {
            reader.refuse(&certificate_key, format!("needs `{key_key}` beside it"));
            return None;
        }
        (None, Some(_)) => {
            reader.refuse(&key_key, format!("needs `{certificate_key}` beside it"));
            return None;
        }
    };
    Some(listen.map(|listen| WebConfig { listen, certificate }))
}
