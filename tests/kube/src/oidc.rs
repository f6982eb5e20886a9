//! The issuer's discovery document and its keys.

use serde_json::{Value, json};
use signet_testkit::TokenIssuer;

pub(crate) const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";
pub(crate) const JWKS_PATH: &str = "/openid/v1/jwks";

/// `base` is where the server says it can be reached.
pub(crate) fn discovery(issuers: &[TokenIssuer], base: &str) -> Value {
    let algorithms: Vec<Value> = issuers.iter().map(|issuer| issuer.jwk()["alg"].clone()).collect();
    json!({
        "issuer": issuers.first().map(TokenIssuer::issuer),
        "jwks_uri": format!("{base}{JWKS_PATH}"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
    })
}

pub(crate) fn keys(issuers: &[TokenIssuer]) -> Value {
    let keys = issuers.iter().map(|issuer| {
        let mut key = issuer.jwk();
        key["use"] = json!("sig");
        key
    });
    json!({ "keys": keys.collect::<Vec<_>>() })
}
