//! An X509-SVID that is complete: leaf, intermediates and private key, proven to belong together.
//!
//! Whether anyone trusts it is another question, answered by `bundle`.

use crate::certificate::LeafError;
use crate::{Certificate, Lifetime, PrivateKey, SpiffeId};

/// Most certificates in a chain, leaf included.
pub const CHAIN_MAX_CERTIFICATES: usize = 10;

/// Why certificates and a key are no SVID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SvidError {
    /// There is no certificate.
    #[error("certificate chain is empty")]
    Empty,
    /// The chain is longer than [`CHAIN_MAX_CERTIFICATES`].
    #[error("certificate chain has {count} certificates, at most {CHAIN_MAX_CERTIFICATES} are accepted")]
    TooLong {
        /// Certificates given.
        count: usize,
    },
    /// The leaf does not name a workload.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// The leaf names usages, and TLS in both directions is not among them (X509-SVID, 4.3 and 4.4).
    #[error("leaf certificate may not be used for both sides of TLS")]
    Usage,
    /// The private key is another one's.
    #[error("private key does not belong to the leaf certificate")]
    KeyMismatch,
    /// A certificate was not issued by the one behind it.
    #[error("certificate {position} of the chain was not issued by the one behind it")]
    Order {
        /// Counted from the leaf, which is 0.
        position: usize,
    },
}

/// A workload's certificate chain and the key that belongs to its leaf. The leaf comes first; the last certificate may
/// be the root, which some authorities put there.
#[derive(Debug)]
pub struct Svid {
    id: SpiffeId,
    leaf: Certificate,
    intermediates: Vec<Certificate>,
    key: PrivateKey,
}

impl Svid {
    /// Joins a chain and a key.
    ///
    /// # Errors
    /// Every variant of [`SvidError`].
    pub fn new(chain: Vec<Certificate>, key: PrivateKey) -> Result<Self, SvidError> {
        if chain.len() > CHAIN_MAX_CERTIFICATES {
            return Err(SvidError::TooLong { count: chain.len() });
        }
        let position = chain.windows(2).position(|pair| match pair {
            [below, above] => below.issuer_der() != above.subject_der(),
            _ => false,
        });
        if let Some(position) = position {
            return Err(SvidError::Order { position });
        }
        let mut intermediates = chain.into_iter();
        let leaf = intermediates.next().ok_or(SvidError::Empty)?;
        let id = leaf.workload_id()?;
        if !serves_both_sides(&leaf) {
            return Err(SvidError::Usage);
        }
        if leaf.public_key() != key.public() {
            return Err(SvidError::KeyMismatch);
        }
        Ok(Self { id, leaf, intermediates: intermediates.collect(), key })
    }

    /// The workload's name.
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// The leaf certificate.
    pub fn leaf(&self) -> &Certificate {
        &self.leaf
    }

    /// The certificates above the leaf, from below; often none.
    pub fn intermediates(&self) -> &[Certificate] {
        &self.intermediates
    }

    /// Leaf and intermediates.
    pub fn chain(&self) -> impl Iterator<Item = &Certificate> {
        std::iter::once(&self.leaf).chain(&self.intermediates)
    }

    /// Leaf and intermediates as PEM.
    pub fn chain_pem(&self) -> String {
        self.chain().map(Certificate::to_pem).collect()
    }

    /// The private key.
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// When the leaf is valid.
    pub fn lifetime(&self) -> Lifetime {
        self.leaf.lifetime()
    }
}

/// A proxy would refuse to sign its handshakes with anything less, so an issuer's slip is better found here.
fn serves_both_sides(leaf: &Certificate) -> bool {
    leaf.key_usage().is_none_or(|usage| usage.digital_signature)
        && leaf.extended_key_usage().is_none_or(|usage| usage.server_auth && usage.client_auth)
}
