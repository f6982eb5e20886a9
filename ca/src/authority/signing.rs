//! A key with its certificate and what stands above it, judged fit to sign.

use std::collections::BTreeSet;

use signet_identity::der::AltName;
use signet_identity::{
    BundleError, Certificate, CertificateError, KeyError, Lifetime, PrivateKey, PublicKey, Serial, SignatureAlgorithm,
    SpiffeId, Timestamp, TrustBundle, TrustDomain, VerifyError, der,
};

use super::material::Material;
use super::signing_key::{SignError, SigningKey};
use crate::encode;
use crate::profile::LeafTemplate;
use crate::token::{TokenError, TokenKeys};

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
    /// The key is in a token, and no token is configured.
    #[error("its key is in a PKCS#11 token: set `authority.pkcs11.module`")]
    NoToken,
    /// The token does not sign with the key.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A trial certificate could not be read back.
    #[error("a certificate signed by this authority could not be read: {0}")]
    Trial(#[from] CertificateError),
}

impl UnfitError {
    /// Whether it may be gone at the next attempt without anybody's doing.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Token(error) if error.is_passing())
    }
}

impl From<SignError> for UnfitError {
    fn from(error: SignError) -> Self {
        match error {
            SignError::Key(error) => error.into(),
            SignError::Token(error) => error.into(),
        }
    }
}

/// A leaf, signed.
#[derive(Debug)]
pub struct SignedLeaf {
    /// The leaf's serial.
    pub serial: Serial,
    /// The leaf's validity.
    pub lifetime: Lifetime,
    /// The leaf alone, DER.
    pub der: Vec<u8>,
}

/// A leaf, as its signature will be over it.
struct UnsignedLeaf {
    serial: Serial,
    lifetime: Lifetime,
    to_be_signed: Vec<u8>,
}

impl UnsignedLeaf {
    fn signed(self, algorithm: SignatureAlgorithm, signature: &[u8]) -> SignedLeaf {
        let Self { serial, lifetime, to_be_signed } = self;
        SignedLeaf { serial, lifetime, der: der::signed(&to_be_signed, algorithm, signature) }
    }
}

/// Signs leaves. It exists only after a trial leaf was verified against its own roots.
#[derive(Debug)]
pub(crate) struct Signing {
    key: SigningKey,
    pub(super) certificate: Certificate,
    /// What stands between leaf and roots in an answer, one PEM block each.
    pub(super) middle: Vec<Certificate>,
    pub(super) middle_pem: Vec<String>,
    /// Its own roots, of which others may be published too.
    pub(super) roots: TrustBundle,
    pub(super) usable: Lifetime,
}

impl Signing {
    /// Tries `material` out; a key that is in a token is looked for among `tokens`. Waits for the token.
    pub(crate) fn new(
        material: &Material,
        tokens: Option<&TokenKeys>,
        trust_domain: &TrustDomain,
        now: Timestamp,
    ) -> Result<Self, UnfitError> {
        let Material { key, certificate, middle, roots_pem } = material;
        if !key.may_belong_to(certificate.public_key()) {
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
        let mut signing = Self {
            key: SigningKey::of(key, certificate.public_key(), tokens)?,
            certificate: certificate.clone(),
            middle: middle.clone(),
            middle_pem: middle.iter().map(Certificate::to_pem).collect(),
            roots: TrustBundle::from_pem(trust_domain.clone(), roots_pem.as_bytes())?,
            usable: validity,
        };
        signing.usable = signing.try_out(now)?;
        Ok(signing)
    }

    pub(super) async fn sign(&self, template: &LeafTemplate) -> Result<SignedLeaf, SignError> {
        let unsigned = self.unsigned(template)?;
        let signature = self.key.sign(&unsigned.to_be_signed).await?;
        Ok(unsigned.signed(self.algorithm(), &signature))
    }

    /// As [`Signing::sign`], for a thread that may wait.
    pub(super) fn sign_waiting(&self, template: &LeafTemplate) -> Result<SignedLeaf, SignError> {
        let unsigned = self.unsigned(template)?;
        let signature = self.key.sign_waiting(&unsigned.to_be_signed)?;
        Ok(unsigned.signed(self.algorithm(), &signature))
    }

    #[cfg(feature = "pkcs11")]
    pub(super) async fn try_token(&self, message: &[u8]) -> Result<(), SignError> {
        match &self.key {
            SigningKey::Held(_) => Ok(()),
            key @ SigningKey::InToken(_) => key.sign(message).await.map(|_| ()),
        }
    }

    fn unsigned(&self, template: &LeafTemplate) -> Result<UnsignedLeaf, KeyError> {
        let serial = Serial::generate()?;
        let to_be_signed = encode::leaf(&encode::Leaf {
            serial: &serial,
            algorithm: self.algorithm(),
            issuer_der: self.certificate.subject_der(),
            issuer_key_id: self.certificate.subject_key_id(),
            common_name: template.common_name.as_deref(),
            names: &template.names,
            lifetime: template.lifetime,
            public_key: &template.public_key,
            known_since: template.known_since,
        });
        Ok(UnsignedLeaf { serial, lifetime: template.lifetime, to_be_signed })
    }

    pub(super) fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }

    /// Whether a leaf signed here is trusted at `now` by those who have `roots` alone.
    pub(super) fn is_trusted_by(&self, roots: &TrustBundle, now: Timestamp) -> bool {
        self.trial_leaf().is_ok_and(|leaf| roots.verify(std::iter::once(&leaf).chain(&self.middle), now).is_ok())
    }

    /// Signs a leaf for nobody and judges it as an agent would. The answer is when such leaves are trusted.
    fn try_out(&self, now: Timestamp) -> Result<Lifetime, UnfitError> {
        let leaf = self.trial_leaf()?;
        let trusted_at = |instant| self.roots.verify(std::iter::once(&leaf).chain(&self.middle), instant);
        trusted_at(now)?;
        let last = self.ends().into_iter().rev().find(|end| trusted_at(*end).is_ok()).unwrap_or(now.whole_secs());
        Ok(Lifetime::new(self.usable.not_before(), last).unwrap_or(self.usable))
    }

    fn trial_leaf(&self) -> Result<Certificate, UnfitError> {
        let key = PrivateKey::generate_p256()?;
        let template = self.trial(key.public());
        Ok(Certificate::from_der(&self.sign_waiting(&template)?.der)?)
    }

    fn trial(&self, public_key: &PublicKey) -> LeafTemplate {
        let id = SpiffeId::from_segments(self.roots.trust_domain(), &["trial"]);
        LeafTemplate {
            names: id.into_iter().map(|id| AltName::Uri(id.to_string())).collect(),
            common_name: None,
            lifetime: self.certificate.lifetime(),
            public_key: public_key.clone(),
            known_since: None,
        }
    }

    /// The instants, in order, at which a path through this authority can end.
    fn ends(&self) -> BTreeSet<Timestamp> {
        let own = self.certificate.lifetime().not_after();
        let above = self.middle.iter().chain(self.roots.roots()).map(|cert| cert.lifetime().not_after());
        above.filter(|end| *end < own).chain([own]).collect()
    }
}
