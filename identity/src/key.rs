//! Keys: what may stand in a certificate, and private keys that wipe themselves and never print.
//!
//! P-256, P-384, RSA of 2048 to 4096 bits with exponent 65537, and Ed25519. Nothing else parses, so no later step
//! has to ask. Which of them a profile grants is decided elsewhere.

use std::fmt;

use ring::digest;
use ring::signature::UnparsedPublicKey;

use crate::{PemError, SignatureAlgorithm, hex, strict};

pub use private::{PRIVATE_KEY_PEM_MAX_BYTES, PrivateKey, Signer};

mod private;

/// Smallest RSA modulus accepted, in bits.
pub const RSA_BITS_MIN: usize = 2048;

/// Largest RSA modulus accepted, in bits.
pub const RSA_BITS_MAX: usize = 4096;

/// AlgorithmIdentifier encodings of keys, complete with their outer SEQUENCE. No other spelling is accepted.
const EC_P256_IDENTIFIER: &[u8] = &[
    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03,
    0x01, 0x07,
];
const EC_P384_IDENTIFIER: &[u8] =
    &[0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
const RSA_IDENTIFIER: &[u8] =
    &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
const ED25519_IDENTIFIER: &[u8] = &[0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];

/// Octets of a coordinate on the two curves.
const P256_COORDINATE_BYTES: usize = 32;
const P384_COORDINATE_BYTES: usize = 48;

const ED25519_KEY_BYTES: usize = 32;

/// The y coordinates of the Ed25519 points of order eight.
const ORDER_EIGHT: [[u8; ED25519_KEY_BYTES]; 2] = [
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

/// Content octets of the INTEGER 65537.
const RSA_EXPONENT: &[u8] = &[1, 0, 1];

/// First octet of a point that is not compressed (SEC 1, 2.3.3).
const POINT_UNCOMPRESSED: u8 = 4;

/// Why a key was refused or could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The encoding is broken.
    #[error("key is malformed")]
    Malformed,
    /// An algorithm or curve that Signet does not accept.
    #[error("key algorithm is not accepted, use P-256, P-384, RSA 2048 to 4096 or Ed25519")]
    Algorithm,
    /// An RSA modulus outside the bounds.
    #[error("RSA key has {bits} bits, {RSA_BITS_MIN} to {RSA_BITS_MAX} are accepted")]
    RsaSize {
        /// Bits of the modulus.
        bits: usize,
    },
    /// An RSA public exponent other than 65537.
    #[error("RSA public exponent is not 65537")]
    RsaExponent,
    /// An Ed25519 key under which anybody can sign.
    #[error("Ed25519 key is of small order")]
    SmallOrder,
    /// The PEM text around the key is bad.
    #[error("private key is not usable PEM: {0}")]
    Pem(#[from] PemError),
    /// The operating system gave no random bytes.
    #[error("operating system has no randomness to give")]
    Randomness,
    /// The library refused to sign.
    #[error("signing failed")]
    Signing,
}

/// What kind of key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyAlgorithm {
    /// ECDSA on NIST P-256, Signet's default.
    EcP256,
    /// ECDSA on NIST P-384.
    EcP384,
    /// RSA with a modulus of this many bits.
    Rsa {
        /// Bits of the modulus.
        bits: usize,
    },
    /// Ed25519.
    Ed25519,
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EcP256 => f.write_str("P-256"),
            Self::EcP384 => f.write_str("P-384"),
            Self::Rsa { bits } => write!(f, "RSA-{bits}"),
            Self::Ed25519 => f.write_str("Ed25519"),
        }
    }
}

/// A public key of an accepted kind, its encoding kept byte for byte.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: KeyAlgorithm,
    /// The SubjectPublicKeyInfo as it came.
    spki: Box<[u8]>,
    /// The content of its bit string: a point, an RSAPublicKey, or 32 octets.
    raw: Box<[u8]>,
}

impl PublicKey {
    /// Parses a SubjectPublicKeyInfo (RFC 5280, 4.1.2.7) and nothing behind it.
    ///
    /// # Errors
    /// [`KeyError::Malformed`], [`KeyError::Algorithm`], [`KeyError::RsaSize`], [`KeyError::RsaExponent`],
    /// [`KeyError::SmallOrder`].
    pub fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        let (identifier, bits) = strict::public_key(der).ok_or(KeyError::Malformed)?;
        let algorithm = algorithm_of(identifier, bits)?;
        Ok(Self { algorithm, spki: der.into(), raw: bits.into() })
    }

    /// The key on P-256 or P-384 with these big-endian coordinates. Whether they name a point of the curve is found out
    /// by whoever verifies with it.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] when they are not as long as the curve's.
    pub(crate) fn from_coordinates(curve: KeyAlgorithm, x: &[u8], y: &[u8]) -> Result<Self, KeyError> {
        let (identifier, octets) = match curve {
            KeyAlgorithm::EcP256 => (EC_P256_IDENTIFIER, P256_COORDINATE_BYTES),
            KeyAlgorithm::EcP384 => (EC_P384_IDENTIFIER, P384_COORDINATE_BYTES),
            KeyAlgorithm::Rsa { .. } | KeyAlgorithm::Ed25519 => return Err(KeyError::Algorithm),
        };
        if x.len() != octets || y.len() != octets {
            return Err(KeyError::Malformed);
        }
        Self::from_spki_der(&spki(identifier, &[&[POINT_UNCOMPRESSED], x, y].concat()))
    }

    /// The RSA key of this big-endian modulus and exponent.
    ///
    /// # Errors
    /// [`KeyError::RsaSize`], [`KeyError::RsaExponent`], [`KeyError::Malformed`].
    pub(crate) fn from_rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyError> {
        let bits = yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_bigint_bytes(modulus, true);
                writer.next().write_bigint_bytes(exponent, true);
            });
        });
        Self::from_spki_der(&spki(RSA_IDENTIFIER, &bits))
    }

    /// The Ed25519 key of these octets.
    ///
    /// # Errors
    /// [`KeyError::SmallOrder`], [`KeyError::Malformed`].
    pub(crate) fn from_ed25519(octets: &[u8]) -> Result<Self, KeyError> {
        Self::from_spki_der(&spki(ED25519_IDENTIFIER, octets))
    }

    /// What kind of key it is.
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// The SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// The key's bits without the wrapping: what subject key identifiers are made from (RFC 5280, 4.2.1.2).
    pub fn raw_bits(&self) -> &[u8] {
        &self.raw
    }

    /// SHA-256 over the SubjectPublicKeyInfo in lower-case hexadecimal: the name of a key in logs and records.
    pub fn fingerprint(&self) -> String {
        let digest = digest::digest(&digest::SHA256, &self.spki);
        hex(digest.as_ref())
    }

    /// Whether `signature` over `message` was made by this key with `algorithm`.
    pub fn verify(&self, algorithm: SignatureAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(algorithm.verifier(), &self.raw).verify(message, signature).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.algorithm, self.fingerprint())
    }
}

/// A SubjectPublicKeyInfo (RFC 5280, 4.1.2.7).
fn spki(identifier: &[u8], bits: &[u8]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_der(identifier);
            writer.next().write_bitvec_bytes(bits, bits.len() * 8);
        });
    })
}

fn algorithm_of(identifier: &[u8], bits: &[u8]) -> Result<KeyAlgorithm, KeyError> {
    match identifier {
        EC_P256_IDENTIFIER if is_point(bits, P256_COORDINATE_BYTES) => Ok(KeyAlgorithm::EcP256),
        EC_P384_IDENTIFIER if is_point(bits, P384_COORDINATE_BYTES) => Ok(KeyAlgorithm::EcP384),
        ED25519_IDENTIFIER if bits.len() == ED25519_KEY_BYTES => {
            if has_small_order(bits) {
                Err(KeyError::SmallOrder)
            } else {
                Ok(KeyAlgorithm::Ed25519)
            }
        }
        RSA_IDENTIFIER => rsa_algorithm(bits),
        EC_P256_IDENTIFIER | EC_P384_IDENTIFIER | ED25519_IDENTIFIER => Err(KeyError::Malformed),
        _ => Err(KeyError::Algorithm),
    }
}

/// Whether `bits` have the form of a point that is not compressed. Whether it lies on the curve is found out by whoever
/// verifies with it.
fn is_point(bits: &[u8], coordinate_bytes: usize) -> bool {
    bits.first() == Some(&POINT_UNCOMPRESSED) && bits.len() == 1 + 2 * coordinate_bytes
}

fn rsa_algorithm(bits: &[u8]) -> Result<KeyAlgorithm, KeyError> {
    let (modulus, exponent) = strict::rsa_public_key(bits).ok_or(KeyError::Malformed)?;
    let unused = modulus.first().map_or(0, |octet| octet.leading_zeros());
    let bits = (modulus.len() * 8).saturating_sub(usize::try_from(unused).unwrap_or(0));
    if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
        return Err(KeyError::RsaSize { bits });
    }
    if exponent != RSA_EXPONENT {
        return Err(KeyError::RsaExponent);
    }
    Ok(KeyAlgorithm::Rsa { bits })
}

/// Whether an Ed25519 key is one of the few points under which anybody can sign anything, so that a signature proves
/// no possession. Their y coordinates: 0, 1, -1, the two of order eight, and p and p + 1, which stand for 0 and 1.
fn has_small_order(key: &[u8]) -> bool {
    let [low, middle @ .., high] = key else { return false };
    // The top bit is the sign of x and says nothing about the order.
    let high = high & 0x7f;
    match (low, high) {
        (0 | 1, 0) => middle.iter().all(|octet| *octet == 0),
        (0xec..=0xee, 0x7f) => middle.iter().all(|octet| *octet == 0xff),
        _ => ORDER_EIGHT.iter().any(|y| matches!(y, [l, m @ .., h] if l == low && m == middle && *h == high)),
    }
}

#[cfg(test)]
mod tests;
