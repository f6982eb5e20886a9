//! An authority that an operator, or cert-manager, puts into a directory: Istio's file names, or those of a Kubernetes
//! TLS Secret.
//!
//! Level-triggered: the files are read again and again and compared by digest, so no event can be missed. A content is
//! judged once it has been seen twice, since several files are never replaced in one step. What is judged are the very
//! bytes that were compared.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ring::digest;
use signet_identity::bundle::BUNDLE_PEM_MAX_BYTES;
use signet_identity::key::PRIVATE_KEY_PEM_MAX_BYTES;
use signet_identity::{Certificate, CertificateError, KeyError, PrivateKey};
use signet_runtime::files::{self, FileError};
use zeroize::Zeroizing;

use super::UnfitError;
use super::material::Material;
use super::signing_key::Key;

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

/// The file by which Istio says that a directory holds a root of its own making, and is no operator's.
const GENERATED: &str = "istio-generated";

/// SHA-256 over the names and contents of all files.
type Digest = [u8; 32];

/// A directory, and what was seen there.
#[derive(Debug)]
pub(super) struct Directory {
    dir: PathBuf,
    keys: Keys,
    /// Whether what was generated is no operator's, and so as good as nothing.
    ignores_generated: bool,
    /// The content of the look before.
    seen: Option<Digest>,
    /// The content that was judged last.
    judged: Option<Digest>,
}

/// Where the keys of what is plugged in are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keys {
    /// In the directory.
    Beside,
    /// In a token. A file where one would be is not read.
    InToken,
}

/// What a look finds.
pub(super) enum Seen {
    /// What was judged already, or something that may still be changing.
    Nothing,
    /// A content that was not judged.
    Fresh(Box<Result<Material, PluggedInError>>),
}

impl Directory {
    pub(super) fn new(dir: &Path, keys: Keys) -> Self {
        Self { dir: dir.to_owned(), keys, ignores_generated: false, seen: None, judged: None }
    }

    /// The same, where what Istio marked as its own `is_nothing`.
    pub(super) fn where_generated(self, is_nothing: bool) -> Self {
        Self { ignores_generated: is_nothing, ..self }
    }

    pub(super) fn path(&self) -> &Path {
        &self.dir
    }

    /// Whether no file of an authority is there.
    pub(super) fn is_empty(&self) -> bool {
        self.is_ignored() || Layout::of(&self.dir).files(self.keys).all(|name| files::is_absent(&self.dir.join(name)))
    }

    fn is_ignored(&self) -> bool {
        self.ignores_generated && !files::is_absent(&self.dir.join(GENERATED))
    }

    /// What is there now, however fresh.
    pub(super) fn look_at_once(&mut self) -> Result<Material, PluggedInError> {
        let set = FileSet::read(&self.dir, self.keys, self.is_ignored());
        self.seen = Some(set.digest());
        self.judged = self.seen;
        set.whole()?.material()
    }

    /// Whether what was last seen was judged.
    pub(super) fn is_judged(&self) -> bool {
        self.seen == self.judged
    }

    /// Judges what is there once more at the next look.
    pub(super) fn judge_again(&mut self) {
        self.judged = None;
    }

    /// What is there, once it has not changed from one look to the next.
    pub(super) fn look(&mut self) -> Seen {
        let set = FileSet::read(&self.dir, self.keys, self.is_ignored());
        let digest = Some(set.digest());
        if digest == self.judged {
            self.seen = digest;
            return Seen::Nothing;
        }
        if std::mem::replace(&mut self.seen, digest) != digest {
            return Seen::Nothing;
        }
        self.judged = digest;
        Seen::Fresh(Box::new(set.whole().and_then(|set| set.material())))
    }
}

/// The files of a directory as they were read, each once.
struct FileSet<'a> {
    dir: &'a Path,
    keys: Keys,
    layout: &'static Layout,
    contents: Vec<(&'static str, Content)>,
}

enum Content {
    Absent,
    Bytes(Zeroizing<Vec<u8>>),
    Unreadable(FileError),
}

impl Layout {
    fn of(dir: &Path) -> &'static Self {
        if files::is_absent(&dir.join(TLS_SECRET.certificate)) { &ISTIO } else { &TLS_SECRET }
    }

    /// Each file once, in the order in which missing ones are told.
    fn files(&self, keys: Keys) -> impl Iterator<Item = &'static str> {
        let own = [self.key, self.certificate, self.roots];
        let is_read = move |name: &&str| keys == Keys::Beside || *name != self.key;
        own.into_iter().filter(is_read).chain(self.chain.iter().copied().filter(move |name| !own.contains(name)))
    }

    fn max_bytes(&self, name: &str) -> usize {
        if name == self.key { PRIVATE_KEY_PEM_MAX_BYTES } else { BUNDLE_PEM_MAX_BYTES }
    }
}

impl<'a> FileSet<'a> {
    fn read(dir: &'a Path, keys: Keys, is_ignored: bool) -> Self {
        let layout = Layout::of(dir);
        let content = |name: &str| {
            let path = dir.join(name);
            if is_ignored {
                return Content::Absent;
            }
            match files::read(&path, layout.max_bytes(name)) {
                _ if files::is_absent(&path) => Content::Absent,
                Ok(bytes) => Content::Bytes(Zeroizing::new(bytes)),
                Err(error) => Content::Unreadable(error),
            }
        };
        Self { dir, keys, layout, contents: layout.files(keys).map(|name| (name, content(name))).collect() }
    }

    fn digest(&self) -> Digest {
        let mut whole = digest::Context::new(&digest::SHA256);
        for (name, content) in &self.contents {
            let part = match content {
                Content::Absent => "absent".to_owned(),
                Content::Bytes(bytes) => format!("{:?}", digest::digest(&digest::SHA256, bytes)),
                Content::Unreadable(error) => error.to_string(),
            };
            whole.update(format!("{name}={part};").as_bytes());
        }
        let mut digest = Digest::default();
        digest.copy_from_slice(whole.finish().as_ref());
        digest
    }

    /// The bytes of all files, if all are there and can be read.
    fn whole(self) -> Result<WholeSet<'a>, PluggedInError> {
        let Self { dir, keys, layout, contents } = self;
        let absent = contents.iter().filter(|(_, content)| matches!(content, Content::Absent));
        let missing: Vec<_> = absent.map(|(name, _)| format!("`{name}`")).collect();
        if !missing.is_empty() {
            return Err(PluggedInError::Incomplete { dir: dir.to_owned(), missing: missing.join(", ") });
        }
        let mut bytes = BTreeMap::new();
        for (name, content) in contents {
            match content {
                Content::Bytes(content) => drop(bytes.insert(name, content)),
                Content::Unreadable(error) => return Err(error.into()),
                Content::Absent => {}
            }
        }
        Ok(WholeSet { dir, keys, layout, bytes })
    }
}

/// The bytes of every file of a layout.
struct WholeSet<'a> {
    dir: &'a Path,
    keys: Keys,
    layout: &'static Layout,
    bytes: BTreeMap<&'static str, Zeroizing<Vec<u8>>>,
}

impl WholeSet<'_> {
    fn material(&self) -> Result<Material, PluggedInError> {
        let key = match self.keys {
            Keys::Beside => Key::Held(self.key()?),
            Keys::InToken => Key::InToken,
        };
        let certificate = self.signing_certificate()?;
        let mut middle = Vec::new();
        for name in self.layout.chain {
            middle.extend(self.certificates(name)?);
        }
        let path = self.dir.join(self.layout.roots);
        let roots = self.bytes(self.layout.roots).to_vec();
        let roots_pem = String::from_utf8(roots).map_err(|_| PluggedInError::NotText { path })?;
        Ok(Material { key, certificate, middle, roots_pem })
    }

    fn bytes(&self, name: &str) -> &[u8] {
        self.bytes.get(name).map_or(&[], |bytes| bytes.as_slice())
    }

    fn key(&self) -> Result<PrivateKey, PluggedInError> {
        let path = self.dir.join(self.layout.key);
        PrivateKey::from_pem(self.bytes(self.layout.key)).map_err(|source| PluggedInError::Key { path, source })
    }

    /// The first certificate of its file; those behind it stand in the chain again.
    fn signing_certificate(&self) -> Result<Certificate, PluggedInError> {
        let path = self.dir.join(self.layout.certificate);
        let first = self.certificates(self.layout.certificate)?.into_iter().next();
        first.ok_or_else(|| PluggedInError::Certificates { path, source: signet_identity::PemError::NoBlock.into() })
    }

    fn certificates(&self, name: &str) -> Result<Vec<Certificate>, PluggedInError> {
        Certificate::list_from_pem(self.bytes(name), BUNDLE_PEM_MAX_BYTES)
            .map_err(|source| PluggedInError::Certificates { path: self.dir.join(name), source })
    }
}
