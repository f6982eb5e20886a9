//! Certificates, keys and roots that come from outside the agent: each is judged before it can be handed to a proxy.
//!
//! A proxy that is given a key that is not the chain's, or an empty set of roots, keeps the fault beside what still
//! serves and fails later, or accepts anyone. So such values do not exist. Knows no files and no names.

use signet_identity::certificate::CertificateError;
use signet_identity::pem::{self, PemKind};
use signet_identity::svid::CHAIN_MAX_CERTIFICATES;
use signet_identity::{Certificate, KeyError, Lifetime, PemError, PrivateKey, Timestamp, TrustBundle};

use crate::secrets::Version;

/// Largest PEM text read as a chain, in bytes.
pub const CHAIN_PEM_MAX_BYTES: usize = 512 * 1024;

/// Largest PEM text read as roots, in bytes: operating systems trust some 150 in 250,000.
pub const ANCHORS_PEM_MAX_BYTES: usize = 1024 * 1024;

/// Why a chain and a key are no pair.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    /// The chain cannot be read.
    #[error("chain: {0}")]
    Chain(#[from] CertificateError),
    /// The chain is longer than a proxy should send.
    #[error("chain has {count} certificates, at most {CHAIN_MAX_CERTIFICATES} are accepted")]
    TooLong {
        /// Certificates given.
        count: usize,
    },
    /// The key cannot be read.
    #[error("key: {0}")]
    Key(#[from] KeyError),
    /// The key is another one's.
    #[error("key does not belong to the first certificate of the chain")]
    Mismatch,
    /// The first certificate is one to sign others with.
    #[error("first certificate of the chain is a CA's")]
    Authority,
    /// A certificate behind the first that vouches for nothing.
    #[error("certificate {position} of the chain is not a CA's")]
    NotAuthority {
        /// Counted from the leaf, which is 0.
        position: usize,
    },
}

/// A chain and the key that belongs to its leaf, for TLS; unlike an SVID it may name anything.
#[derive(Debug)]
pub struct Pair {
    leaf: Certificate,
    above: Vec<Certificate>,
    key: PrivateKey,
}

impl Pair {
    /// Judges two PEM texts.
    ///
    /// # Errors
    /// Every variant of [`PairError`].
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, PairError> {
        let chain = Certificate::list_from_pem(chain, CHAIN_PEM_MAX_BYTES)?;
        let key = PrivateKey::from_pem(key)?;
        if chain.len() > CHAIN_MAX_CERTIFICATES {
            return Err(PairError::TooLong { count: chain.len() });
        }
        let mut above = chain.into_iter();
        let leaf = above.next().ok_or(CertificateError::Pem(PemError::NoBlock))?;
        let above: Vec<_> = above.collect();
        if leaf.public_key() != key.public() {
            return Err(PairError::Mismatch);
        }
        if leaf.is_ca() {
            return Err(PairError::Authority);
        }
        match above.iter().position(|certificate| !certificate.is_ca()) {
            Some(behind) => Err(PairError::NotAuthority { position: behind + 1 }),
            None => Ok(Self { leaf, above, key }),
        }
    }

    /// Leaf and what stands behind it.
    pub fn chain(&self) -> impl Iterator<Item = &Certificate> {
        std::iter::once(&self.leaf).chain(&self.above)
    }

    /// The key.
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// When the leaf is valid.
    pub fn lifetime(&self) -> Lifetime {
        self.leaf.lifetime()
    }

    /// The name of this content. The key is told by its public half.
    pub fn version(&self) -> Version {
        Version::of(self.chain().map(Certificate::der).chain([self.key.public().spki_der()]))
    }
}

/// Why a text holds no roots.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnchorsError {
    /// Its armour is broken.
    #[error("roots: {0}")]
    Pem(#[from] PemError),
    /// Nothing in it can serve as a root.
    #[error("none of {count} PEM blocks can serve as a root: {why}")]
    NoneUsable {
        /// Blocks found.
        count: usize,
        /// What is wrong with the first.
        why: String,
    },
}

/// Roots of which each vouches for every peer; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchors {
    roots: Vec<Certificate>,
    pem: String,
    passed_over: usize,
}

impl Anchors {
    /// Reads the CA certificates of a PEM text; blocks that cannot serve are passed over and counted.
    ///
    /// # Errors
    /// Every variant of [`AnchorsError`].
    pub fn from_pem(text: &[u8]) -> Result<Self, AnchorsError> {
        let blocks = pem::decode(text, ANCHORS_PEM_MAX_BYTES)?;
        let (count, mut roots, mut first_fault) = (blocks.len(), Vec::new(), None);
        for block in blocks {
            match anchor(block.kind, &block.der) {
                Ok(root) if roots.contains(&root) => {}
                Ok(root) => roots.push(root),
                Err(why) => drop(first_fault.get_or_insert(why)),
            }
        }
        if roots.is_empty() {
            return Err(AnchorsError::NoneUsable { count, why: first_fault.unwrap_or_default() });
        }
        let passed_over = count - roots.len();
        Ok(Self { pem: pem_of(&roots), roots, passed_over })
    }

    /// The roots of a trust domain.
    pub fn of(bundle: &TrustBundle) -> Self {
        Self { roots: bundle.roots().to_vec(), pem: bundle.to_pem(), passed_over: 0 }
    }

    /// The roots.
    pub fn roots(&self) -> &[Certificate] {
        &self.roots
    }

    /// The roots as PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Blocks that were passed over.
    pub fn passed_over(&self) -> usize {
        self.passed_over
    }

    /// When the first of them ends.
    pub fn first_end(&self) -> Option<Timestamp> {
        self.roots.iter().map(|root| root.lifetime().not_after()).min()
    }

    /// The name of this content.
    pub fn version(&self) -> Version {
        Version::of(self.roots.iter().map(Certificate::der))
    }
}

fn pem_of(roots: &[Certificate]) -> String {
    roots.iter().map(Certificate::to_pem).collect()
}

/// A certificate that may vouch for others, or vouches for itself, as one that is pinned does.
fn anchor(kind: PemKind, der: &[u8]) -> Result<Certificate, String> {
    if kind != PemKind::Certificate {
        return Err("is not a certificate".to_owned());
    }
    let certificate = Certificate::from_der(der).map_err(|error| error.to_string())?;
    if certificate.is_ca() || certificate.is_self_issued() {
        return Ok(certificate);
    }
    Err(format!("certificate {} is neither a CA's nor its own issuer", certificate.serial()))
}

#[cfg(test)]
mod tests;
