//! The certificate that an endpoint presents: an operator's in two files, which are looked at again and again, or the
//! authority's own serving certificate.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use signet_identity::bundle::BUNDLE_PEM_MAX_BYTES;
use signet_identity::key::PRIVATE_KEY_PEM_MAX_BYTES;
use signet_identity::{Certificate, KeyError, Lifetime, PrivateKey, Timestamp};
use signet_runtime::files::{self, FileError};
use signet_runtime::tasks::chain;
use signet_runtime::{Clock, HealthHandle, Shutdown};
use zeroize::Zeroizing;

use crate::metrics::{WebEndpoint, WebMetrics};

/// Time between two looks at the files.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Why two files are no serving certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// One of them cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The certificates cannot be used.
    #[error("certificates in `{path}` cannot be used: {source}")]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why.
        source: signet_identity::CertificateError,
    },
    /// There is none.
    #[error("`{path}` holds no certificate")]
    None {
        /// The file.
        path: PathBuf,
    },
    /// The key cannot be used.
    #[error("private key in `{path}` cannot be used: {source}")]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// The key is another certificate's, as it is for a moment while both are exchanged.
    #[error("private key in `{key}` does not belong to the first certificate in `{certificate}`")]
    KeyMismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificates' file.
        certificate: PathBuf,
    },
    /// The TLS library does not take the key.
    #[error("TLS library refused the key")]
    Tls(#[from] rustls::Error),
}

/// What handshakes are answered with.
struct Current {
    key: ArcSwap<CertifiedKey>,
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.key.load_full())
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current(redacted)")
    }
}

/// The files, read again and again; what they hold is used only if it fits together.
pub(crate) struct FileCertificate {
    endpoint: WebEndpoint,
    certificate: PathBuf,
    key: PathBuf,
    current: Arc<Current>,
    lifetime: Lifetime,
    /// The certificates in use, so that a change is noticed.
    in_use: Vec<u8>,
    complaint: Option<String>,
    clock: Clock,
    metrics: WebMetrics,
    health: HealthHandle,
}

impl FileCertificate {
    /// Reads both files.
    ///
    /// # Errors
    /// Every variant of [`CertificateError`].
    pub(crate) fn open(
        endpoint: WebEndpoint,
        certificate: PathBuf,
        key: PathBuf,
        clock: Clock,
        metrics: WebMetrics,
        health: HealthHandle,
    ) -> Result<Self, CertificateError> {
        let in_use = files::read(&certificate, BUNDLE_PEM_MAX_BYTES)?;
        let (certified, lifetime) = load(&certificate, &in_use, &key)?;
        let current = Arc::new(Current { key: ArcSwap::from_pointee(certified) });
        let complaint = None;
        let opened = Self { endpoint, certificate, key, current, lifetime, in_use, complaint, clock, metrics, health };
        opened.tell();
        Ok(opened)
    }

    /// Where handshakes find it.
    pub(crate) fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        self.current.clone()
    }

    /// Looks at the files until shutdown begins.
    ///
    /// # Errors
    /// None.
    pub(crate) async fn run(mut self, shutdown: Shutdown) -> Result<(), Infallible> {
        loop {
            tokio::select! {
                // Neither arm holds anything.
                () = shutdown.begun() => return Ok(()),
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
            self.look();
        }
    }

    fn look(&mut self) {
        let looked = self.reload();
        let complaint = looked.err().map(|error| chain(&error));
        if let Some(error) = complaint.as_ref().filter(|_| complaint != self.complaint) {
            tracing::error!(endpoint = %self.endpoint, error, "serving certificate cannot be read, the old one stays in use");
        }
        self.complaint = complaint;
        self.tell();
    }

    fn reload(&mut self) -> Result<(), CertificateError> {
        let text = files::read(&self.certificate, BUNDLE_PEM_MAX_BYTES)?;
        if text == self.in_use {
            return Ok(());
        }
        let (certified, lifetime) = load(&self.certificate, &text, &self.key)?;
        self.current.key.store(Arc::new(certified));
        (self.lifetime, self.in_use) = (lifetime, text);
        tracing::info!(endpoint = %self.endpoint, not_after = %lifetime.not_after(), "serving certificate read anew");
        Ok(())
    }

    fn tell(&self) {
        self.metrics.certificate_ends(self.endpoint, self.lifetime.not_after());
        let now = Timestamp::from(self.clock.now());
        if let Some(complaint) = &self.complaint {
            self.health.degraded(format!("serving certificate cannot be read: {complaint}"));
        } else if !self.lifetime.contains(now) {
            self.health
                .degraded(format!("serving certificate is not valid now, only until {}", self.lifetime.not_after()));
        } else {
            self.health.ready();
        }
    }
}

fn load(path: &Path, text: &[u8], key_path: &Path) -> Result<(CertifiedKey, Lifetime), CertificateError> {
    let certificates = Certificate::list_from_pem(text, BUNDLE_PEM_MAX_BYTES)
        .map_err(|source| CertificateError::Certificates { path: path.to_owned(), source })?;
    let leaf = certificates.first().ok_or_else(|| CertificateError::None { path: path.to_owned() })?;
    let text = Zeroizing::new(files::read(key_path, PRIVATE_KEY_PEM_MAX_BYTES)?);
    let key =
        PrivateKey::from_pem(&text).map_err(|source| CertificateError::Key { path: key_path.to_owned(), source })?;
    if key.public() != leaf.public_key() {
        return Err(CertificateError::KeyMismatch { key: key_path.to_owned(), certificate: path.to_owned() });
    }
    let chain = certificates.iter().map(|certificate| CertificateDer::from(certificate.der().to_vec())).collect();
    let pkcs8 = key.to_pkcs8();
    let key = any_supported_type(&PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.as_slice())))?;
    Ok((CertifiedKey::new(chain, key), leaf.lifetime()))
}

#[cfg(test)]
mod tests;
