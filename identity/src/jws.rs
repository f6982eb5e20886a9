//! Signed tokens in compact form (JWS, RFC 7515): what Kubernetes hands to service accounts.
//!
//! Verifies signatures and gives the payload's bytes. What the claims must say is decided by whoever asks. The
//! algorithm must be one of a fixed list and must fit the issuer's key, so a token can neither switch verification
//! off (`none`) nor turn a public key into a shared secret (`HS256`).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use crate::{JwkSet, KeyAlgorithm, KeyError, Signer};

/// Largest token accepted, in bytes. Kubernetes' own are some 1,000.
pub const TOKEN_MAX_BYTES: usize = 16 * 1024;

/// Why a token was refused before anyone looked at its claims.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Over [`TOKEN_MAX_BYTES`].
    #[error("token has {actual} bytes, at most {TOKEN_MAX_BYTES} are accepted")]
    TooLarge {
        /// Bytes given.
        actual: usize,
    },
    /// Not three base64url parts with a JSON header.
    #[error("token is not a JWS in compact form")]
    Malformed,
    /// An algorithm that Signet does not accept, `none` and the HMAC family among them.
    #[error("token algorithm is not accepted, only RS256, RS384, RS512, ES256 and ES384 are")]
    Algorithm,
    /// A header that must be understood and is not.
    #[error("token has a critical header that is not understood")]
    Critical,
    /// The issuer has no such key.
    #[error("token is signed with a key that its issuer does not publish")]
    UnknownKey,
    /// The signature is not by that key.
    #[error("token signature does not verify")]
    Signature,
}

/// Signature algorithms of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
}

impl Algorithm {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "RS384" => Some(Self::Rs384),
            "RS512" => Some(Self::Rs512),
            "ES256" => Some(Self::Es256),
            "ES384" => Some(Self::Es384),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Present or not; whatever it says, even `null`.
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

fn present<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}

/// A token taken apart, its signature not yet judged.
pub struct UnverifiedJws<'a> {
    algorithm: Algorithm,
    kid: Option<String>,
    signing_input: &'a str,
    payload: &'a str,
    signature: Vec<u8>,
}

impl<'a> UnverifiedJws<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// Size, form, algorithm, or a critical header.
    pub fn parse(token: &'a str) -> Result<Self, JwsError> {
        if token.len() > TOKEN_MAX_BYTES {
            return Err(JwsError::TooLarge { actual: token.len() });
        }
        let (signing_input, signature) = token.rsplit_once('.').ok_or(JwsError::Malformed)?;
        let (header, payload) = signing_input.split_once('.').ok_or(JwsError::Malformed)?;
        if payload.contains('.') {
            return Err(JwsError::Malformed);
        }
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| JwsError::Malformed)?;
        if header.crit {
            return Err(JwsError::Critical);
        }
        let algorithm = Algorithm::from_name(&header.alg).ok_or(JwsError::Algorithm)?;
        Ok(Self { algorithm, kid: header.kid, signing_input, payload, signature: decode(signature)? })
    }

    /// The name of the key that the token says it was signed with.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The payload once the signature has been verified by a key of `keys`.
    ///
    /// # Errors
    /// [`JwsError::UnknownKey`], [`JwsError::Signature`], [`JwsError::Malformed`].
    pub fn verify(&self, keys: &JwkSet) -> Result<Vec<u8>, JwsError> {
        match keys.verify(self.kid(), self.algorithm, self.signing_input.as_bytes(), &self.signature) {
            None => Err(JwsError::UnknownKey),
            Some(false) => Err(JwsError::Signature),
            Some(true) => decode(self.payload),
        }
    }

    /// The payload as the bearer presents it. Good for a bearer to look at its own token; proof of nothing.
    ///
    /// # Errors
    /// [`JwsError::Malformed`].
    pub fn unproven_payload(&self) -> Result<Vec<u8>, JwsError> {
        decode(self.payload)
    }
}

/// The payload of a token of any algorithm, as its bearer presents it. Proof of nothing; good for sorting tokens that
/// somebody else verifies.
///
/// # Errors
/// [`JwsError::TooLarge`], [`JwsError::Malformed`].
pub fn unproven_payload(token: &str) -> Result<Vec<u8>, JwsError> {
    if token.len() > TOKEN_MAX_BYTES {
        return Err(JwsError::TooLarge { actual: token.len() });
    }
    let mut parts = token.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(payload), Some(signature), None) if !signature.is_empty() => {
            decode(header)?;
            decode(signature)?;
            decode(payload)
        }
        _ => Err(JwsError::Malformed),
    }
}

/// Signs `claims` as a compact token named by `kid`: ES256 or ES384 with a key on that curve, RS256 with RSA. The
/// header says no more than that, as in the tokens of Kubernetes.
///
/// # Errors
/// [`KeyError::Algorithm`] for other keys, [`KeyError::Signing`].
pub fn sign(signer: &Signer, kid: &str, claims: &serde_json::Value) -> Result<String, KeyError> {
    let (alg, coordinate) = algorithm_of(signer)?;
    sign_under(&serde_json::json!({ "alg": alg, "kid": kid }), signer, coordinate, claims)
}

/// Signs `claims` as a JWT-SVID, whose header holds `alg`, `kid` and `typ` and may hold nothing else (JWT-SVID,
/// section 2). Otherwise as [`sign`].
///
/// # Errors
/// As [`sign`].
pub fn sign_jwt_svid(signer: &Signer, kid: &str, claims: &serde_json::Value) -> Result<String, KeyError> {
    let (alg, coordinate) = algorithm_of(signer)?;
    sign_under(&serde_json::json!({ "alg": alg, "kid": kid, "typ": "JWT" }), signer, coordinate, claims)
}

/// The name of a key's algorithm, and the octets of each half of its signatures where they have halves.
fn algorithm_of(signer: &Signer) -> Result<(&'static str, Option<usize>), KeyError> {
    match signer.public().algorithm() {
        KeyAlgorithm::EcP256 => Ok(("ES256", Some(32))),
        KeyAlgorithm::EcP384 => Ok(("ES384", Some(48))),
        KeyAlgorithm::Rsa { .. } => Ok(("RS256", None)),
        KeyAlgorithm::Ed25519 => Err(KeyError::Algorithm),
    }
}

fn sign_under(
    header: &serde_json::Value,
    signer: &Signer,
    coordinate: Option<usize>,
    claims: &serde_json::Value,
) -> Result<String, KeyError> {
    let encode = |json: &serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let input = format!("{}.{}", encode(header), encode(claims));
    let signature = signer.sign(input.as_bytes())?;
    let signature = match coordinate {
        Some(size) => fixed_form(&signature, size).ok_or(KeyError::Signing)?,
        None => signature,
    };
    Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// An ECDSA signature as two fixed-size integers (RFC 7518, 3.4) instead of ASN.1.
fn fixed_form(asn1: &[u8], size: usize) -> Option<Vec<u8>> {
    let (r, s) = yasna::parse_der(asn1, |reader| {
        reader.read_sequence(|reader| Ok((reader.next().read_bigint_bytes()?.0, reader.next().read_bigint_bytes()?.0)))
    })
    .ok()?;
    let mut fixed = Vec::with_capacity(2 * size);
    for integer in [r, s] {
        let octets: Vec<u8> = integer.into_iter().skip_while(|octet| *octet == 0).collect();
        fixed.extend(std::iter::repeat_n(0, size.checked_sub(octets.len())?));
        fixed.extend(octets);
    }
    Some(fixed)
}

fn decode(part: &str) -> Result<Vec<u8>, JwsError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| JwsError::Malformed)
}
