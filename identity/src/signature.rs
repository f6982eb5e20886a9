//! Signature algorithms that Signet makes or accepts in certificates and requests: SHA-2 only.

use ring::signature::{self, VerificationAlgorithm};

use crate::key::KeyAlgorithm;

/// A signature algorithm together with its X.509 name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// ecdsa-with-SHA256 over P-256.
    EcdsaP256Sha256,
    /// ecdsa-with-SHA384 over P-384.
    EcdsaP384Sha384,
    /// sha256WithRSAEncryption (PKCS#1 v1.5).
    RsaSha256,
    /// sha384WithRSAEncryption (PKCS#1 v1.5).
    RsaSha384,
    /// sha512WithRSAEncryption (PKCS#1 v1.5).
    RsaSha512,
    /// Ed25519 (RFC 8410).
    Ed25519,
}

/// AlgorithmIdentifier encodings, complete with their outer SEQUENCE.
const ECDSA_SHA256: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const ECDSA_SHA384: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
const RSA_SHA256: &[u8] = &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00];
const RSA_SHA384: &[u8] = &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c, 0x05, 0x00];
const RSA_SHA512: &[u8] = &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d, 0x05, 0x00];
const ED25519: &[u8] = &[0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];

/// Parameters that say nothing, DER.
const NULL: &[u8] = &[0x05, 0x00];

impl SignatureAlgorithm {
    /// The algorithm that a key of this kind signs with.
    pub const fn of_key(key: KeyAlgorithm) -> Self {
        match key {
            KeyAlgorithm::EcP256 => Self::EcdsaP256Sha256,
            KeyAlgorithm::EcP384 => Self::EcdsaP384Sha384,
            KeyAlgorithm::Rsa { .. } => Self::RsaSha256,
            KeyAlgorithm::Ed25519 => Self::Ed25519,
        }
    }

    /// The algorithm that a DER AlgorithmIdentifier names for a key of this kind, or `None` when it is not accepted or
    /// its digest is not the one that belongs to the key's curve. RSA's parameters may be left out (RFC 4055, 2.1);
    /// otherwise there is one spelling.
    pub fn from_identifier(identifier: &[u8], key: KeyAlgorithm) -> Option<Self> {
        let candidates: &[Self] = match key {
            KeyAlgorithm::EcP256 => &[Self::EcdsaP256Sha256],
            KeyAlgorithm::EcP384 => &[Self::EcdsaP384Sha384],
            KeyAlgorithm::Rsa { .. } => &[Self::RsaSha256, Self::RsaSha384, Self::RsaSha512],
            KeyAlgorithm::Ed25519 => &[Self::Ed25519],
        };
        let without_parameters = |identifier: &'static [u8]| identifier.get(2..)?.strip_suffix(NULL);
        candidates.iter().copied().find(|candidate| {
            let known = candidate.identifier_der();
            let bare = without_parameters(known);
            identifier == known || bare.is_some() && identifier.get(2..) == bare
        })
    }

    /// The DER AlgorithmIdentifier.
    pub const fn identifier_der(self) -> &'static [u8] {
        match self {
            Self::EcdsaP256Sha256 => ECDSA_SHA256,
            Self::EcdsaP384Sha384 => ECDSA_SHA384,
            Self::RsaSha256 => RSA_SHA256,
            Self::RsaSha384 => RSA_SHA384,
            Self::RsaSha512 => RSA_SHA512,
            Self::Ed25519 => ED25519,
        }
    }

    pub(crate) fn verifier(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::EcdsaP256Sha256 => &signature::ECDSA_P256_SHA256_ASN1,
            Self::EcdsaP384Sha384 => &signature::ECDSA_P384_SHA384_ASN1,
            Self::RsaSha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Self::RsaSha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Self::RsaSha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
            Self::Ed25519 => &signature::ED25519,
        }
    }
}

#[cfg(test)]
mod vectors;

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [SignatureAlgorithm; 6] = [
        SignatureAlgorithm::EcdsaP256Sha256,
        SignatureAlgorithm::EcdsaP384Sha384,
        SignatureAlgorithm::RsaSha256,
        SignatureAlgorithm::RsaSha384,
        SignatureAlgorithm::RsaSha512,
        SignatureAlgorithm::Ed25519,
    ];

    const KEYS: [KeyAlgorithm; 4] =
        [KeyAlgorithm::EcP256, KeyAlgorithm::EcP384, KeyAlgorithm::Rsa { bits: 2048 }, KeyAlgorithm::Ed25519];

    /// Changes the parameters of an AlgorithmIdentifier.
    fn with_parameters(identifier: &[u8], parameters: &[u8]) -> Vec<u8> {
        let bare = identifier[2..].strip_suffix(NULL).unwrap_or(&identifier[2..]);
        let length = u8::try_from(bare.len() + parameters.len()).unwrap();
        [&[0x30, length], bare, parameters].concat()
    }

    #[test]
    fn an_algorithm_is_known_by_its_identifier_for_its_own_kind_of_key_only() {
        for algorithm in ALL {
            let fitting: Vec<_> = KEYS
                .into_iter()
                .filter_map(|key| SignatureAlgorithm::from_identifier(algorithm.identifier_der(), key))
                .collect();
            assert_eq!(fitting, [algorithm]);
        }
        for key in KEYS {
            let own = SignatureAlgorithm::of_key(key);
            assert_eq!(SignatureAlgorithm::from_identifier(own.identifier_der(), key), Some(own));
        }
    }

    #[test]
    fn parameters_may_be_left_out_for_rsa_and_added_for_none() {
        for algorithm in ALL {
            let known = |parameters: &[u8]| {
                let identifier = with_parameters(algorithm.identifier_der(), parameters);
                KEYS.iter().any(|key| SignatureAlgorithm::from_identifier(&identifier, *key).is_some())
            };
            let is_rsa = algorithm.identifier_der().ends_with(NULL);
            assert!(known(&[]), "{algorithm:?}");
            assert_eq!(known(NULL), is_rsa, "{algorithm:?}");
            assert!(!known(&[0x30, 0]), "{algorithm:?}");
        }
    }
}
