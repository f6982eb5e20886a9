//! Makes roots of our own. Where they are kept is not known here.

use std::time::Duration;

use ring::digest;
use signet_identity::der::{self, AltName};
use signet_identity::{Certificate, Lifetime, PrivateKey, PublicKey, Serial, Timestamp, TrustDomain};

use super::material::Material;
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

/// A fresh P-256 key and a root certificate over it, valid for `ttl`.
pub(super) fn make_root(trust_domain: &TrustDomain, ttl: Duration, now: Timestamp) -> Result<Material, StateError> {
    let key = PrivateKey::generate_p256()?;
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
    Ok(Material { key, certificate, middle: Vec::new(), roots_pem })
}

fn key_id(key: &PublicKey) -> Vec<u8> {
    let digest = digest::digest(&digest::SHA256, key.raw_bits());
    digest.as_ref().iter().copied().take(KEY_ID_OCTETS).collect()
}
