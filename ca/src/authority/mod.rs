//! The signing key with its certificate, what stands above it, and the roots that callers are given.
//!
//! An [`Authority`] is one immutable snapshot: a request that holds it gets chain, roots and signature of one kind,
//! whatever is loaded meanwhile. It exists only after a trial leaf signed by it was verified against its own roots.

mod plugged_in;
mod self_signed;

pub use plugged_in::PluggedInError;
pub use self_signed::StateError;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use signet_identity::der::{self, AltName};
use signet_identity::{
    BundleError, Certificate, CertificateError, KeyError, Lifetime, PrivateKey, PublicKey, Serial, SignatureAlgorithm,
    Signer, SpiffeId, Timestamp, TrustBundle, TrustDomain, VerifyError, pem,
};

use crate::encode;
use crate::hex::hex;
use crate::profile::LeafTemplate;

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The state directory of a self-signed root.
    #[error("self-signed authority cannot be used")]
    SelfSigned(#[from] StateError),
    /// The directory of a plugged-in authority.
    #[error("plugged-in authority cannot be used")]
    PluggedIn(#[from] PluggedInError),
}

/// Why key, certificate and roots do not make an authority.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnfitError {
    /// The key is another certificate's.
    #[error("signing key does not belong to the signing certificate")]
    KeyMismatch,
    /// The certificate may not sign others.
    #[error("signing certificate is not a CA certificate")]
    NotAuthority,
    /// The certificate has ended.
    #[error("signing certificate expired at {not_after}")]
    Expired {
        /// When it ended.
        not_after: Timestamp,
    },
    /// The certificate has not begun.
    #[error("signing certificate is not valid before {not_before}")]
    NotYetValid {
        /// When it begins.
        not_before: Timestamp,
    },
    /// The roots are no trust bundle.
    #[error("roots cannot be used: {0}")]
    Roots(#[from] BundleError),
    /// What is signed would not be trusted.
    #[error("a certificate signed by this authority would not be trusted: {0}")]
    NoPath(#[from] VerifyError),
    /// The key cannot sign.
    #[error("signing key cannot be used: {0}")]
    Key(#[from] KeyError),
    /// A trial certificate could not be read back.
    #[error("a certificate signed by this authority could not be read: {0}")]
    Trial(#[from] CertificateError),
}

/// Everything needed to sign a leaf and to answer its caller.
#[derive(Debug)]
pub struct Authority {
    signer: Signer,
    certificate: Certificate,
    /// What stands between leaf and roots in an answer, one PEM block each.
    middle: Vec<Certificate>,
    middle_pem: Vec<String>,
    roots: TrustBundle,
    /// The roots as the source gave them.
    roots_pem: String,
    usable: Lifetime,
}

/// What an authority is made of, before it was tried.
pub(crate) struct Parts {
    pub(crate) key: PrivateKey,
    pub(crate) certificate: Certificate,
    pub(crate) middle: Vec<Certificate>,
    pub(crate) roots_pem: String,
}

/// A leaf with everything that its caller gets beside it.
#[derive(Debug)]
pub struct SignedLeaf {
    /// The leaf's serial.
    pub serial: Serial,
    /// The leaf's validity.
    pub lifetime: Lifetime,
    /// The leaf alone, DER.
    pub der: Vec<u8>,
}

impl Authority {
    /// Opens the self-signed authority in the state directory `dir`, or creates it there when the directory is empty
    /// or missing.
    ///
    /// # Errors
    /// Every variant of [`StateError`]; nothing that was there is changed then.
    pub fn self_signed(
        dir: &Path,
        trust_domain: &TrustDomain,
        root_ttl: Duration,
        now: Timestamp,
    ) -> Result<Self, AuthorityError> {
        Ok(self_signed::open(dir, trust_domain, root_ttl, now)?)
    }

    /// Loads the authority that an operator put into `dir` under Istio's file names.
    ///
    /// # Errors
    /// Every variant of [`PluggedInError`].
    pub fn plugged_in(dir: &Path, trust_domain: &TrustDomain, now: Timestamp) -> Result<Self, AuthorityError> {
        Ok(plugged_in::load(dir, trust_domain, now)?)
    }

    /// Whether `dir` holds any file of a plugged-in authority.
    pub fn is_plugged_in(dir: &Path) -> bool {
        plugged_in::any_file(dir)
    }

    pub(crate) fn new(parts: Parts, trust_domain: &TrustDomain, now: Timestamp) -> Result<Self, UnfitError> {
        let Parts { key, certificate, middle, roots_pem } = parts;
        if key.public() != certificate.public_key() {
            return Err(UnfitError::KeyMismatch);
        }
        if !certificate.is_ca() {
            return Err(UnfitError::NotAuthority);
        }
        let validity = certificate.lifetime();
        if now < validity.not_before() {
            return Err(UnfitError::NotYetValid { not_before: validity.not_before() });
        }
        if now > validity.not_after() {
            return Err(UnfitError::Expired { not_after: validity.not_after() });
        }
        let mut authority = Self {
            signer: key.signer()?,
            middle_pem: middle.iter().map(Certificate::to_pem).collect(),
            roots: TrustBundle::from_pem(trust_domain.clone(), roots_pem.as_bytes())?,
            usable: validity,
            certificate,
            middle,
            roots_pem,
        };
        authority.usable = authority.try_out(now)?;
        Ok(authority)
    }

    /// Signs a leaf.
    ///
    /// # Errors
    /// [`KeyError::Randomness`], [`KeyError::Signing`].
    pub fn sign(&self, template: &LeafTemplate) -> Result<SignedLeaf, KeyError> {
        let serial = Serial::generate()?;
        let to_be_signed = encode::leaf(&encode::Leaf {
            serial: &serial,
            algorithm: self.signer.algorithm(),
            issuer_der: self.certificate.subject_der(),
            issuer_key_id: self.certificate.subject_key_id(),
            common_name: template.common_name.as_deref(),
            names: &template.names,
            lifetime: template.lifetime,
            public_key: &template.public_key,
        });
        let signature = self.signer.sign(&to_be_signed)?;
        let der = der::signed(&to_be_signed, self.signer.algorithm(), &signature);
        Ok(SignedLeaf { serial, lifetime: template.lifetime, der })
    }

    /// The elements of an answer: the leaf, each certificate between, and all roots in one.
    pub fn chain_pem(&self, leaf: &SignedLeaf) -> Vec<String> {
        let mut chain = Vec::with_capacity(self.middle_pem.len() + 2);
        chain.push(pem::encode("CERTIFICATE", &leaf.der));
        chain.extend_from_slice(&self.middle_pem);
        chain.push(self.roots_pem.clone());
        chain
    }

    /// When leaves signed here are trusted: the signing certificate's validity, cut to the path above it.
    pub fn usable(&self) -> Lifetime {
        self.usable
    }

    /// The signing certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The signing certificate's subject key identifier in hexadecimal, which names this authority in records; empty
    /// when it has none.
    pub fn key_id(&self) -> String {
        hex(self.certificate.subject_key_id().unwrap_or_default())
    }

    /// The certificates between leaf and roots in an answer; none for a self-signed root.
    pub fn middle(&self) -> &[Certificate] {
        &self.middle
    }

    /// The roots.
    pub fn roots(&self) -> &TrustBundle {
        &self.roots
    }

    /// The roots as PEM, exactly as they stand in answers.
    pub fn roots_pem(&self) -> &str {
        &self.roots_pem
    }

    /// The algorithm of its signatures.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.signer.algorithm()
    }

    /// Signs a leaf for nobody and judges it as an agent would. The answer is when such leaves are trusted.
    fn try_out(&self, now: Timestamp) -> Result<Lifetime, UnfitError> {
        let key = PrivateKey::generate_p256()?;
        let template = self.trial(key.public());
        let leaf = Certificate::from_der(&self.sign(&template)?.der)?;
        let trusted_at = |instant| self.roots.verify(std::iter::once(&leaf).chain(&self.middle), instant);
        trusted_at(now)?;
        let last = self.ends().into_iter().rev().find(|end| trusted_at(*end).is_ok()).unwrap_or(now);
        Ok(Lifetime::new(self.usable.not_before(), last).unwrap_or(self.usable))
    }

    fn trial(&self, public_key: &PublicKey) -> LeafTemplate {
        let id = SpiffeId::from_segments(self.roots.trust_domain(), &["trial"]);
        LeafTemplate {
            names: id.into_iter().map(|id| AltName::Uri(id.to_string())).collect(),
            common_name: None,
            lifetime: self.certificate.lifetime(),
            public_key: public_key.clone(),
        }
    }

    /// The instants, in order, at which a path through this authority can end.
    fn ends(&self) -> BTreeSet<Timestamp> {
        let own = self.certificate.lifetime().not_after();
        let above = self.middle.iter().chain(self.roots.roots()).map(|cert| cert.lifetime().not_after());
        above.filter(|end| *end < own).chain([own]).collect()
    }
}
