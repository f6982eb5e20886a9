//! What verifiers of tokens read that know OpenID Connect Discovery: where the keys are, and the keys.
//!
//! The key set is a plain one (RFC 7517): token keys and nothing else, since readers of such sets take every key in
//! them for one that may verify tokens.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use serde_json::{Value, json};
use signet_identity::jwk;
use tokio::sync::watch;

use super::ring::KeyRing;
use crate::web::{Document, Site};

const DISCOVERY: &str = "/.well-known/openid-configuration";
const KEYS: &str = "/keys";

/// The documents of `issuer`, an https URL, below its own path.
pub(super) fn site(issuer: &str, keys: watch::Receiver<Arc<KeyRing>>, max_age: Duration) -> Site {
    let issuer_path = issuer.parse::<Uri>().map(|url| url.path().trim_end_matches('/').to_owned()).unwrap_or_default();
    let discovery = Document { json: discovery(issuer), max_age };
    let key_set = move || {
        let ring = keys.borrow().clone();
        (!ring.published.is_empty()).then(|| Document { json: key_set(&ring), max_age })
    };
    Site::new(vec![
        (format!("{issuer_path}{DISCOVERY}"), Box::new(move || Some(discovery.clone()))),
        (format!("{issuer_path}{KEYS}"), Box::new(key_set)),
    ])
}

/// The members that Kubernetes' own issuers have, which are those that verifiers of tokens look at.
fn discovery(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "jwks_uri": format!("{}{KEYS}", issuer.trim_end_matches('/')),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    })
}

fn key_set(ring: &KeyRing) -> Value {
    let keys: Vec<Value> = ring.published.iter().filter_map(|key| jwk::to_json(&key.key, &key.kid)).collect();
    json!({ "keys": keys })
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};
    use http_body_util::BodyExt;
    use signet_identity::{JwkSet, JwtKey, PrivateKey};

    use super::*;

    async fn read(site: &Site, path: &str) -> Option<Value> {
        let answer = site.answer(&Method::GET, path, &HeaderMap::new());
        let is_there = answer.status() == 200;
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        is_there.then(|| serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn documents_stand_below_the_issuers_own_path_and_name_it_as_it_was_written() {
        for (issuer, at, keys_at) in [
            ("https://t.example", "/.well-known/openid-configuration", "https://t.example/keys"),
            ("https://t.example/", "/.well-known/openid-configuration", "https://t.example/keys"),
            ("https://t.example:1/a/b", "/a/b/.well-known/openid-configuration", "https://t.example:1/a/b/keys"),
            ("https://t.example/a/", "/a/.well-known/openid-configuration", "https://t.example/a/keys"),
        ] {
            let (_keys, ring) = watch::channel(Arc::default());
            let document = read(&site(issuer, ring, Duration::ZERO), at).await.expect(issuer);
            assert_eq!((&document["issuer"], &document["jwks_uri"]), (&json!(issuer), &json!(keys_at)));
        }
    }

    #[tokio::test]
    async fn the_key_set_follows_the_keys_and_holds_nothing_but_their_public_halves() {
        let (keys, ring) = watch::channel(Arc::default());
        let site = site("https://t.example", ring, Duration::ZERO);
        assert_eq!(read(&site, "/keys").await, None, "a set without keys would be kept by its readers");
        let named =
            |kid: &str| JwtKey { kid: kid.to_owned(), key: PrivateKey::generate_p256().unwrap().public().clone() };
        keys.send_replace(Arc::new(KeyRing { signing: None, published: vec![named("a"), named("b")], version: 1 }));
        let document = read(&site, "/keys").await.unwrap();
        let set = JwkSet::from_json(document.to_string().as_bytes()).unwrap();
        assert!(set.len() == 2 && set.knows("a") && set.knows("b"));
        for key in document["keys"].as_array().unwrap() {
            let members: Vec<&str> = key.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
            assert_eq!((&key["use"], &key["alg"]), (&json!("sig"), &json!("ES256")));
        }
    }
}
