//! An authority that an operator, or cert-manager, puts into a directory: Istio's file names, or those of a Kubernetes
//! TLS Secret.

use std::path::{Path, PathBuf};

use signet_identity::bundle::BUNDLE_PEM_MAX_BYTES;
use signet_identity::key::PRIVATE_KEY_PEM_MAX_BYTES;
use signet_identity::{Certificate, CertificateError, KeyError, PrivateKey, Timestamp, TrustDomain};
use signet_runtime::files::{self, FileError};
use zeroize::Zeroizing;

use super::{Authority, Parts, UnfitError};

/// Why a directory is not used.
#[derive(Debug, thiserror::Error)]
pub enum PluggedInError {
    /// Some files are there, others are not. Going on with a root of our own would split the trust domain.
    #[error("`{dir}` lacks {missing}: all files of the authority must be there, or none")]
    Incomplete {
        /// The directory.
        dir: PathBuf,
        /// The files, separated by commas.
        missing: String,
    },
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file of certificates cannot be used.
    #[error("`{path}`: {source}")]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why.
        source: CertificateError,
    },
    /// The key cannot be used.
    #[error("`{path}`: {source}")]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// The file of roots is not text.
    #[error("`{path}` is not text")]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// The files do not make an authority.
    #[error("`{dir}`: {source}")]
    Unfit {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: UnfitError,
    },
}

/// Which file plays which part.
struct Layout {
    certificate: &'static str,
    key: &'static str,
    /// Read in this order, one after the other.
    chain: &'static [&'static str],
    roots: &'static str,
}

const ISTIO: Layout =
    Layout { certificate: "ca-cert.pem", key: "ca-key.pem", chain: &["cert-chain.pem"], roots: "root-cert.pem" };

const TLS_SECRET: Layout =
    Layout { certificate: "tls.crt", key: "tls.key", chain: &["tls.crt", "ca.crt"], roots: "ca.crt" };

impl Layout {
    fn of(dir: &Path) -> &'static Self {
        if files::is_absent(&dir.join(TLS_SECRET.certificate)) { &ISTIO } else { &TLS_SECRET }
    }

    fn files(&self) -> impl Iterator<Item = &'static str> {
        [self.key, self.certificate, self.roots].into_iter().chain(self.chain.iter().copied())
    }
}

pub(super) fn any_file(dir: &Path) -> bool {
    Layout::of(dir).files().any(|name| !files::is_absent(&dir.join(name)))
}

pub(super) fn load(dir: &Path, trust_domain: &TrustDomain, now: Timestamp) -> Result<Authority, PluggedInError> {
    let layout = Layout::of(dir);
    let missing: Vec<_> =
        layout.files().filter(|name| files::is_absent(&dir.join(name))).map(|name| format!("`{name}`")).collect();
    if !missing.is_empty() {
        return Err(PluggedInError::Incomplete { dir: dir.to_owned(), missing: missing.join(", ") });
    }
    let (key, certificate, middle) = (key(dir, layout)?, signing_certificate(dir, layout)?, chain(dir, layout)?);
    let parts = Parts { key, certificate, middle, roots_pem: roots(dir, layout)? };
    Authority::new(parts, trust_domain, now).map_err(|source| PluggedInError::Unfit { dir: dir.to_owned(), source })
}

fn key(dir: &Path, layout: &Layout) -> Result<PrivateKey, PluggedInError> {
    let path = dir.join(layout.key);
    let text = Zeroizing::new(files::read(&path, PRIVATE_KEY_PEM_MAX_BYTES)?);
    PrivateKey::from_pem(&text).map_err(|source| PluggedInError::Key { path, source })
}

/// The first certificate of its file; those behind it stand in the chain again.
fn signing_certificate(dir: &Path, layout: &Layout) -> Result<Certificate, PluggedInError> {
    let path = dir.join(layout.certificate);
    let first = certificates(&path)?.into_iter().next();
    first.ok_or_else(|| PluggedInError::Certificates { path, source: signet_identity::PemError::NoBlock.into() })
}

fn chain(dir: &Path, layout: &Layout) -> Result<Vec<Certificate>, PluggedInError> {
    let mut chain = Vec::new();
    for name in layout.chain {
        chain.extend(certificates(&dir.join(name))?);
    }
    Ok(chain)
}

fn roots(dir: &Path, layout: &Layout) -> Result<String, PluggedInError> {
    let path = dir.join(layout.roots);
    let bytes = files::read(&path, BUNDLE_PEM_MAX_BYTES)?;
    String::from_utf8(bytes).map_err(|_| PluggedInError::NotText { path })
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, PluggedInError> {
    let text = files::read(path, BUNDLE_PEM_MAX_BYTES)?;
    Certificate::list_from_pem(&text, BUNDLE_PEM_MAX_BYTES)
        .map_err(|source| PluggedInError::Certificates { path: path.to_owned(), source })
}
