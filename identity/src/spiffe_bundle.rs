//! SPIFFE bundles: what a trust domain publishes for others, roots and token keys in one JSON document
//! (SPIFFE Trust Domain and Bundle, section 4; X509-SVID, section 6; JWT-SVID, section 6).
//!
//! A bundle does not say whose it is, so it is read together with the name of its trust domain and never apart from it.
//! Unlike a [`TrustBundle`] it may be empty: a domain that revoked everything says so.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::jwk;
use crate::{BundleError, Certificate, CertificateError, KeyAlgorithm, KeyError, PublicKey, TrustBundle, TrustDomain};

mod read;

/// Largest bundle accepted, in bytes of JSON.
pub const SPIFFE_BUNDLE_MAX_BYTES: usize = 512 * 1024;

/// Most entries in one bundle, those that are passed over included.
pub const SPIFFE_BUNDLE_MAX_ENTRIES: usize = 256;

/// Longest name of a token key, in bytes.
pub const KID_MAX_BYTES: usize = 256;

const X509_SVID: &str = "x509-svid";
const JWT_SVID: &str = "jwt-svid";

/// Why a text or its parts are no SPIFFE bundle. Entries are counted from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpiffeBundleError {
    /// Over [`SPIFFE_BUNDLE_MAX_BYTES`].
    #[error("SPIFFE bundle has {actual} bytes, at most {SPIFFE_BUNDLE_MAX_BYTES} are accepted")]
    TooLarge {
        /// Bytes given.
        actual: usize,
    },
    /// Not a JSON object with `keys`, or a member of another type than it must have, or one that stands there twice.
    #[error("SPIFFE bundle is not a JSON object with `keys`: line {line}, column {column}")]
    Malformed {
        /// Where reading ended, from 1.
        line: usize,
        /// Where reading ended, from 1.
        column: usize,
    },
    /// Over [`SPIFFE_BUNDLE_MAX_ENTRIES`].
    #[error("SPIFFE bundle has {count} entries, at most {SPIFFE_BUNDLE_MAX_ENTRIES} are accepted")]
    TooManyEntries {
        /// Entries given.
        count: usize,
    },
    /// A private key: whoever reads the document can sign.
    #[error("entry {entry} holds a private key")]
    PrivateKey {
        /// Which.
        entry: usize,
    },
    /// The certificate is not base64 in the standard alphabet, or `x5c` is no list of texts.
    #[error("entry {entry} holds a certificate that is not base64")]
    Encoding {
        /// Which.
        entry: usize,
    },
    /// The certificate cannot be read.
    #[error("entry {entry}: {source}")]
    Certificate {
        /// Which.
        entry: usize,
        /// Why.
        source: CertificateError,
    },
    /// The entry's own key is not the certificate's (RFC 7517, 4.7).
    #[error("entry {entry} holds another key than its certificate")]
    AnotherKey {
        /// Which.
        entry: usize,
    },
    /// The entry's key cannot be read.
    #[error("entry {entry}: {source}")]
    Key {
        /// Which.
        entry: usize,
        /// Why.
        source: KeyError,
    },
    /// The certificates are no roots.
    #[error(transparent)]
    Roots(#[from] BundleError),
    /// A token key without a name, or with one over [`KID_MAX_BYTES`]: no token could say that it was signed with it.
    #[error("a token key has no name, or one of more than {KID_MAX_BYTES} bytes")]
    Kid,
    /// Two token keys of one name.
    #[error("two token keys are named `{kid}`")]
    RepeatedKid {
        /// The name.
        kid: String,
    },
    /// A token key of a kind that signs no tokens here.
    #[error("{algorithm} keys sign no tokens")]
    TokenKey {
        /// Its kind.
        algorithm: KeyAlgorithm,
    },
}

/// A key that verifies JWT-SVIDs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtKey {
    /// What tokens call it.
    pub kid: String,
    /// The key: P-256, P-384 or RSA.
    pub key: PublicKey,
}

/// What a trust domain publishes. Roots are CA certificates, each once; names of token keys are unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpiffeBundle {
    trust_domain: TrustDomain,
    roots: Vec<Certificate>,
    jwt_keys: Vec<JwtKey>,
    sequence: Option<u64>,
    refresh_hint: Option<Duration>,
}

impl SpiffeBundle {
    /// A bundle of `roots` and `jwt_keys`, both of which may be empty; repeated roots are kept once.
    ///
    /// # Errors
    /// [`SpiffeBundleError::Roots`], [`SpiffeBundleError::Kid`], [`SpiffeBundleError::RepeatedKid`],
    /// [`SpiffeBundleError::TokenKey`].
    pub fn new(
        trust_domain: TrustDomain,
        roots: Vec<Certificate>,
        jwt_keys: Vec<JwtKey>,
    ) -> Result<Self, SpiffeBundleError> {
        let roots = match TrustBundle::new(trust_domain.clone(), roots) {
            Ok(bundle) => bundle.roots().to_vec(),
            Err(BundleError::Empty) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let mut kids = BTreeSet::new();
        for JwtKey { kid, key } in &jwt_keys {
            if kid.is_empty() || kid.len() > KID_MAX_BYTES {
                return Err(SpiffeBundleError::Kid);
            }
            if key.algorithm() == KeyAlgorithm::Ed25519 {
                return Err(SpiffeBundleError::TokenKey { algorithm: key.algorithm() });
            }
            if !kids.insert(kid) {
                return Err(SpiffeBundleError::RepeatedKid { kid: kid.clone() });
            }
        }
        Ok(Self { trust_domain, roots, jwt_keys, sequence: None, refresh_hint: None })
    }

    /// The same with a sequence number, which must grow with each change, and a hint how often to look for one, of which
    /// whole seconds count.
    #[must_use]
    pub fn numbered(self, sequence: u64, refresh_hint: Duration) -> Self {
        let refresh_hint = Duration::from_secs(refresh_hint.as_secs());
        Self { sequence: Some(sequence), refresh_hint: Some(refresh_hint), ..self }
    }

    /// Whose it is.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The roots for X509-SVIDs; with none, no X509-SVID of the domain is valid.
    pub fn roots(&self) -> &[Certificate] {
        &self.roots
    }

    /// The roots as a trust bundle; `None` when there are none.
    pub fn trust_bundle(&self) -> Option<TrustBundle> {
        TrustBundle::new(self.trust_domain.clone(), self.roots.clone()).ok()
    }

    /// The keys for JWT-SVIDs; with none, no JWT-SVID of the domain is valid.
    pub fn jwt_keys(&self) -> &[JwtKey] {
        &self.jwt_keys
    }

    /// The number that grows with each change, where the domain counts.
    pub fn sequence(&self) -> Option<u64> {
        self.sequence
    }

    /// How often the domain wants others to look for changes, where it says so. Any number of seconds, zero included.
    pub fn refresh_hint(&self) -> Option<Duration> {
        self.refresh_hint
    }

    /// Whether roots and token keys are the same ones, in whatever order.
    pub fn has_same_content(&self, other: &Self) -> bool {
        let same_roots = self.roots.len() == other.roots.len() && self.roots.iter().all(|r| other.roots.contains(r));
        let same_keys =
            self.jwt_keys.len() == other.jwt_keys.len() && self.jwt_keys.iter().all(|k| other.jwt_keys.contains(k));
        self.trust_domain == other.trust_domain && same_roots && same_keys
    }

    /// Reads the document of `trust_domain`.
    ///
    /// Entries of a use or a kind that is not known are passed over, those without a certificate too; of several
    /// certificates in one entry the first counts. Anything else that is wrong refuses the whole, so that a document
    /// cut or altered on its way does not pass for one with fewer keys.
    ///
    /// # Errors
    /// Every variant of [`SpiffeBundleError`].
    pub fn from_json(trust_domain: TrustDomain, json: &[u8]) -> Result<Self, SpiffeBundleError> {
        read::bundle(trust_domain, json)
    }

    /// The document.
    pub fn to_json(&self) -> Value {
        let mut keys = Vec::with_capacity(self.roots.len() + self.jwt_keys.len());
        for root in &self.roots {
            let mut entry = jwk::parameters(root.public_key()).unwrap_or_default();
            entry.insert("use".to_owned(), X509_SVID.into());
            entry.insert("x5c".to_owned(), json!([STANDARD.encode(root.der())]));
            keys.push(Value::Object(entry));
        }
        for JwtKey { kid, key } in &self.jwt_keys {
            let mut entry = jwk::parameters(key).unwrap_or_default();
            entry.insert("use".to_owned(), JWT_SVID.into());
            entry.insert("kid".to_owned(), kid.as_str().into());
            keys.push(Value::Object(entry));
        }
        let mut set = Map::from_iter([("keys".to_owned(), Value::Array(keys))]);
        if let Some(sequence) = self.sequence {
            set.insert("spiffe_sequence".to_owned(), sequence.into());
        }
        if let Some(hint) = self.refresh_hint {
            set.insert("spiffe_refresh_hint".to_owned(), hint.as_secs().into());
        }
        Value::Object(set)
    }
}
