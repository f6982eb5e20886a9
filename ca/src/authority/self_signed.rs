//! Makes roots of our own. Where they are kept is not known here.

use std::str::FromStr;
use std::time::Duration;

use ring::digest;
use signet_identity::der::{self, AltName};
use signet_identity::{Certificate, KeyError, Lifetime, PrivateKey, PublicKey, Serial, Timestamp, TrustDomain};

use super::material::Material;
use super::signing_key::Key;
use super::store::StateError;
use crate::encode;
use crate::profile::BACKDATE;

/// Octets of a subject key identifier: the leftmost 160 bits of SHA-256 (RFC 7093, method 1).
const KEY_ID_OCTETS: usize = 20;

/// Longest organization name, in bytes (RFC 5280, upper bound `ub-organization-name`).
const ORGANIZATION_MAX_BYTES: usize = 64;

/// The last instant that a certificate can name: 9999-12-31T23:59:59Z (RFC 5280, 4.1.2.5).
const END_OF_TIME: Timestamp = Timestamp::from_unix_secs(253_402_300_799);

/// How far before it is made a root begins to be valid, at most, so that a clock that is put back by less than that does
/// not end issuing. Never more than this share of the root's life.
const ROOT_BACKDATE_MAX: Duration = Duration::from_secs(86_400);
const ROOT_BACKDATE_SHARE: u32 = 10;

/// What kind of key a root of our own gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootKey {
    /// ECDSA on NIST P-256.
    P256,
    /// ECDSA on NIST P-384.
    P384,
}

impl RootKey {
    fn generate(self) -> Result<PrivateKey, KeyError> {
        match self {
            Self::P256 => PrivateKey::generate_p256(),
            Self::P384 => PrivateKey::generate_p384(),
        }
    }
}

impl FromStr for RootKey {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "P-256" => Ok(Self::P256),
            "P-384" => Ok(Self::P384),
            "Ed25519" => {
                Err("Envoy offers no Ed25519 in its handshakes, so its peers could not show certificates that \
                              such a root signed: use `P-256` or `P-384`")
            }
            _ if word.starts_with("RSA") => Err("RSA keys are not made here: use `P-256` or `P-384`, or make the RSA \
                                                 authority elsewhere and name it in `authority.plugged_in_dir`"),
            _ => Err("must be `P-256` or `P-384`"),
        }
    }
}

/// The roots that are made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OwnRoots {
    pub(crate) key: RootKey,
    /// How long one is valid.
    pub(crate) ttl: Duration,
}

/// A fresh key and a root certificate over it.
pub(super) fn make_root(trust_domain: &TrustDomain, own: OwnRoots, now: Timestamp) -> Result<Material, StateError> {
    let OwnRoots { key, ttl } = own;
    let key = key.generate()?;
    let signer = key.signer()?;
    let (serial, generation) = (Serial::generate()?, Serial::generate()?.to_string());
    let not_after = now.plus(ttl).min(END_OF_TIME).whole_secs();
    let backdate = (ttl / ROOT_BACKDATE_SHARE).clamp(BACKDATE, ROOT_BACKDATE_MAX);
    let lifetime = Lifetime::new(now.minus(backdate).whole_secs(), not_after).ok_or(StateError::Clock { now })?;
    let to_be_signed = encode::root(&encode::Root {
        serial: &serial,
        algorithm: signer.algorithm(),
        common_name: &format!("Signet root {generation}"),
        organization: Some(trust_domain.as_str()).filter(|name| name.len() <= ORGANIZATION_MAX_BYTES),
        names: &[AltName::Uri(trust_domain.id().to_string())],
        lifetime,
        public_key: key.public(),
        key_id: &key_id(key.public()),
    });
    let certificate = der::signed(&to_be_signed, signer.algorithm(), &signer.sign(&to_be_signed)?);
    let certificate = Certificate::from_der(&certificate).map_err(StateError::Made)?;
    let roots_pem = certificate.to_pem();
    Ok(Material { key: Key::Held(key), certificate, middle: Vec::new(), roots_pem })
}

fn key_id(key: &PublicKey) -> Vec<u8> {
    let digest = digest::digest(&digest::SHA256, key.raw_bits());
    digest.as_ref().iter().copied().take(KEY_ID_OCTETS).collect()
}
