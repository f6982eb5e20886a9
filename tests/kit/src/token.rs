//! Issuers of Kubernetes-style service account tokens, honest and hostile.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use ring::{digest, hmac};
use serde_json::{Value, json};
use signet_identity::{KeyAlgorithm, PrivateKey, Timestamp, jwk, jws};

use crate::keys;

/// The issuer that a cluster names itself by when nobody says otherwise.
pub const DEFAULT_ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// The audience that Istio's workloads ask their tokens for.
pub const DEFAULT_AUDIENCE: &str = "istio-ca";

/// What an API server is to a certificate authority: a key, the set that publishes it, and tokens signed by it.
pub struct TokenIssuer {
    key: PrivateKey,
    kid: String,
    issuer: String,
}

impl TokenIssuer {
    /// An issuer with a fresh P-256 key.
    ///
    /// # Panics
    /// When the key cannot be made.
    pub fn es256() -> Self {
        Self::with_key(PrivateKey::generate_p256().expect("a P-256 key should be made"))
    }

    /// An issuer with RSA-2048, as most clusters have. All of one process share the key, and so the `kid`.
    ///
    /// # Panics
    /// When the key cannot be made.
    pub fn rs256() -> Self {
        Self::with_key(keys::rsa_2048())
    }

    /// An issuer that signs with `key`; its `kid` is made from the public half, as API servers do.
    pub fn with_key(key: PrivateKey) -> Self {
        let kid = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, key.public().spki_der()));
        Self { key, kid, issuer: DEFAULT_ISSUER.to_owned() }
    }

    /// The same issuer under another name.
    #[must_use]
    pub fn named(mut self, issuer: &str) -> Self {
        issuer.clone_into(&mut self.issuer);
        self
    }

    /// What its tokens say in `iss`.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The name of its key.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Its key.
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// Its public key as a JWK.
    ///
    /// # Panics
    /// When the key is of a kind that tokens are not signed with.
    pub fn jwk(&self) -> Value {
        jwk::to_json(self.key.public(), &self.kid).expect("the key should have a JWK form")
    }

    /// Its key set.
    ///
    /// # Panics
    /// As [`TokenIssuer::jwk`].
    pub fn jwks_json(&self) -> String {
        json!({ "keys": [self.jwk()] }).to_string()
    }

    /// Signs any claims.
    ///
    /// # Panics
    /// When the key cannot sign.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(&self.kid, claims)
    }

    /// A token of `service_account` in `namespace`, bound to a pod on a node, valid from `now` for `ttl`.
    ///
    /// # Panics
    /// When the key cannot sign.
    pub fn token(&self, namespace: &str, service_account: &str, now: Timestamp, ttl: Duration) -> String {
        self.sign(&self.claims(namespace, service_account, now, ttl))
    }

    /// The claims that [`TokenIssuer::token`] signs, to be altered one by one. Uids depend on the names alone; `jti` is
    /// random.
    pub fn claims(&self, namespace: &str, service_account: &str, now: Timestamp, ttl: Duration) -> Value {
        let (pod, node) = (format!("{service_account}-1"), "node-1");
        json!({
            "aud": [DEFAULT_AUDIENCE],
            "exp": now.plus(ttl).unix_secs(),
            "iat": now.unix_secs(),
            "iss": self.issuer,
            "jti": uuid(rand::random()),
            "kubernetes.io": {
                "namespace": namespace,
                "node": { "name": node, "uid": uid_of(&["node", node]) },
                "pod": { "name": pod, "uid": uid_of(&["pod", namespace, &pod]) },
                "serviceaccount": {
                    "name": service_account,
                    "uid": uid_of(&["serviceaccount", namespace, service_account]),
                },
            },
            "nbf": now.unix_secs(),
            "sub": format!("system:serviceaccount:{namespace}:{service_account}"),
        })
    }

    /// A token that switches verification off: `alg` is `none`, the signature is empty.
    pub fn alg_none(&self, claims: &Value) -> String {
        format!("{}.", signing_input(&json!({ "alg": "none", "kid": self.kid }), claims))
    }

    /// A token whose HMAC secret is the issuer's public key in PEM, which everybody knows.
    pub fn hs256_with_public_key(&self, claims: &Value) -> String {
        let secret = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(self.key.public().spki_der())
        );
        let input = signing_input(&json!({ "alg": "HS256", "kid": self.kid }), claims);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    /// A token signed by the right key under a name that the key set does not hold.
    ///
    /// # Panics
    /// When the key cannot sign.
    pub fn unknown_kid(&self, claims: &Value) -> String {
        self.sign_as("no-such-key", claims)
    }

    /// A token with one bit of its signature turned.
    ///
    /// # Panics
    /// When the key cannot sign.
    pub fn bad_signature(&self, claims: &Value) -> String {
        let token = self.sign(claims);
        let (input, signature) = token.rsplit_once('.').expect("a token should have three parts");
        let mut signature = URL_SAFE_NO_PAD.decode(signature).expect("a signature should be base64url");
        *signature.last_mut().expect("a signature should not be empty") ^= 1;
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A token that names this issuer's key but is signed by somebody else's of the same kind.
    ///
    /// # Panics
    /// When the stranger's key cannot be made or cannot sign.
    pub fn signed_by_stranger(&self, claims: &Value) -> String {
        let key = match self.key.public().algorithm() {
            KeyAlgorithm::Rsa { bits } => PrivateKey::from_pkcs8(keys::new_rsa_pkcs8(bits).into()),
            KeyAlgorithm::EcP384 => PrivateKey::generate_p384(),
            _ => PrivateKey::generate_p256(),
        };
        let stranger = Self::with_key(key.expect("a stranger's key should be made"));
        stranger.sign_as(&self.kid, claims)
    }

    /// A rightly signed token with any `header` at all. For issuers made by [`TokenIssuer::es256`].
    ///
    /// # Panics
    /// When the issuer's key is not P-256.
    pub fn sign_with_header(&self, header: &Value, claims: &Value) -> String {
        self.sign_raw(&signing_input(header, claims))
    }

    /// Appends the right signature to `input`, whatever it says. For issuers made by [`TokenIssuer::es256`].
    ///
    /// # Panics
    /// When the issuer's key is not P-256.
    pub fn sign_raw(&self, input: &str) -> String {
        let rng = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.key.to_pkcs8(), &rng)
            .expect("the issuer's key should be P-256");
        let signature = pair.sign(&rng, input.as_bytes()).expect("a P-256 key should sign");
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn sign_as(&self, kid: &str, claims: &Value) -> String {
        let signer = self.key.signer().expect("the key should be usable");
        jws::sign(&signer, kid, claims).expect("the key should sign tokens")
    }
}

/// Header and payload as a signature covers them.
pub fn signing_input(header: &Value, claims: &Value) -> String {
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

/// The uid that an object of these names always has.
fn uid_of(names: &[&str]) -> String {
    let half = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        (salt, names).hash(&mut hasher);
        hasher.finish()
    };
    uuid((u128::from(half(1)) << 64) | u128::from(half(2)))
}

/// A version 4 UUID (RFC 9562) of these bits.
fn uuid(bits: u128) -> String {
    let bits = (bits & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let group = |shift: u32, digits: u32| (bits >> shift) & ((1 << (4 * digits)) - 1);
    format!("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", group(96, 8), group(80, 4), group(64, 4), group(48, 4), group(0, 12))
}

#[cfg(test)]
mod tests {
    use super::*;
    use signet_identity::{JwkSet, JwsError, UnverifiedJws};

    const NOW: Timestamp = Timestamp::from_unix_secs(1_700_000_000);

    fn verify(issuer: &TokenIssuer, token: &str) -> Result<Value, JwsError> {
        let keys = JwkSet::from_json(issuer.jwks_json().as_bytes()).unwrap();
        let payload = UnverifiedJws::parse(token)?.verify(&keys)?;
        Ok(serde_json::from_slice(&payload).unwrap())
    }

    #[test]
    fn an_honest_token_verifies_by_the_published_set() {
        for issuer in [TokenIssuer::es256(), TokenIssuer::rs256()] {
            let claims = issuer.claims("shop", "web", NOW, Duration::from_secs(600));
            assert_eq!(verify(&issuer, &issuer.sign(&claims)), Ok(claims));
        }
    }

    #[test]
    fn every_hostile_token_is_refused_for_the_reason_it_was_made_for() {
        for issuer in [TokenIssuer::es256(), TokenIssuer::rs256()] {
            let claims = issuer.claims("shop", "web", NOW, Duration::from_secs(600));
            assert_eq!(verify(&issuer, &issuer.alg_none(&claims)), Err(JwsError::Algorithm));
            assert_eq!(verify(&issuer, &issuer.hs256_with_public_key(&claims)), Err(JwsError::Algorithm));
            assert_eq!(verify(&issuer, &issuer.unknown_kid(&claims)), Err(JwsError::UnknownKey));
            assert_eq!(verify(&issuer, &issuer.bad_signature(&claims)), Err(JwsError::Signature));
            assert_eq!(verify(&issuer, &issuer.signed_by_stranger(&claims)), Err(JwsError::Signature));
        }
    }

    #[test]
    fn a_header_of_ones_own_is_signed_rightly() {
        let issuer = TokenIssuer::es256();
        let claims = json!({ "sub": "x" });
        let token = issuer.sign_with_header(&json!({ "alg": "ES256", "kid": issuer.kid() }), &claims);
        assert_eq!(verify(&issuer, &token), Ok(claims));
    }

    #[test]
    fn uids_are_stable_and_token_ids_are_not() {
        let issuer = TokenIssuer::es256();
        let claims = || issuer.claims("shop", "web", NOW, Duration::from_secs(1));
        let (one, two) = (claims(), claims());
        assert_eq!(one["kubernetes.io"], two["kubernetes.io"]);
        assert_ne!(one["jti"], two["jti"]);
        assert_ne!(one["kubernetes.io"]["pod"]["uid"], one["kubernetes.io"]["node"]["uid"]);
        let groups: Vec<usize> = one["jti"].as_str().unwrap().split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12]);
    }
}
