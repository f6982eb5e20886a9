//! Reading the document: which entries count, and what is wrong with one that does.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use super::{
    JWT_SVID, JwtKey, SPIFFE_BUNDLE_MAX_BYTES, SPIFFE_BUNDLE_MAX_ENTRIES, SpiffeBundle, SpiffeBundleError, X509_SVID,
};
use crate::{Certificate, CertificateError, KeyAlgorithm, KeyError, TrustDomain, jwk};

#[derive(Deserialize)]
struct RawSet {
    keys: Vec<RawEntry>,
    spiffe_sequence: Option<u64>,
    spiffe_refresh_hint: Option<u64>,
}

/// Members may have any type until it is known that the entry counts.
#[derive(Deserialize)]
struct RawEntry {
    kty: Option<Value>,
    #[serde(rename = "use")]
    usage: Option<Value>,
    kid: Option<Value>,
    x5c: Option<Value>,
    crv: Option<Value>,
    n: Option<Value>,
    e: Option<Value>,
    x: Option<Value>,
    y: Option<Value>,
    d: Option<Value>,
}

pub(super) fn bundle(trust_domain: TrustDomain, json: &[u8]) -> Result<SpiffeBundle, SpiffeBundleError> {
    if json.len() > SPIFFE_BUNDLE_MAX_BYTES {
        return Err(SpiffeBundleError::TooLarge { actual: json.len() });
    }
    // The library's own message may repeat what a peer wrote, at any length.
    let malformed =
        |error: serde_json::Error| SpiffeBundleError::Malformed { line: error.line(), column: error.column() };
    let set: RawSet = serde_json::from_slice(json).map_err(malformed)?;
    if set.keys.len() > SPIFFE_BUNDLE_MAX_ENTRIES {
        return Err(SpiffeBundleError::TooManyEntries { count: set.keys.len() });
    }
    let (mut roots, mut jwt_keys) = (Vec::new(), Vec::new());
    for (entry, raw) in set.keys.iter().enumerate() {
        match raw.text("use") {
            Some(X509_SVID) => roots.extend(raw.root(entry)?),
            Some(JWT_SVID) => jwt_keys.extend(raw.jwt_key(entry)?),
            _ => {}
        }
    }
    let bundle = SpiffeBundle::new(trust_domain, roots, jwt_keys)?;
    let refresh_hint = set.spiffe_refresh_hint.map(Duration::from_secs);
    Ok(SpiffeBundle { sequence: set.spiffe_sequence, refresh_hint, ..bundle })
}

impl RawEntry {
    fn member(&self, name: &str) -> Option<&Value> {
        let member = match name {
            "kty" => &self.kty,
            "use" => &self.usage,
            "kid" => &self.kid,
            "crv" => &self.crv,
            "n" => &self.n,
            "e" => &self.e,
            "x" => &self.x,
            "y" => &self.y,
            _ => return None,
        };
        member.as_ref()
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.member(name)?.as_str()
    }

    /// The kind of key, if it is one of those that some entry here may have.
    fn kind(&self) -> Option<&str> {
        self.text("kty").filter(|kty| ["EC", "RSA", "OKP"].contains(kty))
    }

    fn refuse_private(&self, entry: usize) -> Result<(), SpiffeBundleError> {
        if self.d.is_some() { Err(SpiffeBundleError::PrivateKey { entry }) } else { Ok(()) }
    }

    fn root(&self, entry: usize) -> Result<Option<Certificate>, SpiffeBundleError> {
        let Some(kty) = self.kind() else { return Ok(None) };
        self.refuse_private(entry)?;
        let Some(x5c) = &self.x5c else { return Ok(None) };
        let x5c = x5c.as_array().ok_or(SpiffeBundleError::Encoding { entry })?;
        let Some(first) = x5c.first() else { return Ok(None) };
        let first = first.as_str().ok_or(SpiffeBundleError::Encoding { entry })?;
        let der = STANDARD.decode(first).map_err(|_| SpiffeBundleError::Encoding { entry })?;
        let certificate = match Certificate::from_der(&der) {
            Ok(certificate) => certificate,
            Err(CertificateError::Key(error)) if is_of_another_kind(&error) => return Ok(None),
            Err(source) => return Err(SpiffeBundleError::Certificate { entry, source }),
        };
        self.check_key(kty, &certificate, entry)?;
        Ok(Some(certificate))
    }

    /// The entry's own key, where it is told, must be the certificate's.
    fn check_key(&self, kty: &str, certificate: &Certificate, entry: usize) -> Result<(), SpiffeBundleError> {
        let another = SpiffeBundleError::AnotherKey { entry };
        let told = ["crv", "n", "e", "x", "y"].iter().any(|name| self.member(name).is_some());
        if told {
            let key = jwk::public_key(kty, |name| self.text(name));
            return if key.is_ok_and(|key| key == *certificate.public_key()) { Ok(()) } else { Err(another) };
        }
        let kty_of_certificate = match certificate.public_key().algorithm() {
            KeyAlgorithm::EcP256 | KeyAlgorithm::EcP384 => "EC",
            KeyAlgorithm::Rsa { .. } => "RSA",
            KeyAlgorithm::Ed25519 => "OKP",
        };
        if kty == kty_of_certificate { Ok(()) } else { Err(another) }
    }

    fn jwt_key(&self, entry: usize) -> Result<Option<JwtKey>, SpiffeBundleError> {
        let Some(kty) = self.kind() else { return Ok(None) };
        self.refuse_private(entry)?;
        let kid = self.text("kid").ok_or(SpiffeBundleError::Kid)?.to_owned();
        match jwk::public_key(kty, |name| self.text(name)) {
            Ok(key) if key.algorithm() == KeyAlgorithm::Ed25519 => Ok(None),
            Ok(key) => Ok(Some(JwtKey { kid, key })),
            Err(error) if is_of_another_kind(&error) => Ok(None),
            Err(source) => Err(SpiffeBundleError::Key { entry, source }),
        }
    }
}

/// Whether the key may be sound and is only not one that is used here.
fn is_of_another_kind(error: &KeyError) -> bool {
    matches!(error, KeyError::Algorithm | KeyError::RsaSize { .. } | KeyError::RsaExponent)
}
