//! What a certificate must be to give a workload its name.

use super::Certificate;
use crate::spiffe_id::{SpiffeId, SpiffeIdError};

impl Certificate {
    /// The id that this certificate gives a workload: exactly one URI name, a valid id with a path, on a certificate
    /// that can sign neither certificates nor revocation lists (X509-SVID, 5.2).
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn workload_id(&self) -> Result<SpiffeId, LeafError> {
        if self.is_ca {
            return Err(LeafError::Authority);
        }
        if self.key_usage.is_some_and(|usage| usage.key_cert_sign || usage.crl_sign) {
            return Err(LeafError::KeyUsage);
        }
        let [uri] = self.uris.as_slice() else {
            return Err(LeafError::UriCount { count: self.uris.len() });
        };
        let id: SpiffeId = uri.parse()?;
        if id.names_a_workload() { Ok(id) } else { Err(LeafError::NoPath) }
    }
}

/// Why a certificate gives no workload its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// A CA certificate cannot authenticate a workload.
    #[error("certificate is a CA certificate, not a leaf")]
    Authority,
    /// A leaf must not be able to sign certificates or revocation lists.
    #[error("leaf certificate may sign certificates or revocation lists")]
    KeyUsage,
    /// Not exactly one URI name.
    #[error("leaf certificate has {count} URI names, exactly one is accepted")]
    UriCount {
        /// How many there are.
        count: usize,
    },
    /// The URI name is not a SPIFFE id.
    #[error("leaf certificate's URI name is not a SPIFFE id: {0}")]
    Id(#[from] SpiffeIdError),
    /// The id names a trust domain, not a workload.
    #[error("leaf certificate's SPIFFE id has no path")]
    NoPath,
}
