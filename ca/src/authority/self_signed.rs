//! A root that Signet made for itself, kept in a state directory.
//!
//! Key and certificate are one file, created in one step and never replaced, so there is no moment at which one of
//! them exists without the other, and of several processes that start at once one makes the root that all use. The
//! root is published beside it as `root-cert.pem`. A published root without its key means that the key was lost: that
//! is refused, since a second root would split the trust domain.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::digest;
use signet_identity::der::{self, AltName};
use signet_identity::pem::{self, PemKind};
use signet_identity::{
    Certificate, CertificateError, KeyError, Lifetime, PemError, PrivateKey, PublicKey, Serial, Timestamp, TrustDomain,
};
use signet_runtime::files::{self, FileError, SECRET_MODE};
use zeroize::Zeroizing;

use super::{Authority, Parts, UnfitError};
use crate::encode;
use crate::profile::BACKDATE;

/// The file that holds key and certificate.
const AUTHORITY_FILE: &str = "authority.pem";

/// The file that holds the certificate alone, for everyone to read.
const ROOT_FILE: &str = "root-cert.pem";

const ROOT_FILE_MODE: u32 = 0o644;

/// Largest authority file, in bytes.
const AUTHORITY_FILE_MAX_BYTES: usize = 64 * 1024;

/// Octets of a subject key identifier: the leftmost 160 bits of SHA-256 (RFC 7093, method 1).
const KEY_ID_OCTETS: usize = 20;

/// Longest organization name, in bytes (RFC 5280, upper bound `ub-organization-name`).
const ORGANIZATION_MAX_BYTES: usize = 64;

/// The last instant that a certificate can name: 9999-12-31T23:59:59Z (RFC 5280, 4.1.2.5).
const END_OF_TIME: Timestamp = Timestamp::from_unix_secs(253_402_300_799);

/// Why a state directory is not used. What it holds is left as it was.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The authority file is not PEM.
    #[error("`{path}` cannot be read as PEM: {source}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        source: PemError,
    },
    /// The authority file does not hold one key and one certificate.
    #[error("`{path}` holds {keys} private keys and {certificates} certificates, one of each is needed")]
    Incomplete {
        /// The file.
        path: PathBuf,
        /// Keys found.
        keys: usize,
        /// Certificates found.
        certificates: usize,
    },
    /// The key in it cannot be used.
    #[error("private key in `{path}` cannot be used: {source}")]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// The certificate in it cannot be used.
    #[error("certificate in `{path}` cannot be used: {source}")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: CertificateError,
    },
    /// Key and certificate do not make an authority.
    #[error("`{path}`: {source}")]
    Unfit {
        /// The file.
        path: PathBuf,
        /// Why.
        source: UnfitError,
    },
    /// A root was published here and its key is gone.
    #[error("`{root}` is there but `{authority}` is not: restore it, or empty the directory to begin with a new root")]
    KeyLost {
        /// The published root.
        root: PathBuf,
        /// The file that is missing.
        authority: PathBuf,
    },
    /// The published root is another one.
    #[error("`{root}` is not the root in `{authority}`: one of them was exchanged")]
    AnotherRoot {
        /// The published root.
        root: PathBuf,
        /// The authority file.
        authority: PathBuf,
    },
    /// The root was made for another trust domain.
    #[error("root in `{path}` was made for another trust domain than `{trust_domain}`: use another directory for it")]
    AnotherTrustDomain {
        /// The authority file.
        path: PathBuf,
        /// The trust domain in force.
        trust_domain: TrustDomain,
    },
    /// No key could be made.
    #[error("root cannot be made: {0}")]
    Make(#[from] KeyError),
    /// The clock shows a time that no certificate can name.
    #[error("root cannot be made at {now}, which is beyond what a certificate can say")]
    Clock {
        /// What the clock shows.
        now: Timestamp,
    },
}

/// Opens the authority in `dir`, making it when there is none.
pub(super) fn open(
    dir: &Path,
    trust_domain: &TrustDomain,
    root_ttl: Duration,
    now: Timestamp,
) -> Result<Authority, StateError> {
    files::create_secret_dir(dir)?;
    let path = dir.join(AUTHORITY_FILE);
    let text = match read(&path)? {
        Some(text) => text,
        None => create(dir, &path, trust_domain, root_ttl, now)?,
    };
    warn_if_others_may_read(&path);
    let authority = parse(&path, &text, trust_domain, now)?;
    publish(dir, &path, &authority)?;
    sweep(dir);
    Ok(authority)
}

fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, StateError> {
    match files::read(path, AUTHORITY_FILE_MAX_BYTES) {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Some volumes change modes by themselves, so this is told and not refused.
fn warn_if_others_may_read(path: &Path) {
    let mode = fs::metadata(path).map(|metadata| metadata.permissions().mode()).unwrap_or(SECRET_MODE);
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), mode = format!("{:o}", mode & 0o777), "others may read the root's key");
    }
}

/// Makes a root unless another process is quicker; either way the answer is what stands in the file.
fn create(
    dir: &Path,
    path: &Path,
    trust_domain: &TrustDomain,
    root_ttl: Duration,
    now: Timestamp,
) -> Result<Zeroizing<Vec<u8>>, StateError> {
    let root = dir.join(ROOT_FILE);
    if !files::is_absent(&root) {
        // Whoever was quicker publishes after creating, so look once more before calling the key lost.
        return read(path)?.ok_or_else(|| StateError::KeyLost { root, authority: path.to_owned() });
    }
    let text = make_root(trust_domain, root_ttl, now)?;
    match files::create(path, text.as_bytes(), SECRET_MODE) {
        Ok(()) => tracing::info!(path = %path.display(), "self-signed root created"),
        Err(error) => {
            return read(path)?.ok_or(StateError::File(error));
        }
    }
    Ok(Zeroizing::new(text.as_bytes().to_vec()))
}

/// Key and self-signed certificate as one PEM text.
fn make_root(trust_domain: &TrustDomain, ttl: Duration, now: Timestamp) -> Result<Zeroizing<String>, StateError> {
    let key = PrivateKey::generate_p256()?;
    let signer = key.signer()?;
    let (serial, generation) = (Serial::generate()?, Serial::generate()?.to_string());
    let not_after = now.plus(ttl).min(END_OF_TIME).whole_secs();
    let lifetime = Lifetime::new(now.minus(BACKDATE).whole_secs(), not_after).ok_or(StateError::Clock { now })?;
    let to_be_signed = encode::root(&encode::Root {
        serial: &serial,
        algorithm: signer.algorithm(),
        common_name: &format!("Signet root {generation}"),
        organization: Some(trust_domain.as_str()).filter(|name| name.len() <= ORGANIZATION_MAX_BYTES),
        names: &[AltName::Uri(trust_domain.id().to_string())],
        lifetime,
        public_key: key.public(),
        key_id: &key_id(key.public()),
    });
    let certificate = der::signed(&to_be_signed, signer.algorithm(), &signer.sign(&to_be_signed)?);
    Ok(Zeroizing::new([key.to_pem().as_str(), &pem::encode("CERTIFICATE", &certificate)].concat()))
}

fn key_id(key: &PublicKey) -> Vec<u8> {
    let digest = digest::digest(&digest::SHA256, key.raw_bits());
    digest.as_ref().iter().copied().take(KEY_ID_OCTETS).collect()
}

fn parse(path: &Path, text: &[u8], trust_domain: &TrustDomain, now: Timestamp) -> Result<Authority, StateError> {
    let path = || path.to_owned();
    let blocks =
        pem::decode(text, AUTHORITY_FILE_MAX_BYTES).map_err(|source| StateError::Pem { path: path(), source })?;
    let of = |wanted: PemKind| blocks.iter().filter(move |block| block.kind == wanted);
    let (keys, certificates) = (of(PemKind::PrivateKey).count(), of(PemKind::Certificate).count());
    let (Some(key), Some(certificate), 2) =
        (of(PemKind::PrivateKey).next(), of(PemKind::Certificate).next(), blocks.len())
    else {
        return Err(StateError::Incomplete { path: path(), keys, certificates });
    };
    let key = PrivateKey::from_pkcs8(key.der.clone()).map_err(|source| StateError::Key { path: path(), source })?;
    let certificate =
        Certificate::from_der(&certificate.der).map_err(|source| StateError::Certificate { path: path(), source })?;
    if certificate.uris() != [trust_domain.id().as_str()] {
        return Err(StateError::AnotherTrustDomain { path: path(), trust_domain: trust_domain.clone() });
    }
    let roots_pem = certificate.to_pem();
    Authority::new(Parts { key, certificate, middle: Vec::new(), roots_pem }, trust_domain, now)
        .map_err(|source| StateError::Unfit { path: path(), source })
}

/// Puts the root where everyone can read it, or finds it there.
fn publish(dir: &Path, authority_path: &Path, authority: &Authority) -> Result<(), StateError> {
    let root = dir.join(ROOT_FILE);
    match files::read(&root, AUTHORITY_FILE_MAX_BYTES) {
        Ok(published) if published == authority.roots_pem().as_bytes() => Ok(()),
        Ok(_) => Err(StateError::AnotherRoot { root, authority: authority_path.to_owned() }),
        Err(error) if error.is_missing() => {
            Ok(files::replace(&root, authority.roots_pem().as_bytes(), ROOT_FILE_MODE)?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Removes what a process that was killed while creating left behind: a copy of a key that nobody needs. Failing to
/// is no reason not to start.
fn sweep(dir: &Path) {
    let leftover = |name: &str| name.starts_with(&format!(".{AUTHORITY_FILE}.")) && name.ends_with(".tmp");
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if leftover(&entry.file_name().to_string_lossy()) {
            match fs::remove_file(entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(path = %entry.path().display(), %error, "leftover of a killed start stays");
                }
                _ => {}
            }
        }
    }
}
