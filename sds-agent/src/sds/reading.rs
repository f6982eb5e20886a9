//! Files that proxies ask for: opened only where they may be, whatever links say, and judged.
//!
//! A path leads wherever its links lead, and links change between a look and the opening. So the file is taken hold of
//! first, without reading it; then the kernel says where it really is; only then it is read, through that hold.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;
use signet_identity::{BundleError, Lifetime, SpiffeBundle, SpiffeBundleError, Timestamp, TrustBundle, TrustDomain};
use zeroize::Zeroizing;

use crate::config::SdsFilesConfig;
use crate::material::{ANCHORS_PEM_MAX_BYTES, Anchors, AnchorsError, Pair, PairError};
use crate::sds::ResourceName;
use crate::sds::name::FilePair;
use crate::sds::secret::{Content, Held};

/// Largest file read, in bytes.
const FILE_MAX_BYTES: usize = ANCHORS_PEM_MAX_BYTES;

/// Where operating systems keep the roots that they trust.
const SYSTEM_ROOTS: [&str; 8] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/etc/ssl/cert.pem",
    "/etc/ssl/certs/ca-certificates",
];

/// Why a secret could not be made of its files.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("cannot {verb} `{path}`: {source}")]
    Io { verb: &'static str, path: PathBuf, source: io::Error },
    #[error("`{path}` leads out of the directories of `sds.file_dirs`, to `{real}`")]
    Outside { path: PathBuf, real: PathBuf },
    #[error("`{path}` is not a regular file")]
    NotAFile { path: PathBuf },
    #[error("`{path}` has more than {FILE_MAX_BYTES} bytes")]
    TooLarge { path: PathBuf },
    #[error("this system keeps its roots in none of the known files, set `sds.system_roots_file`")]
    NoSystemRoots,
    #[error(transparent)]
    Pair(#[from] PairError),
    #[error(transparent)]
    Anchors(#[from] AnchorsError),
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    SpiffeBundle(#[from] SpiffeBundleError),
    #[error("bundle holds no root")]
    NoRoots,
    #[error("is not read from files")]
    NotAFileName,
}

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What was read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) held: Held,
    /// Of which files, in which state.
    pub(super) stamps: Vec<Stamp>,
    /// When it ends.
    pub(super) ends: Option<Timestamp>,
    /// What is odd about it although it serves.
    pub(super) remark: Option<String>,
}

/// Reads what `name` names; `None` when its files are as `before` says.
pub(super) fn read(
    name: &ResourceName,
    config: &SdsFilesConfig,
    before: &[Stamp],
    now: Timestamp,
) -> Result<Option<Reading>, ReadError> {
    match name {
        ResourceName::FilePair(FilePair { chain, key }) => {
            let files = [Hold::inside(chain.as_path(), &config.dirs)?, Hold::inside(key.as_path(), &config.dirs)?];
            let Some([chain, key]) = contents(files, before)? else { return Ok(None) };
            Ok(Some(pair(&chain, &key, now)?))
        }
        ResourceName::FileRoots(path) => {
            let Some([file]) = contents([Hold::inside(path.as_path(), &config.dirs)?], before)? else {
                return Ok(None);
            };
            Ok(Some(anchors(Anchors::from_pem(&file.bytes)?, file.stamp)))
        }
        ResourceName::SystemRoots => {
            let path = system_roots(config).ok_or(ReadError::NoSystemRoots)?;
            let Some([file]) = contents([Hold::of(&path)?], before)? else { return Ok(None) };
            Ok(Some(anchors(Anchors::from_pem(&file.bytes)?, file.stamp)))
        }
        ResourceName::TrustDomain(domain) => {
            let path = config.federated.get(domain).ok_or(ReadError::NotAFileName)?;
            let Some([file]) = contents([Hold::of(path)?], before)? else { return Ok(None) };
            Ok(Some(anchors(Anchors::of(&bundle(domain, &file.bytes)?), file.stamp)))
        }
        _ => Err(ReadError::NotAFileName),
    }
}

fn pair(chain: &FileContent, key: &FileContent, now: Timestamp) -> Result<Reading, ReadError> {
    let pair = Pair::from_pem(&chain.bytes, &key.bytes)?;
    let life = pair.lifetime();
    Ok(Reading {
        held: Held { version: pair.version(), content: Content::Pair(Arc::new(pair)) },
        stamps: vec![chain.stamp.clone(), key.stamp.clone()],
        ends: Some(life.not_after()),
        remark: out_of_time(life, now),
    })
}

fn anchors(anchors: Anchors, stamp: Stamp) -> Reading {
    let remark = (anchors.passed_over() > 0).then(|| format!("{} PEM blocks were passed over", anchors.passed_over()));
    Reading {
        ends: anchors.first_end(),
        held: Held { version: anchors.version(), content: Content::Anchors(Arc::new(anchors)) },
        stamps: vec![stamp],
        remark,
    }
}

/// A proxy serves it all the same, and so it is told; whoever put it there may know better.
fn out_of_time(life: Lifetime, now: Timestamp) -> Option<String> {
    if life.contains(now) {
        return None;
    }
    let word = if now < life.not_before() { "is not valid yet" } else { "has expired" };
    Some(format!("the certificate {word}"))
}

/// PEM, or a SPIFFE bundle in JSON.
fn bundle(domain: &TrustDomain, bytes: &[u8]) -> Result<TrustBundle, ReadError> {
    if bytes.trim_ascii_start().starts_with(b"{") {
        return SpiffeBundle::from_json(domain.clone(), bytes)?.trust_bundle().ok_or(ReadError::NoRoots);
    }
    Ok(TrustBundle::from_pem(domain.clone(), bytes)?)
}

fn system_roots(config: &SdsFilesConfig) -> Option<PathBuf> {
    let known = || SYSTEM_ROOTS.iter().map(PathBuf::from).find(|path| path.exists());
    config.system_roots.clone().or_else(known)
}

/// A file that is held, not read.
struct Hold {
    path: PathBuf,
    /// The way to it that no link can change.
    through: PathBuf,
    stamp: Stamp,
    _file: File,
}

/// A file's bytes, which may be a key, and their stamp.
struct FileContent {
    bytes: Zeroizing<Vec<u8>>,
    stamp: Stamp,
}

impl Hold {
    fn of(path: &Path) -> Result<Self, ReadError> {
        let flags = (OFlags::PATH | OFlags::CLOEXEC).bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(io_error("open", path))?;
        let metadata = file.metadata().map_err(io_error("look at", path))?;
        if !metadata.is_file() {
            return Err(ReadError::NotAFile { path: path.to_owned() });
        }
        let through = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        Ok(Self { path: path.to_owned(), through, stamp: stamp(&metadata), _file: file })
    }

    fn inside(path: &Path, dirs: &[PathBuf]) -> Result<Self, ReadError> {
        let hold = Self::of(path)?;
        let real = fs::read_link(&hold.through).map_err(io_error("find out where the links lead of", path))?;
        if dirs.iter().filter_map(|dir| fs::canonicalize(dir).ok()).any(|dir| real.starts_with(dir)) {
            return Ok(hold);
        }
        Err(ReadError::Outside { path: path.to_owned(), real })
    }

    fn read(self) -> Result<FileContent, ReadError> {
        let file = File::open(&self.through).map_err(io_error("open", &self.path))?;
        // Reserved at once, so that no copy is left behind by growing.
        let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_MAX_BYTES.min(self.stamp.size as usize) + 1));
        file.take(FILE_MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(io_error("read", &self.path))?;
        if bytes.len() > FILE_MAX_BYTES {
            return Err(ReadError::TooLarge { path: self.path });
        }
        Ok(FileContent { bytes, stamp: self.stamp })
    }
}

/// The bytes of all `files`, unless none of them has changed.
fn contents<const N: usize>(files: [Hold; N], before: &[Stamp]) -> Result<Option<[FileContent; N]>, ReadError> {
    if files.iter().map(|file| &file.stamp).eq(before) {
        return Ok(None);
    }
    let read = files.into_iter().map(Hold::read).collect::<Result<Vec<_>, _>>()?;
    Ok(read.try_into().ok())
}

fn stamp(metadata: &Metadata) -> Stamp {
    Stamp {
        file: (metadata.dev(), metadata.ino()),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    }
}

fn io_error(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ReadError {
    let path = path.to_owned();
    move |source| ReadError::Io { verb, path, source }
}

#[cfg(test)]
mod tests;
