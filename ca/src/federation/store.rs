//! The last good bundle of each peer, a file each, and the bundles that operators give to begin with.

use std::path::{Path, PathBuf};

use ring::digest;
use serde::{Deserialize, Serialize};
use signet_identity::bundle::BUNDLE_PEM_MAX_BYTES;
use signet_identity::spiffe_bundle::SPIFFE_BUNDLE_MAX_BYTES;
use signet_identity::{BundleError, SpiffeBundle, SpiffeBundleError, Timestamp, TrustBundle, TrustDomain, hex};
use signet_runtime::files::{self, FileError};

const FILE_MODE: u32 = 0o644;

/// Longest trust domain whose name stands in its file's name; longer ones would not fit with what is added.
const NAME_MAX_BYTES: usize = 180;

/// Room for what stands around a bundle in its file.
const FILE_MAX_BYTES: usize = SPIFFE_BUNDLE_MAX_BYTES + 4096;

/// Why a file about a peer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not what was once written there.
    #[error("`{path}` is not a kept bundle of `{trust_domain}`: remove it to ask anew")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Whose it should be.
        trust_domain: TrustDomain,
    },
    /// The document in it is no SPIFFE bundle.
    #[error("`{path}`: {source}")]
    Bundle {
        /// The file.
        path: PathBuf,
        /// Why.
        source: SpiffeBundleError,
    },
    /// The certificates in it are no roots.
    #[error("`{path}`: {source}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        source: BundleError,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    trust_domain: String,
    /// Seconds since the Unix epoch.
    confirmed_at: i64,
    bundle: serde_json::Value,
}

/// The file of `trust_domain` in `dir`.
pub(super) fn path(dir: &Path, trust_domain: &TrustDomain) -> PathBuf {
    let name = trust_domain.as_str();
    let digest = || hex(digest::digest(&digest::SHA256, name.as_bytes()).as_ref());
    // What begins with a word of ours cannot be a name that means another directory.
    let name = if name.len() <= NAME_MAX_BYTES { name.to_owned() } else { digest() };
    dir.join(format!("peer-{name}.json"))
}

/// What is kept of `trust_domain` in `path`, and when it was last confirmed.
///
/// # Errors
/// [`StoreError`].
pub(super) fn load(path: &Path, trust_domain: &TrustDomain) -> Result<Option<(SpiffeBundle, Timestamp)>, StoreError> {
    let text = match files::read(path, FILE_MAX_BYTES) {
        Ok(text) => text,
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let malformed = || StoreError::Malformed { path: path.to_owned(), trust_domain: trust_domain.clone() };
    let kept: Kept = serde_json::from_slice(&text).map_err(|_| malformed())?;
    if kept.trust_domain != trust_domain.as_str() {
        return Err(malformed());
    }
    let bundle = SpiffeBundle::from_json(trust_domain.clone(), kept.bundle.to_string().as_bytes())
        .map_err(|source| StoreError::Bundle { path: path.to_owned(), source })?;
    Ok(Some((bundle, Timestamp::from_unix_secs(kept.confirmed_at))))
}

/// Keeps `bundle` in `path`.
///
/// # Errors
/// [`FileError`].
pub(super) fn save(path: &Path, bundle: &SpiffeBundle, confirmed_at: Timestamp) -> Result<(), FileError> {
    let trust_domain = bundle.trust_domain().to_string();
    let kept = Kept { trust_domain, confirmed_at: confirmed_at.unix_secs(), bundle: bundle.to_json() };
    files::create_secret_dir(path.parent().unwrap_or(Path::new(".")))?;
    files::replace(path, serde_json::json!(kept).to_string().as_bytes(), FILE_MODE)
}

/// A bundle that an operator gives to begin with: a SPIFFE bundle, or certificates as PEM.
///
/// # Errors
/// [`StoreError`].
pub(super) fn given(path: &Path, trust_domain: &TrustDomain) -> Result<SpiffeBundle, StoreError> {
    let text = files::read(path, BUNDLE_PEM_MAX_BYTES)?;
    if text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{') {
        return SpiffeBundle::from_json(trust_domain.clone(), &text)
            .map_err(|source| StoreError::Bundle { path: path.to_owned(), source });
    }
    let roots = TrustBundle::from_pem(trust_domain.clone(), &text)
        .map_err(|source| StoreError::Pem { path: path.to_owned(), source })?;
    SpiffeBundle::new(trust_domain.clone(), roots.roots().to_vec(), Vec::new())
        .map_err(|source| StoreError::Bundle { path: path.to_owned(), source })
}
