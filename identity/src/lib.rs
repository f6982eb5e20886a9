//! The words of the domain: SPIFFE ids, certificates, SVIDs, trust bundles, keys, requests and signed tokens.
//!
//! Everything here is a value that was checked when it was made, so the rest of Signet need not check it again.
//! This room is pure. It must not know of files, sockets, async or the clock: time and randomness come in as
//! arguments, or (for keys and serials) from the operating system's generator alone.

pub mod bundle;
pub mod certificate;
pub mod csr;
pub mod der;
pub mod hex;
pub mod jwk;
pub mod jws;
pub mod key;
pub mod lifetime;
pub mod pem;
pub mod serial;
pub mod signature;
pub mod spiffe_bundle;
pub mod spiffe_id;
mod strict;
pub mod svid;
pub mod timestamp;
pub mod workload;

pub use bundle::{BundleError, TrustBundle, VerifyError};
pub use certificate::{Certificate, CertificateError};
pub use csr::{CsrError, VerifiedCsr};
pub use hex::hex;
pub use jwk::{JwkError, JwkSet};
pub use jws::{JwsError, UnverifiedJws};
pub use key::{KeyAlgorithm, KeyError, PrivateKey, PublicKey, Signer};
pub use lifetime::Lifetime;
pub use pem::PemError;
pub use serial::Serial;
pub use signature::SignatureAlgorithm;
pub use spiffe_bundle::{JwtKey, SpiffeBundle, SpiffeBundleError};
pub use spiffe_id::{SpiffeId, SpiffeIdError, TrustDomain};
pub use svid::{Svid, SvidError};
pub use timestamp::Timestamp;
pub use workload::{Namespace, ServiceAccount, WorkloadError, WorkloadName};
