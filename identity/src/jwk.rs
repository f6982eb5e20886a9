//! JSON Web Key sets (RFC 7517): the public keys of a token issuer.
//!
//! RSA from 2048 bits, P-256 and P-384. Keys for encryption, symmetric keys and kinds that Signet does not verify are
//! passed over, since an issuer may publish them for others; a set without one usable key is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::jws::Algorithm;
use crate::{KeyAlgorithm, KeyError, PublicKey};

/// Largest key set accepted, in bytes of JSON.
pub const JWKS_MAX_BYTES: usize = 256 * 1024;

/// Most keys read from one set.
pub const JWKS_MAX_KEYS: usize = 64;

const RSA_MODULUS_MIN_BYTES: usize = 256;

/// Why a key set was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwkError {
    /// Over [`JWKS_MAX_BYTES`].
    #[error("key set has {actual} bytes, at most {JWKS_MAX_BYTES} are accepted")]
    TooLarge {
        /// Bytes given.
        actual: usize,
    },
    /// Not a JSON key set.
    #[error("key set is not a JSON object with a `keys` list")]
    Malformed,
    /// Over [`JWKS_MAX_KEYS`].
    #[error("key set holds {count} keys, at most {JWKS_MAX_KEYS} are accepted")]
    TooManyKeys {
        /// Keys given.
        count: usize,
    },
    /// Nothing to verify with.
    #[error("key set holds no RSA (2048 bits or more), P-256 or P-384 signing key")]
    NoUsableKey,
}

/// The usable keys of one issuer; at least one.
#[derive(Debug, Clone)]
pub struct JwkSet {
    keys: Vec<Jwk>,
}

#[derive(Debug, Clone)]
struct Jwk {
    kid: Option<String>,
    /// The one algorithm that the issuer ties the key to, if it says so.
    alg: Option<Algorithm>,
    material: Material,
}

#[derive(Debug, Clone)]
enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point.
    P256(Vec<u8>),
    /// An uncompressed point.
    P384(Vec<u8>),
}

#[derive(Deserialize)]
struct RawSet {
    keys: Vec<RawKey>,
}

#[derive(Deserialize)]
struct RawKey {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl JwkSet {
    /// Reads a key set.
    ///
    /// # Errors
    /// Every variant of [`JwkError`].
    pub fn from_json(json: &[u8]) -> Result<Self, JwkError> {
        if json.len() > JWKS_MAX_BYTES {
            return Err(JwkError::TooLarge { actual: json.len() });
        }
        let set: RawSet = serde_json::from_slice(json).map_err(|_| JwkError::Malformed)?;
        if set.keys.len() > JWKS_MAX_KEYS {
            return Err(JwkError::TooManyKeys { count: set.keys.len() });
        }
        let keys: Vec<Jwk> = set.keys.into_iter().filter_map(Jwk::from_raw).collect();
        if keys.is_empty() { Err(JwkError::NoUsableKey) } else { Ok(Self { keys }) }
    }

    /// How many usable keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Always false: a set holds at least one key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether a key of this name is known.
    pub fn knows(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid.as_deref() == Some(kid))
    }

    /// Verifies with the key that `kid` names, or, where the token names none, with the only key there is.
    /// `None` when there is no such key.
    pub(crate) fn verify(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Option<bool> {
        let mut candidates = self.keys.iter().filter(|key| match kid {
            Some(kid) => key.kid.as_deref() == Some(kid),
            None => self.keys.len() == 1,
        });
        let first = candidates.next()?;
        Some(std::iter::once(first).chain(candidates).any(|key| key.verify(algorithm, message, signature)))
    }
}

impl Jwk {
    fn from_raw(raw: RawKey) -> Option<Self> {
        if raw.usage.is_some_and(|usage| usage != "sig") {
            return None;
        }
        let alg = match &raw.alg {
            Some(name) => Some(Algorithm::from_name(name)?),
            None => None,
        };
        let material = match (raw.kty.as_str(), raw.crv.as_deref()) {
            ("RSA", _) => rsa(raw.n.as_deref()?, raw.e.as_deref()?)?,
            ("EC", Some("P-256")) => Material::P256(point(raw.x.as_deref()?, raw.y.as_deref()?, 32)?),
            ("EC", Some("P-384")) => Material::P384(point(raw.x.as_deref()?, raw.y.as_deref()?, 48)?),
            _ => return None,
        };
        Some(Self { kid: raw.kid, alg, material })
    }

    fn verify(&self, algorithm: Algorithm, message: &[u8], sig: &[u8]) -> bool {
        if self.alg.is_some_and(|alg| alg != algorithm) {
            return false;
        }
        match (&self.material, algorithm) {
            (Material::Rsa { n, e }, Algorithm::Rs256) => {
                let key = RsaPublicKeyComponents { n, e };
                key.verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, sig).is_ok()
            }
            (Material::Rsa { n, e }, Algorithm::Rs384) => {
                let key = RsaPublicKeyComponents { n, e };
                key.verify(&signature::RSA_PKCS1_2048_8192_SHA384, message, sig).is_ok()
            }
            (Material::Rsa { n, e }, Algorithm::Rs512) => {
                let key = RsaPublicKeyComponents { n, e };
                key.verify(&signature::RSA_PKCS1_2048_8192_SHA512, message, sig).is_ok()
            }
            (Material::P256(point), Algorithm::Es256) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(message, sig).is_ok()
            }
            (Material::P384(point), Algorithm::Es384) => {
                UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point).verify(message, sig).is_ok()
            }
            _ => false,
        }
    }
}

fn rsa(n: &str, e: &str) -> Option<Material> {
    // Some issuers write a leading zero octet, which the verifier would refuse.
    let (n, e) = (strip(URL_SAFE_NO_PAD.decode(n).ok()?), strip(URL_SAFE_NO_PAD.decode(e).ok()?));
    (n.len() >= RSA_MODULUS_MIN_BYTES).then_some(Material::Rsa { n, e })
}

fn point(x: &str, y: &str, coordinate_bytes: usize) -> Option<Vec<u8>> {
    let (x, y) = (URL_SAFE_NO_PAD.decode(x).ok()?, URL_SAFE_NO_PAD.decode(y).ok()?);
    if x.len() != coordinate_bytes || y.len() != coordinate_bytes {
        return None;
    }
    Some([&[4], x.as_slice(), y.as_slice()].concat())
}

/// The JSON of one public key as a JWK for signing, named `kid`; `None` for kinds that JWS does not use here.
pub fn to_json(key: &PublicKey, kid: &str) -> Option<Value> {
    let alg = match key.algorithm() {
        KeyAlgorithm::EcP256 => "ES256",
        KeyAlgorithm::EcP384 => "ES384",
        KeyAlgorithm::Rsa { .. } => "RS256",
        KeyAlgorithm::Ed25519 => return None,
    };
    let mut members = parameters(key)?;
    for (name, value) in [("use", "sig"), ("alg", alg), ("kid", kid)] {
        members.insert(name.to_owned(), value.into());
    }
    Some(Value::Object(members))
}

/// The members of a JWK that are the key itself (RFC 7518, 6; RFC 8037, 2).
pub(crate) fn parameters(key: &PublicKey) -> Option<Map<String, Value>> {
    let bits = key.raw_bits();
    let encode = |octets: &[u8]| Value::from(URL_SAFE_NO_PAD.encode(octets));
    let point = |crv: &str, octets: usize| {
        let (x, y) = bits.get(1..)?.split_at_checked(octets)?;
        Some(vec![("kty", "EC".into()), ("crv", crv.into()), ("x", encode(x)), ("y", encode(y))])
    };
    let members = match key.algorithm() {
        KeyAlgorithm::EcP256 => point("P-256", 32)?,
        KeyAlgorithm::EcP384 => point("P-384", 48)?,
        KeyAlgorithm::Ed25519 => vec![("kty", "OKP".into()), ("crv", "Ed25519".into()), ("x", encode(bits))],
        KeyAlgorithm::Rsa { .. } => {
            let (n, e) = rsa_integers(bits)?;
            vec![("kty", "RSA".into()), ("n", encode(&n)), ("e", encode(&e))]
        }
    };
    Some(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Modulus and exponent without zeroes in front.
fn rsa_integers(bits: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (n, e) = yasna::parse_der(bits, |reader| {
        reader.read_sequence(|reader| Ok((reader.next().read_bigint_bytes()?.0, reader.next().read_bigint_bytes()?.0)))
    })
    .ok()?;
    Some((strip(n), strip(e)))
}

fn strip(octets: Vec<u8>) -> Vec<u8> {
    octets.into_iter().skip_while(|octet| *octet == 0).collect()
}

/// The public key that members of a JWK name.
///
/// # Errors
/// [`KeyError::Algorithm`] for kinds and curves that are not known here, the others for keys that are broken or outside
/// the bounds.
pub(crate) fn public_key<'a>(kty: &str, member: impl Fn(&str) -> Option<&'a str>) -> Result<PublicKey, KeyError> {
    let octets = |name: &str| {
        let text = member(name).ok_or(KeyError::Malformed)?;
        URL_SAFE_NO_PAD.decode(text).map_err(|_| KeyError::Malformed)
    };
    match (kty, member("crv")) {
        ("RSA", _) => PublicKey::from_rsa(&strip(octets("n")?), &strip(octets("e")?)),
        ("EC", Some("P-256")) => PublicKey::from_coordinates(KeyAlgorithm::EcP256, &octets("x")?, &octets("y")?),
        ("EC", Some("P-384")) => PublicKey::from_coordinates(KeyAlgorithm::EcP384, &octets("x")?, &octets("y")?),
        ("OKP", Some("Ed25519")) => PublicKey::from_ed25519(&octets("x")?),
        ("EC" | "OKP", None) => Err(KeyError::Malformed),
        _ => Err(KeyError::Algorithm),
    }
}
