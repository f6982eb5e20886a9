//! Names of secrets: everything that can be asked for, read once from the wire and bounded there.
//!
//! What a name says is known here, whether it is served, and to whom, is not. A name prints as it was written, since a
//! proxy takes no secret whose name is another than it asked for.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use signet_identity::{SpiffeId, TrustDomain};

/// Longest name, in bytes.
pub const NAME_MAX_BYTES: usize = 2048;

/// Longest path in a name, in bytes.
pub const PATH_MAX_BYTES: usize = 1000;

const FILE_PAIR: &str = "file-cert:";
const FILE_ROOTS: &str = "file-root:";
const SYSTEM: &str = "system";
const SPIFFE: &str = "spiffe://";

/// What stands between the two paths of a pair.
const BETWEEN_PATHS: char = '~';

/// The name of a secret. Roots order before identities, so that a message with both brings trust first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceName {
    /// `ROOTCA`: the roots of the workload's own trust domain, or of all where there are several.
    RootCa,
    /// `ALL`: the roots of every trust domain, apart from each other.
    AllRoots,
    /// `spiffe://td`: the roots of one trust domain.
    TrustDomain(TrustDomain),
    /// `file-root:system`: the roots that the operating system trusts.
    SystemRoots,
    /// `file-root:PATH`: roots from a file.
    FileRoots(FilePath),
    /// `default`: the workload's identity, chain and key.
    Default,
    /// `spiffe://td/path`: the identity of this name.
    Identity(SpiffeId),
    /// `file-cert:CERT~KEY`: chain and key from two files.
    FilePair(FilePair),
}

/// Two files that belong together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilePair {
    /// The chain.
    pub chain: FilePath,
    /// The key of its leaf.
    pub key: FilePath,
}

/// An absolute path without `.`, `..`, empty components, control characters and `~`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilePath(Arc<str>);

impl FilePath {
    /// The path.
    pub fn as_path(&self) -> &Path {
        Path::new(&*self.0)
    }
}

/// No secret can have this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such secret")]
pub struct UnknownName;

impl ResourceName {
    /// Every word that [`ResourceName::kind`] says.
    pub const KINDS: [&'static str; 7] =
        ["ROOTCA", "ALL", "trust-domain", "file-root", "default", "spiffe-id", "file-cert"];

    /// What is named, in one of a few words.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::RootCa => "ROOTCA",
            Self::AllRoots => "ALL",
            Self::TrustDomain(_) => "trust-domain",
            Self::SystemRoots | Self::FileRoots(_) => "file-root",
            Self::Default => "default",
            Self::Identity(_) => "spiffe-id",
            Self::FilePair(_) => "file-cert",
        }
    }

    /// Whether it is looked for only once somebody asks.
    pub const fn is_on_demand(&self) -> bool {
        matches!(self, Self::SystemRoots | Self::FileRoots(_) | Self::FilePair(_))
    }
}

impl FromStr for ResourceName {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "ROOTCA" => return Ok(Self::RootCa),
            "ALL" => return Ok(Self::AllRoots),
            "default" => return Ok(Self::Default),
            _ if name.len() > NAME_MAX_BYTES => return Err(UnknownName),
            _ => {}
        }
        if let Some(paths) = name.strip_prefix(FILE_PAIR) {
            let (chain, key) = paths.split_once(BETWEEN_PATHS).ok_or(UnknownName)?;
            return Ok(Self::FilePair(FilePair { chain: chain.parse()?, key: key.parse()? }));
        }
        match name.strip_prefix(FILE_ROOTS) {
            Some(SYSTEM) => return Ok(Self::SystemRoots),
            Some(path) => return path.parse().map(Self::FileRoots),
            None => {}
        }
        let id: SpiffeId = name.parse().map_err(|_| UnknownName)?;
        Ok(if id.names_a_workload() { Self::Identity(id) } else { Self::TrustDomain(id.trust_domain()) })
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RootCa => f.write_str("ROOTCA"),
            Self::AllRoots => f.write_str("ALL"),
            Self::TrustDomain(domain) => write!(f, "{SPIFFE}{domain}"),
            Self::SystemRoots => write!(f, "{FILE_ROOTS}{SYSTEM}"),
            Self::FileRoots(path) => write!(f, "{FILE_ROOTS}{}", path.0),
            Self::Default => f.write_str("default"),
            Self::Identity(id) => f.write_str(id.as_str()),
            Self::FilePair(FilePair { chain, key }) => write!(f, "{FILE_PAIR}{}{BETWEEN_PATHS}{}", chain.0, key.0),
        }
    }
}

impl FromStr for FilePath {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let components = text.strip_prefix('/').ok_or(UnknownName)?;
        let is_plain = |component: &str| !matches!(component, "" | "." | "..");
        let is_odd = |c: char| c.is_control() || c == BETWEEN_PATHS;
        if text.len() > PATH_MAX_BYTES || text.contains(is_odd) || !components.split('/').all(is_plain) {
            return Err(UnknownName);
        }
        Ok(Self(text.into()))
    }
}

#[cfg(test)]
mod tests;
