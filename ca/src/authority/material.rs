//! What a generation is made of, and how that stands in a file: key, signing certificate, certificates above it.

use std::fmt;

use signet_identity::pem::{self, PemKind};
use signet_identity::{Certificate, CertificateError, KeyError, Lifetime, PemError, PrivateKey, TrustBundle, hex};
use zeroize::Zeroizing;

use super::rotation::{Offer, Origin, Roots, fingerprint};
use super::signing_key::Key;

/// Largest file of one generation, in bytes.
pub(super) const MATERIAL_MAX_BYTES: usize = 2 * 1024 * 1024;

/// Key, certificate and roots, before they were tried.
pub(crate) struct Material {
    pub(crate) key: Key,
    pub(crate) certificate: Certificate,
    pub(crate) middle: Vec<Certificate>,
    pub(crate) roots_pem: String,
}

/// Why a text is no material.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MaterialError {
    Pem(PemError),
    Incomplete { keys: usize, certificates: usize },
    Key(KeyError),
    Certificate(CertificateError),
}

impl Material {
    /// One text with everything but the roots: the key unless it is in a token, its certificate, those above it.
    pub(super) fn to_pem(&self) -> Zeroizing<String> {
        let key = self.key.held().map(PrivateKey::to_pem).unwrap_or_default();
        let certificates: String =
            std::iter::once(&self.certificate).chain(&self.middle).map(Certificate::to_pem).collect();
        // Joined at once, so that no growing buffer leaves a copy of the key behind.
        Zeroizing::new([key.as_str(), &certificates].concat())
    }

    /// Reads such a text. Without `roots_pem` it is a root's: one key and one certificate. With them the key may be in a
    /// token.
    pub(super) fn from_pem(text: &[u8], roots_pem: Option<&str>) -> Result<Self, MaterialError> {
        let blocks = pem::decode(text, MATERIAL_MAX_BYTES).map_err(MaterialError::Pem)?;
        let of = |wanted: PemKind| blocks.iter().filter(move |block| block.kind == wanted);
        let (keys, certificates) = (of(PemKind::PrivateKey).count(), of(PemKind::Certificate).count());
        let most = if roots_pem.is_some() { usize::MAX } else { 1 };
        let least_keys = usize::from(roots_pem.is_none());
        let complete = (least_keys..=1).contains(&keys)
            && (1..=most).contains(&certificates)
            && keys + certificates == blocks.len();
        if !complete {
            return Err(MaterialError::Incomplete { keys, certificates });
        }
        let key = match of(PemKind::PrivateKey).next() {
            Some(key) => Key::Held(PrivateKey::from_pkcs8(key.der.clone()).map_err(MaterialError::Key)?),
            None => Key::InToken,
        };
        let mut above = Vec::with_capacity(certificates);
        for block in of(PemKind::Certificate) {
            above.push(Certificate::from_der(&block.der).map_err(MaterialError::Certificate)?);
        }
        let certificate = above.remove(0);
        let roots_pem = roots_pem.map_or_else(|| certificate.to_pem(), str::to_owned);
        Ok(Self { key, certificate, middle: above, roots_pem })
    }

    /// The same once more.
    pub(super) fn try_clone(&self) -> Result<Self, KeyError> {
        let key = self.key.try_clone()?;
        let (certificate, middle) = (self.certificate.clone(), self.middle.clone());
        Ok(Self { key, certificate, middle, roots_pem: self.roots_pem.clone() })
    }

    /// SHA-256 over everything but the key, with the roots by their ids.
    pub(super) fn content<'a>(&'a self, roots: impl Iterator<Item = &'a str>) -> String {
        let mut parts = vec![self.certificate.der()];
        parts.extend(self.middle.iter().map(Certificate::der));
        parts.extend(roots.map(str::as_bytes));
        fingerprint(&parts)
    }

    /// What rotation has to know about it; `usable` is when its leaves are trusted.
    pub(super) fn offer(&self, bundle: &TrustBundle, usable: Lifetime, origin: Origin) -> Offer {
        let roots = Roots::new(&self.roots_pem, bundle);
        let key_id = self.certificate.subject_key_id().map_or_else(|| self.certificate.public_key().fingerprint(), hex);
        let content = self.content(roots.ids());
        let anchors = roots.ids().map(str::to_owned).collect();
        Offer { origin, key_id, content, roots, anchors, usable, is_armed: false, horizon: None }
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Material({:?}, redacted)", self.certificate)
    }
}
