//! What questions to other servers have in common: the roots that those are verified with, and connections over TLS.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use signet_identity::bundle::BUNDLE_PEM_MAX_BYTES;
use signet_runtime::files::{self, FileError};

/// Why a file of roots is of no use.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It holds none.
    #[error("`{path}` holds no usable root certificate")]
    None {
        /// The file.
        path: PathBuf,
    },
}

/// Why no connections can be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// Without roots nobody can be verified.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// The TLS library refused its settings.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

/// The PEM roots in a file, as they are now.
///
/// # Errors
/// Every variant of [`RootsError`].
pub(crate) fn roots(path: &Path) -> Result<RootCertStore, RootsError> {
    let text = files::read(path, BUNDLE_PEM_MAX_BYTES)?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&text).flatten());
    if roots.is_empty() { Err(RootsError::None { path: path.to_owned() }) } else { Ok(roots) }
}

/// Makes connections: over TLS to whom the roots in `ca_file` vouch for, or plain.
///
/// # Errors
/// Every variant of [`ConnectorError`].
pub(crate) fn connector(ca_file: Option<&Path>) -> Result<HttpsConnector<HttpConnector>, ConnectorError> {
    let roots = ca_file.map_or_else(|| Ok(RootCertStore::empty()), roots)?;
    let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build())
}
