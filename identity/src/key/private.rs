//! Private keys: read, made, kept in memory that is wiped, and used for signing.

use std::fmt;

use ring::rand::SystemRandom;
use ring::signature::{
    self, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use zeroize::Zeroizing;

use super::{EC_P256_IDENTIFIER, EC_P384_IDENTIFIER, ED25519_IDENTIFIER, KeyError, PublicKey, RSA_IDENTIFIER};
use crate::pem::{self, PemError, PemKind};
use crate::{SignatureAlgorithm, der};

/// Largest PEM text read as a private key, in bytes: an RSA-4096 key needs some 3,300.
pub const PRIVATE_KEY_PEM_MAX_BYTES: usize = 16 * 1024;

/// A private key at rest: PKCS#8 bytes that are wiped when dropped, and the public key that belongs to them.
pub struct PrivateKey {
    pkcs8: Zeroizing<Vec<u8>>,
    public: PublicKey,
}

impl PrivateKey {
    /// A fresh P-256 key.
    ///
    /// # Errors
    /// [`KeyError::Randomness`].
    pub fn generate_p256() -> Result<Self, KeyError> {
        Self::generate_ec(&ECDSA_P256_SHA256_ASN1_SIGNING)
    }

    /// A fresh P-384 key.
    ///
    /// # Errors
    /// [`KeyError::Randomness`].
    pub fn generate_p384() -> Result<Self, KeyError> {
        Self::generate_ec(&ECDSA_P384_SHA384_ASN1_SIGNING)
    }

    fn generate_ec(algorithm: &'static EcdsaSigningAlgorithm) -> Result<Self, KeyError> {
        let document =
            EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).map_err(|_| KeyError::Randomness)?;
        Self::from_pkcs8(Zeroizing::new(document.as_ref().to_vec()))
    }

    /// Reads a PEM text with one private key: PKCS#8, SEC1 (`EC PRIVATE KEY`) or PKCS#1 (`RSA PRIVATE KEY`), not
    /// encrypted. Blocks of EC parameters before the key, as OpenSSL writes them, are passed over; any other is refused.
    ///
    /// # Errors
    /// [`KeyError::Pem`] around the key, the other variants for the key itself.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        let blocks = pem::decode(text, PRIVATE_KEY_PEM_MAX_BYTES)?;
        let mut keys = blocks.into_iter().filter(|block| block.kind != PemKind::EcParameters);
        let block = keys.next().ok_or(PemError::WrongKind { wanted: "PRIVATE KEY" })?;
        if keys.next().is_some() {
            return Err(PemError::TooManyBlocks { max: 1 }.into());
        }
        match block.kind {
            PemKind::PrivateKey => Self::from_pkcs8(block.der),
            PemKind::RsaPrivateKey => Self::from_pkcs8(wrap_pkcs8(RSA_IDENTIFIER, &block.der)),
            PemKind::EcPrivateKey => Self::from_pkcs8(wrap_pkcs8(EC_P256_IDENTIFIER, &block.der))
                .or_else(|_| Self::from_pkcs8(wrap_pkcs8(EC_P384_IDENTIFIER, &block.der))),
            _ => Err(PemError::WrongKind { wanted: "PRIVATE KEY" }.into()),
        }
    }

    /// Takes a PKCS#8 document (RFC 5208); the key must be consistent with the public part it carries.
    ///
    /// # Errors
    /// [`KeyError::Algorithm`] when no accepted algorithm can read it, and those of [`PublicKey::from_spki_der`].
    pub fn from_pkcs8(pkcs8: Zeroizing<Vec<u8>>) -> Result<Self, KeyError> {
        let spki = Pair::from_pkcs8(&pkcs8)?.spki_der();
        let public = PublicKey::from_spki_der(&spki)?;
        Ok(Self { pkcs8, public })
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// A signer over this key. It holds the key unpacked for as long as it lives and, unlike this type, cannot wipe
    /// it: keep it only where signing is the daily work.
    ///
    /// # Errors
    /// [`KeyError::Algorithm`]; in practice none, since the key was read once before.
    pub fn signer(&self) -> Result<Signer, KeyError> {
        Ok(Signer { pair: Pair::from_pkcs8(&self.pkcs8)?, public: self.public.clone(), rng: SystemRandom::new() })
    }

    /// The PKCS#8 document as PEM (`PRIVATE KEY`), wiped when dropped.
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(pem::encode("PRIVATE KEY", &self.pkcs8))
    }

    /// The PKCS#8 document, wiped when dropped.
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        self.pkcs8.clone()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({}, redacted)", self.public.algorithm)
    }
}

/// A private key unpacked for signing.
pub struct Signer {
    pair: Pair,
    public: PublicKey,
    rng: SystemRandom,
}

impl Signer {
    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The algorithm that [`Signer::sign`] uses.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::of_key(self.public.algorithm)
    }

    /// Signs `message`; ECDSA signatures come in their ASN.1 form (RFC 3279).
    ///
    /// # Errors
    /// [`KeyError::Signing`].
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.pair {
            Pair::Ec(_, pair) => {
                pair.sign(&self.rng, message).map(|sig| sig.as_ref().to_vec()).map_err(|_| KeyError::Signing)
            }
            Pair::Rsa(pair) => {
                let mut sig = vec![0; pair.public().modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &self.rng, message, &mut sig).map_err(|_| KeyError::Signing)?;
                Ok(sig)
            }
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({}, redacted)", self.public.algorithm)
    }
}

enum Pair {
    Ec(&'static [u8], Box<EcdsaKeyPair>),
    Rsa(Box<RsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl Pair {
    fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeyError> {
        let rng = SystemRandom::new();
        let curves = [
            (&ECDSA_P256_SHA256_ASN1_SIGNING, EC_P256_IDENTIFIER),
            (&ECDSA_P384_SHA384_ASN1_SIGNING, EC_P384_IDENTIFIER),
        ];
        for (curve, identifier) in curves {
            if let Ok(pair) = EcdsaKeyPair::from_pkcs8(curve, pkcs8, &rng) {
                return Ok(Self::Ec(identifier, Box::new(pair)));
            }
        }
        if let Ok(pair) = RsaKeyPair::from_pkcs8(pkcs8) {
            return Ok(Self::Rsa(Box::new(pair)));
        }
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8)
            .map(|pair| Self::Ed25519(Box::new(pair)))
            .map_err(|_| KeyError::Algorithm)
    }

    fn spki_der(&self) -> Vec<u8> {
        let (identifier, bits) = match self {
            Self::Ec(identifier, pair) => (*identifier, pair.public_key().as_ref()),
            Self::Rsa(pair) => (RSA_IDENTIFIER, pair.public_key().as_ref()),
            Self::Ed25519(pair) => (ED25519_IDENTIFIER, pair.public_key().as_ref()),
        };
        super::spki(identifier, bits)
    }
}

/// A PKCS#8 document around a key of an older form. Written into one buffer that never grows, since growing would leave
/// a copy behind that nobody wipes.
fn wrap_pkcs8(identifier: &[u8], key: &[u8]) -> Zeroizing<Vec<u8>> {
    const VERSION: &[u8] = &[0x02, 0x01, 0x00];
    let octets = der::header(der::OCTET_STRING, key.len());
    let length = VERSION.len() + identifier.len() + octets.len() + key.len();
    let sequence = der::header(der::SEQUENCE, length);
    let mut document = Zeroizing::new(Vec::with_capacity(sequence.len() + length));
    for part in [&sequence, VERSION, identifier, &octets, key] {
        document.extend_from_slice(part);
    }
    document
}
