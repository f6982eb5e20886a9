//! Signed tokens: no text makes the reader panic, and nothing verifies by a key that did not sign it.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use signet_identity::{JwkSet, PrivateKey, UnverifiedJws, jwk};

static KEYS: LazyLock<JwkSet> = LazyLock::new(|| {
    let key = PrivateKey::generate_p256().expect("a key");
    let jwk = jwk::to_json(key.public(), "k").expect("a JWK");
    JwkSet::from_json(format!("{{\"keys\":[{jwk}]}}").as_bytes()).expect("a key set")
});

fuzz_target!(|text: &str| {
    let Ok(token) = UnverifiedJws::parse(text) else { return };
    let _ = token.unproven_payload();
    assert!(token.verify(&KEYS).is_err(), "nobody holds the key");
});
