//! Trust bundles: the roots of one trust domain, never none, and the judgement of chains against them
//! (X509-SVID, section 5; SPIFFE Trust Domain and Bundle).

use std::time::Duration;

use ring::digest;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::ring as algorithms;
use webpki::{EndEntityCert, KeyUsage, VerifiedPath, anchor_from_trusted_cert};

use crate::certificate::{CertificateError, LeafError};
use crate::svid::CHAIN_MAX_CERTIFICATES;
use crate::{Certificate, SpiffeId, Timestamp, TrustDomain};

/// Largest bundle accepted, in bytes of PEM.
pub const BUNDLE_PEM_MAX_BYTES: usize = 1024 * 1024;

/// Most roots in one bundle.
pub const BUNDLE_MAX_ROOTS: usize = 100;

/// Signature algorithms accepted on a path: SHA-2 with P-256, P-384, RSA from 2048 bits, or Ed25519.
const PATH_ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    algorithms::ECDSA_P256_SHA256,
    algorithms::ECDSA_P256_SHA384,
    algorithms::ECDSA_P384_SHA256,
    algorithms::ECDSA_P384_SHA384,
    algorithms::RSA_PKCS1_2048_8192_SHA256,
    algorithms::RSA_PKCS1_2048_8192_SHA384,
    algorithms::RSA_PKCS1_2048_8192_SHA512,
    algorithms::ED25519,
];

/// Why a text or a set of certificates is no trust bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// A proxy given an empty bundle may accept anyone, so there is no such value.
    #[error("trust bundle holds no root")]
    Empty,
    /// More than [`BUNDLE_MAX_ROOTS`].
    #[error("trust bundle holds {count} roots, at most {BUNDLE_MAX_ROOTS} are accepted")]
    TooManyRoots {
        /// Roots given.
        count: usize,
    },
    /// A certificate that cannot be read.
    #[error("trust bundle: {0}")]
    Certificate(#[from] CertificateError),
    /// A certificate that is not a CA's, or may not sign certificates.
    #[error("trust bundle holds certificate {serial}, which is not a CA certificate")]
    NotAuthority {
        /// Its serial, hexadecimal.
        serial: String,
    },
    /// A certificate that the path library cannot take as a root. Kept, it would spoil every verification.
    #[error("trust bundle holds certificate {serial}, which cannot serve as a root: {reason}")]
    Unusable {
        /// Its serial, hexadecimal.
        serial: String,
        /// The library's reason.
        reason: String,
    },
}

/// Why a chain is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The leaf does not name a workload.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// There is no certificate at all.
    #[error("certificate chain is empty")]
    Empty,
    /// The chain is longer than [`CHAIN_MAX_CERTIFICATES`].
    #[error("certificate chain has more than {CHAIN_MAX_CERTIFICATES} certificates")]
    TooLong,
    /// The leaf belongs to another trust domain.
    #[error("`{id}` does not belong to trust domain `{trust_domain}`")]
    TrustDomain {
        /// The leaf's id.
        id: SpiffeId,
        /// The bundle's domain.
        trust_domain: TrustDomain,
    },
    /// An intermediate names another trust domain than the leaf.
    #[error("intermediate certificate {serial} names another trust domain")]
    IntermediateDomain {
        /// Its serial, hexadecimal.
        serial: String,
    },
    /// A certificate above the leaf may not sign certificates.
    #[error("intermediate certificate {serial} may not sign certificates")]
    IntermediateUsage {
        /// Its serial, hexadecimal.
        serial: String,
    },
    /// Every root has expired or is not valid yet.
    #[error("no root of `{trust_domain}` is valid now")]
    NoValidRoot {
        /// The bundle's domain.
        trust_domain: TrustDomain,
    },
    /// No valid path leads from the leaf to a root.
    #[error("no valid path to a root of `{trust_domain}`: {reason}")]
    Path {
        /// The bundle's domain.
        trust_domain: TrustDomain,
        /// The library's reason.
        reason: String,
    },
}

/// The roots of one trust domain: at least one, each a CA certificate, each once, in the order given. A root may have
/// expired; [`TrustBundle::verify`] then passes it over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustBundle {
    trust_domain: TrustDomain,
    roots: Vec<Certificate>,
}

impl TrustBundle {
    /// A bundle of `roots`; repeated ones are kept once.
    ///
    /// # Errors
    /// No root, too many, or one that cannot serve as a root.
    pub fn new(trust_domain: TrustDomain, roots: Vec<Certificate>) -> Result<Self, BundleError> {
        let mut kept: Vec<Certificate> = Vec::new();
        for root in roots {
            check_root(&root)?;
            if kept.contains(&root) {
                continue;
            }
            if kept.len() == BUNDLE_MAX_ROOTS {
                return Err(BundleError::TooManyRoots { count: kept.len() + 1 });
            }
            kept.push(root);
        }
        if kept.is_empty() { Err(BundleError::Empty) } else { Ok(Self { trust_domain, roots: kept }) }
    }

    /// Reads a PEM text of CA certificates.
    ///
    /// # Errors
    /// As [`TrustBundle::new`], and texts that are not certificates only.
    pub fn from_pem(trust_domain: TrustDomain, text: &[u8]) -> Result<Self, BundleError> {
        Self::new(trust_domain, Certificate::list_from_pem(text, BUNDLE_PEM_MAX_BYTES)?)
    }

    /// Whose roots these are.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The roots, in order.
    pub fn roots(&self) -> &[Certificate] {
        &self.roots
    }

    /// The roots as PEM, one block behind the other.
    pub fn to_pem(&self) -> String {
        self.roots.iter().map(Certificate::to_pem).collect()
    }

    /// SHA-256 over the set of roots, the same whatever their order: tells whether a bundle really changed.
    pub fn digest(&self) -> [u8; 32] {
        let mut parts: Vec<_> = self.roots.iter().map(|root| digest::digest(&digest::SHA256, root.der())).collect();
        parts.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
        let mut whole = digest::Context::new(&digest::SHA256);
        parts.iter().for_each(|part| whole.update(part.as_ref()));
        let mut out = [0; 32];
        out.copy_from_slice(whole.finish().as_ref());
        out
    }

    /// Judges a chain (leaf first) at `now` and says whose it is.
    ///
    /// Both ends of every validity count as inside, the roots' too. What an intermediate may do is read from basic
    /// constraints and, where it is there, key usage. A leaf needs neither key usage nor extended key usage; if it has
    /// the second, it must allow TLS clients.
    ///
    /// # Errors
    /// The first rule of X509-SVID, section 5, that is broken.
    pub fn verify<'a>(
        &self,
        chain: impl IntoIterator<Item = &'a Certificate>,
        now: Timestamp,
    ) -> Result<SpiffeId, VerifyError> {
        let mut chain = chain.into_iter();
        let leaf = chain.next().ok_or(VerifyError::Empty)?;
        let above: Vec<&Certificate> = chain.take(CHAIN_MAX_CERTIFICATES).collect();
        if above.len() == CHAIN_MAX_CERTIFICATES {
            return Err(VerifyError::TooLong);
        }
        let id = leaf.workload_id()?;
        if !id.is_member_of(&self.trust_domain) {
            return Err(VerifyError::TrustDomain { id, trust_domain: self.trust_domain.clone() });
        }
        above.iter().try_for_each(|intermediate| self.check_intermediate(intermediate))?;
        self.verify_path(leaf, &above, now)?;
        Ok(id)
    }

    fn check_intermediate(&self, intermediate: &Certificate) -> Result<(), VerifyError> {
        let serial = || intermediate.serial().to_string();
        if intermediate.uris().iter().any(|uri| *uri != self.trust_domain.id().as_str()) {
            return Err(VerifyError::IntermediateDomain { serial: serial() });
        }
        if !intermediate.signs_certificates() {
            return Err(VerifyError::IntermediateUsage { serial: serial() });
        }
        Ok(())
    }

    fn verify_path(&self, leaf: &Certificate, above: &[&Certificate], now: Timestamp) -> Result<(), VerifyError> {
        let path_error = |error: webpki::Error| VerifyError::Path {
            trust_domain: self.trust_domain.clone(),
            reason: error.to_string(),
        };
        let roots: Vec<&Certificate> = self.roots.iter().filter(|root| root.lifetime().contains(now)).collect();
        let root_ders: Vec<CertificateDer<'_>> = roots.iter().map(|root| root.der().into()).collect();
        let anchors: Vec<TrustAnchor<'_>> =
            root_ders.iter().map(anchor_from_trusted_cert).collect::<Result<_, _>>().map_err(path_error)?;
        if anchors.is_empty() {
            return Err(VerifyError::NoValidRoot { trust_domain: self.trust_domain.clone() });
        }
        let above: Vec<CertificateDer<'_>> = above.iter().map(|cert| cert.der().into()).collect();
        let leaf = CertificateDer::from(leaf.der());
        let time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.unix_secs()).unwrap_or(0)));
        // The library takes a root for a name and a key; how long a path it allows is ours to check.
        let fits_root = |path: &VerifiedPath<'_>| {
            let root = anchors.iter().zip(&roots).find(|(anchor, _)| std::ptr::eq(*anchor, path.anchor()));
            let allowed = root.and_then(|(_, root)| root.path_len()).and_then(|max| usize::try_from(max).ok());
            let fits = allowed.is_none_or(|allowed| path.intermediate_certificates().count() <= allowed);
            if fits { Ok(()) } else { Err(webpki::Error::PathLenConstraintViolated) }
        };
        EndEntityCert::try_from(&leaf)
            .and_then(|leaf| {
                let usage = KeyUsage::client_auth();
                leaf.verify_for_usage(PATH_ALGORITHMS, &anchors, &above, time, usage, None, Some(&fits_root))
                    .map(|_| ())
            })
            .map_err(path_error)
    }
}

fn check_root(root: &Certificate) -> Result<(), BundleError> {
    let serial = || root.serial().to_string();
    if !root.signs_certificates() {
        return Err(BundleError::NotAuthority { serial: serial() });
    }
    anchor_from_trusted_cert(&CertificateDer::from(root.der()))
        .map(|_| ())
        .map_err(|error| BundleError::Unusable { serial: serial(), reason: error.to_string() })
}
