//! Key sets of token issuers: which keys are used, for what, and which are passed over or refuse the set.

// So that the linter takes the helpers here for tests, which they are.
#![cfg(test)]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use signet_identity::jwk::{self, JWKS_MAX_BYTES, JWKS_MAX_KEYS};
use signet_identity::{JwkError, JwkSet, JwsError, PrivateKey, Timestamp, UnverifiedJws, jws};
use signet_testkit::TokenIssuer;

fn set_of(keys: &[Value]) -> Result<JwkSet, JwkError> {
    JwkSet::from_json(json!({ "keys": keys }).to_string().as_bytes())
}

fn token_of(issuer: &TokenIssuer) -> String {
    issuer.token("shop", "web", Timestamp::from_unix_secs(1_790_000_000), Duration::from_secs(3600))
}

/// Whether `token` verifies by the set of these keys.
#[expect(clippy::needless_pass_by_value, reason = "the tables read better without references")]
fn check(name: &str, keys: &[Value], token: &str, wanted: Result<(), JwsError>) {
    let keys = set_of(keys).unwrap();
    assert_eq!(UnverifiedJws::parse(token).unwrap().verify(&keys).map(|_| ()), wanted, "{name}");
}

/// `jwk` with one member set, or taken away.
fn with(jwk: &Value, member: &str, value: Option<Value>) -> Value {
    let mut jwk = jwk.clone();
    match value {
        Some(value) => jwk[member] = value,
        None => drop(jwk.as_object_mut().unwrap().remove(member)),
    }
    jwk
}

#[test]
fn two_keys_of_one_name_are_both_tried() {
    let (old, new) = (TokenIssuer::es256(), TokenIssuer::es256());
    let mut namesake = old.jwk();
    namesake["kid"] = json!(new.kid());
    let both = [namesake, new.jwk()];
    let set = set_of(&both).unwrap();
    assert_eq!(set.len(), 2);
    assert!(set.knows(new.kid()) && !set.knows(old.kid()));
    check("the second", &both, &token_of(&new), Ok(()));
    check("neither", &both, &new.signed_by_stranger(&json!({})), Err(JwsError::Signature));
}

#[test]
fn keys_that_cannot_verify_tokens_are_passed_over() {
    let (ec, rsa) = (TokenIssuer::es256().jwk(), TokenIssuer::rs256().jwk());
    let octets = |count: usize| Some(json!(URL_SAFE_NO_PAD.encode(vec![0xab; count])));
    let unusable = [
        ("for encryption", with(&ec, "use", Some(json!("enc")))),
        ("tied to an algorithm that is not accepted", with(&rsa, "alg", Some(json!("PS256")))),
        ("tied to HMAC", with(&ec, "alg", Some(json!("HS256")))),
        ("symmetric", json!({ "kty": "oct", "kid": "x", "k": "AAAA" })),
        ("of another kind", json!({ "kty": "OKP", "crv": "Ed25519", "kid": "x", "x": "AAAA" })),
        ("on another curve", with(&ec, "crv", Some(json!("P-521")))),
        ("on a curve it is not on", with(&ec, "crv", Some(json!("P-384")))),
        ("without a curve", with(&ec, "crv", None)),
        ("without y", with(&ec, "y", None)),
        ("x one octet short", with(&ec, "x", octets(31))),
        ("y one octet long", with(&ec, "y", octets(33))),
        ("x in padded base64", with(&ec, "x", Some(json!(format!("{}=", ec["x"].as_str().unwrap()))))),
        ("without a modulus", with(&rsa, "n", None)),
        ("without an exponent", with(&rsa, "e", None)),
        ("RSA-1024", with(&rsa, "n", octets(128))),
        ("RSA-2040", with(&rsa, "n", octets(255))),
        (
            "RSA-1024 behind zeroes",
            with(&rsa, "n", Some(json!(URL_SAFE_NO_PAD.encode([[0; 128], [0xab; 128]].concat())))),
        ),
        ("RSA in the other alphabet", with(&rsa, "n", Some(json!("+/".repeat(200))))),
        ("of kind EC with RSA members", with(&rsa, "kty", Some(json!("EC")))),
    ];
    let sound = with(&ec, "kid", Some(json!("sound")));
    for (name, key) in unusable {
        assert_eq!(set_of(std::slice::from_ref(&key)).err(), Some(JwkError::NoUsableKey), "{name}");
        let both = set_of(&[key, sound.clone()]).unwrap();
        assert_eq!((both.len(), both.knows("sound")), (1, true), "{name}");
    }
}

#[test]
fn a_key_tied_to_one_algorithm_verifies_no_other() {
    let issuer = TokenIssuer::rs256();
    let token = token_of(&issuer);
    let tied_to = |alg: &str| [with(&issuer.jwk(), "alg", Some(json!(alg)))];
    check("RS256", &tied_to("RS256"), &token, Ok(()));
    check("RS512", &tied_to("RS512"), &token, Err(JwsError::Signature));
    check("ES256, for an RSA key", &tied_to("ES256"), &token, Err(JwsError::Signature));
}

#[test]
fn a_point_that_is_on_no_curve_verifies_nothing() {
    let issuer = TokenIssuer::es256();
    let (jwk, token) = (issuer.jwk(), token_of(&issuer));
    let stray = with(&jwk, "y", Some(jwk["x"].clone()));
    check("a stray point", &[stray], &token, Err(JwsError::Signature));
    let zero = Some(json!(URL_SAFE_NO_PAD.encode([0; 32])));
    let origin = with(&with(&jwk, "x", zero.clone()), "y", zero);
    check("the origin", &[origin], &token, Err(JwsError::Signature));
}

#[test]
fn zeroes_in_front_of_a_modulus_are_passed_over() {
    let issuer = TokenIssuer::rs256();
    let modulus = URL_SAFE_NO_PAD.decode(issuer.jwk()["n"].as_str().unwrap()).unwrap();
    let padded = URL_SAFE_NO_PAD.encode([vec![0], modulus].concat());
    check("padded", &[with(&issuer.jwk(), "n", Some(json!(padded)))], &token_of(&issuer), Ok(()));
}

#[test]
fn a_key_set_is_a_bounded_json_object_with_a_usable_key() {
    let refused = |json: &str, wanted: JwkError| {
        assert_eq!(JwkSet::from_json(json.as_bytes()).err(), Some(wanted), "{}", json.get(..60).unwrap_or(json));
    };
    for json in ["", "{}", "[]", "null", "{\"keys\":null}", "{\"keys\":{}}", "{\"keys\":[1]}", "{\"keys\":[{}]}", "{"] {
        refused(json, JwkError::Malformed);
    }
    refused("{\"keys\":[],\"keys\":[]}", JwkError::Malformed);
    refused("{\"keys\":[{\"kty\":\"EC\",\"kty\":\"RSA\"}]}", JwkError::Malformed);
    refused("{\"keys\":[]} x", JwkError::Malformed);
    refused("{\"keys\":[]}", JwkError::NoUsableKey);
    refused(&" ".repeat(JWKS_MAX_BYTES + 1), JwkError::TooLarge { actual: JWKS_MAX_BYTES + 1 });
    let key = TokenIssuer::es256().jwk();
    assert_eq!(set_of(&vec![key.clone(); JWKS_MAX_KEYS]).unwrap().len(), JWKS_MAX_KEYS);
    let count = JWKS_MAX_KEYS + 1;
    assert_eq!(set_of(&vec![key; count]).err(), Some(JwkError::TooManyKeys { count }));
}

#[test]
fn an_ed25519_key_signs_no_tokens() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_der();
    let key = PrivateKey::from_pkcs8(key.into()).unwrap();
    assert_eq!(jwk::to_json(key.public(), "x"), None);
    assert!(jws::sign(&key.signer().unwrap(), "x", &json!({})).is_err());
}
