//! A cluster-like token issuer: signs projected service-account tokens as an API server would.

use std::time::Duration;

use serde_json::{Value, json};
use signet_identity::{KeyError, PrivateKey, Signer, Timestamp, jwk, jws};

/// The issuer name that a Kubernetes API server has by default.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// The audience of tokens for the CA.
pub(crate) const AUDIENCE: &str = "istio-ca";

/// Signs tokens with ES256.
pub(crate) struct Issuer {
    signer: Signer,
    kid: String,
    jwks: Value,
}

impl Issuer {
    /// An issuer with a fresh key.
    pub(crate) fn new() -> Result<Self, KeyError> {
        let key = PrivateKey::generate_p256()?;
        let kid: String = key.public().fingerprint().chars().take(16).collect();
        let jwk = jwk::to_json(key.public(), &kid).ok_or(KeyError::Algorithm)?;
        Ok(Self { signer: key.signer()?, kid, jwks: json!({ "keys": [jwk] }) })
    }

    /// The key set that verifiers need.
    pub(crate) fn jwks(&self) -> String {
        self.jwks.to_string()
    }

    /// A pod-bound token for a service account, valid for `life` from `issued`.
    pub(crate) fn token(
        &self,
        namespace: &str,
        account: &str,
        issued: Timestamp,
        life: Duration,
    ) -> Result<String, KeyError> {
        let claims = json!({
            "iss": ISSUER,
            "sub": format!("system:serviceaccount:{namespace}:{account}"),
            "aud": [AUDIENCE],
            "iat": issued.unix_secs(),
            "nbf": issued.unix_secs(),
            "exp": issued.plus(life).unix_secs(),
            "jti": format!("demo-{namespace}-{account}"),
            "kubernetes.io": {
                "namespace": namespace,
                "serviceaccount": { "name": account, "uid": format!("{account}-account-uid") },
                "pod": { "name": format!("{account}-0"), "uid": format!("{account}-pod-uid") },
                "node": { "name": "node-1", "uid": "node-1-uid" },
            },
        });
        jws::sign(&self.signer, &self.kid, &claims)
    }
}
