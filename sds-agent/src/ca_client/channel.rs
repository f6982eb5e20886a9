//! One TLS connection to the CA, trusted by the roots as they are on disk right now.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, TrustAnchor};
use signet_identity::bundle::BUNDLE_PEM_MAX_BYTES;
use signet_identity::{Certificate, CertificateError, Svid};
use signet_runtime::files::{self, FileError};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint, Identity};

use crate::config::CaEndpoint;

/// Time of silence after which the CA is asked whether it is still there. Only a watch lasts that long.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Time that it then has to answer.
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(10);

/// Most roots taken from the file.
const ROOTS_MAX: usize = 100;

/// Why the CA's roots cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// The file cannot be read.
    #[error("the CA's root file is unusable")]
    File(#[from] FileError),
    /// The file does not hold certificates.
    #[error("the CA's root file `{path}` is unusable")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CertificateError,
    },
    /// The file holds too many certificates.
    #[error("the CA's root file `{path}` holds {count} certificates, at most {ROOTS_MAX} are accepted")]
    TooMany {
        /// The file.
        path: PathBuf,
        /// Certificates in it.
        count: usize,
    },
    /// A certificate that cannot anchor trust.
    #[error("certificate {serial} in the CA's root file cannot anchor trust")]
    Anchor {
        /// Its serial, hexadecimal.
        serial: String,
    },
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// No connection, or no trust in the other side.
    #[error("the CA cannot be reached at `{address}`")]
    Connect {
        /// Where it was tried.
        address: String,
        /// What went wrong.
        source: tonic::transport::Error,
    },
}

/// The roots that the CA's serving certificate is judged by.
pub(super) struct Roots(Vec<TrustAnchor<'static>>);

impl Roots {
    /// Reads the file anew.
    pub(super) fn read(path: &Path) -> Result<Self, RootsError> {
        let text = files::read(path, BUNDLE_PEM_MAX_BYTES)?;
        let certificates = Certificate::list_from_pem(&text, BUNDLE_PEM_MAX_BYTES)
            .map_err(|source| RootsError::Content { path: path.to_owned(), source })?;
        if certificates.len() > ROOTS_MAX {
            return Err(RootsError::TooMany { path: path.to_owned(), count: certificates.len() });
        }
        let mut store = RootCertStore::empty();
        for certificate in &certificates {
            store
                .add(CertificateDer::from(certificate.der().to_vec()))
                .map_err(|_| RootsError::Anchor { serial: certificate.serial().to_string() })?;
        }
        Ok(Self(store.roots))
    }
}

/// Connects, showing the certificate held if one is given; the connection closes when the channel is dropped.
pub(super) async fn connect(ca: &CaEndpoint, roots: &Roots, held: Option<&Svid>) -> Result<Channel, ChannelError> {
    let failed = |source| ChannelError::Connect { address: ca.address.to_string(), source };
    let mut tls = ClientTlsConfig::new().domain_name(ca.server_name.as_str()).trust_anchors(roots.0.iter().cloned());
    if let Some(held) = held {
        tls = tls.identity(Identity::from_pem(held.chain_pem(), held.key().to_pem().as_bytes()));
    }
    let endpoint = Endpoint::from_shared(format!("https://{}", ca.address.authority()))
        .and_then(|endpoint| endpoint.user_agent(concat!("sds-agent/", env!("CARGO_PKG_VERSION"))))
        .and_then(|endpoint| endpoint.tls_config(tls))
        .map_err(failed)?
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_ANSWER)
        .keep_alive_while_idle(true);
    endpoint.connect().await.map_err(failed)
}
