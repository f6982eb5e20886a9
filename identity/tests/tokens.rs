//! Signed tokens and key sets: the standard's own examples, an independent signer, and everything hostile.

// So that the linter takes the helpers here for tests, which they are.
#![cfg(test)]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use rsa::pkcs1v15;
use rsa::pkcs8::DecodePrivateKey;
use rsa::sha2::{Sha256, Sha384, Sha512};
use rsa::signature::{SignatureEncoding, Signer, Verifier};
use serde_json::{Value, json};
use signet_identity::jws::TOKEN_MAX_BYTES;
use signet_identity::{JwkError, JwkSet, JwsError, PrivateKey, Timestamp, UnverifiedJws, jwk, jws};
use signet_testkit::TokenIssuer;
use signet_testkit::keys;
use signet_testkit::token::signing_input;

const NOW: Timestamp = Timestamp::from_unix_secs(1_790_000_000);

fn set_of(keys: &[Value]) -> Result<JwkSet, JwkError> {
    JwkSet::from_json(json!({ "keys": keys }).to_string().as_bytes())
}

fn keys_of(issuer: &TokenIssuer) -> JwkSet {
    JwkSet::from_json(issuer.jwks_json().as_bytes()).unwrap()
}

fn verify(keys: &JwkSet, token: &str) -> Result<Value, JwsError> {
    let payload = UnverifiedJws::parse(token)?.verify(keys)?;
    Ok(serde_json::from_slice(&payload).unwrap())
}

fn claims(issuer: &TokenIssuer) -> Value {
    issuer.claims("shop", "web", NOW, Duration::from_secs(3600))
}

#[expect(clippy::needless_pass_by_value, reason = "the tables read better without references")]
fn check(name: &str, keys: &JwkSet, token: &str, wanted: Result<Value, JwsError>) {
    assert_eq!(verify(keys, token), wanted, "{name}");
}

const EXAMPLE_PAYLOAD: &str =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

#[test]
fn the_es256_example_of_rfc_7515_verifies() {
    let key = json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    });
    let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let token = format!("eyJhbGciOiJFUzI1NiJ9.{EXAMPLE_PAYLOAD}.{signature}");
    assert_eq!(verify(&set_of(&[key]).unwrap(), &token).unwrap()["iss"], "joe");
}

#[test]
fn the_rs256_example_of_rfc_7515_verifies() {
    let key = json!({
        "kty": "RSA", "e": "AQAB",
        "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SF\
              d2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo\
              7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkM\
              Ls91kzk2PAcDTW9gb54h4FRWyuXpoQ",
    });
    let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbd\
                     s9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0Gar\
                     ZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9\
                     Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let token = format!("eyJhbGciOiJSUzI1NiJ9.{EXAMPLE_PAYLOAD}.{signature}");
    assert_eq!(verify(&set_of(&[key]).unwrap(), &token).unwrap()["iss"], "joe");
}

#[test]
fn another_librarys_rsa_signatures_verify_with_every_digest() {
    let issuer = TokenIssuer::rs256();
    let claims = claims(&issuer);
    let key = rsa::RsaPrivateKey::from_pkcs8_der(keys::rsa_2048_pkcs8()).unwrap();
    let mut jwk = issuer.jwk();
    jwk.as_object_mut().unwrap().remove("alg");
    let any_digest = set_of(&[jwk]).unwrap();
    for alg in ["RS256", "RS384", "RS512"] {
        let input = signing_input(&json!({ "alg": alg, "kid": issuer.kid() }), &claims);
        let signature = match alg {
            "RS256" => pkcs1v15::SigningKey::<Sha256>::new(key.clone()).sign(input.as_bytes()).to_vec(),
            "RS384" => pkcs1v15::SigningKey::<Sha384>::new(key.clone()).sign(input.as_bytes()).to_vec(),
            _ => pkcs1v15::SigningKey::<Sha512>::new(key.clone()).sign(input.as_bytes()).to_vec(),
        };
        let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature));
        check(alg, &any_digest, &token, Ok(claims.clone()));
        let tied_to_rs256 = verify(&keys_of(&issuer), &token);
        assert_eq!(tied_to_rs256.is_ok(), alg == "RS256", "{alg}");
    }
}

#[test]
fn our_rsa_signatures_verify_with_another_library() {
    let issuer = TokenIssuer::rs256();
    let token = issuer.sign(&claims(&issuer));
    let (input, signature) = token.rsplit_once('.').unwrap();
    let key = rsa::RsaPrivateKey::from_pkcs8_der(keys::rsa_2048_pkcs8()).unwrap().to_public_key();
    let signature = pkcs1v15::Signature::try_from(URL_SAFE_NO_PAD.decode(signature).unwrap().as_slice()).unwrap();
    pkcs1v15::VerifyingKey::<Sha256>::new(key).verify(input.as_bytes(), &signature).unwrap();
}

#[test]
fn es384_round_trips() {
    let issuer = TokenIssuer::with_key(PrivateKey::generate_p384().unwrap());
    let claims = claims(&issuer);
    for _ in 0..50 {
        check("es384", &keys_of(&issuer), &issuer.sign(&claims), Ok(claims.clone()));
    }
}

#[test]
fn es256_signatures_have_a_fixed_size_whatever_their_numbers() {
    let issuer = TokenIssuer::es256();
    let keys = keys_of(&issuer);
    // One number in 256 begins with a zero octet, which ASN.1 leaves out and the token must not.
    for round in 0..600 {
        let claims = json!({ "round": round });
        let token = issuer.sign(&claims);
        let signature = token.rsplit('.').next().unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(signature).unwrap().len(), 64);
        check("es256", &keys, &token, Ok(claims));
    }
}

#[test]
fn tokens_that_choose_their_own_verification_are_refused() {
    for issuer in [TokenIssuer::es256(), TokenIssuer::rs256()] {
        let (keys, claims) = (keys_of(&issuer), claims(&issuer));
        check("alg none", &keys, &issuer.alg_none(&claims), Err(JwsError::Algorithm));
        let hmac = issuer.hs256_with_public_key(&claims);
        check("HS256 with the public key", &keys, &hmac, Err(JwsError::Algorithm));
        check("unknown kid", &keys, &issuer.unknown_kid(&claims), Err(JwsError::UnknownKey));
        check("bad signature", &keys, &issuer.bad_signature(&claims), Err(JwsError::Signature));
        check("a stranger's signature", &keys, &issuer.signed_by_stranger(&claims), Err(JwsError::Signature));
        let token = issuer.sign(&claims);
        let (input, _) = token.rsplit_once('.').unwrap();
        check("no signature", &keys, &format!("{input}."), Err(JwsError::Signature));
    }
}

#[test]
fn a_header_is_read_strictly() {
    let issuer = TokenIssuer::es256();
    let (keys, claims) = (keys_of(&issuer), claims(&issuer));
    let kid = issuer.kid();
    let with = |header: Value| issuer.sign_with_header(&header, &claims);
    let refused = |name: &str, header: Value, error: JwsError| check(name, &keys, &with(header), Err(error));

    check("typ", &keys, &with(json!({ "alg": "ES256", "kid": kid, "typ": "JWT" })), Ok(claims.clone()));
    // The key that a token brings along is no reason to believe it.
    check("jwk", &keys, &with(json!({ "alg": "ES256", "kid": kid, "jwk": issuer.jwk() })), Ok(claims.clone()));
    for alg in ["none", "None", "", "es256", "ES256 ", "ES512", "PS256", "HS256", "EdDSA"] {
        refused(alg, json!({ "alg": alg, "kid": kid }), JwsError::Algorithm);
    }
    refused("the other family", json!({ "alg": "RS256", "kid": kid }), JwsError::Signature);
    refused("the other curve", json!({ "alg": "ES384", "kid": kid }), JwsError::Signature);
    refused("crit", json!({ "alg": "ES256", "kid": kid, "crit": ["exp"] }), JwsError::Critical);
    refused("empty crit", json!({ "alg": "ES256", "kid": kid, "crit": [] }), JwsError::Critical);
    refused("null crit", json!({ "alg": "ES256", "kid": kid, "crit": null }), JwsError::Critical);
    refused("no alg", json!({ "kid": kid }), JwsError::Malformed);
    refused("alg is a number", json!({ "alg": 256, "kid": kid }), JwsError::Malformed);
    refused("kid is a number", json!({ "alg": "ES256", "kid": 1 }), JwsError::Malformed);
    refused("header is a list", json!(["ES256"]), JwsError::Malformed);
    refused("empty kid", json!({ "alg": "ES256", "kid": "" }), JwsError::UnknownKey);
}

#[test]
fn a_header_that_says_a_thing_twice_is_refused() {
    let issuer = TokenIssuer::es256();
    let payload = URL_SAFE_NO_PAD.encode(claims(&issuer).to_string());
    let with = |header: String| issuer.sign_raw(&format!("{}.{payload}", URL_SAFE_NO_PAD.encode(header)));
    let kid = issuer.kid();
    let keys = keys_of(&issuer);
    for header in [
        format!(r#"{{"alg":"none","alg":"ES256","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"ES256","kid":"other","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"ES256","kid":"{kid}"}} {{}}"#),
        format!(r#"{{"alg":"ES256","kid":"{kid}""#),
        String::new(),
    ] {
        check(&header, &keys, &with(header.clone()), Err(JwsError::Malformed));
    }
}

#[test]
fn only_three_parts_of_unpadded_base64url_are_a_token() {
    let issuer = TokenIssuer::es256();
    let keys = keys_of(&issuer);
    let token = issuer.sign(&json!({ "sub": "x" }));
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts.as_slice() else { panic!("three parts") };
    let malformed = |name: &str, token: &str| check(name, &keys, token, Err(JwsError::Malformed));

    malformed("empty", "");
    malformed("one part", header);
    malformed("two parts", &format!("{header}.{payload}"));
    malformed("four parts", &format!("{token}.{signature}"));
    malformed("an empty part in front", &format!(".{token}"));
    malformed("five parts, as an encrypted token has", &format!("{token}.AAAA.AAAA"));
    malformed("a space in front", &format!(" {token}"));
    malformed("a line end behind", &format!("{token}\n"));
    malformed("padding", &format!("{token}=="));
    malformed("the other alphabet", &format!("{header}.{payload}.++//"));
    malformed("not base64 at all", "a.b.c");
    malformed("JSON form", &json!({ "payload": payload, "signature": signature }).to_string());
    let mut spelled_otherwise = token.clone();
    let last = spelled_otherwise.pop().unwrap();
    spelled_otherwise.push(if last == 'A' { 'B' } else { char::from(last as u8 + 1) });
    malformed("bits that nobody reads are not zero", &spelled_otherwise);
}

#[test]
fn a_signature_covers_header_and_payload() {
    let issuer = TokenIssuer::es256();
    let keys = keys_of(&issuer);
    let (one, two) = (issuer.sign(&json!({ "sub": "web" })), issuer.sign(&json!({ "sub": "admin" })));
    let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (one, two) = (parts(&one), parts(&two));
    let swapped = [one[0].as_str(), two[1].as_str(), one[2].as_str()].join(".");
    check("another token's payload", &keys, &swapped, Err(JwsError::Signature));
    let payload_is_not_base64 = issuer.sign_raw(&format!("{}.*", one[0]));
    check("a signed payload that is not base64", &keys, &payload_is_not_base64, Err(JwsError::Malformed));
}

#[test]
fn asn1_signatures_are_not_taken_for_fixed_ones() {
    let issuer = TokenIssuer::es256();
    let claims = claims(&issuer);
    let input = signing_input(&json!({ "alg": "ES256", "kid": issuer.kid() }), &claims);
    let asn1 = issuer.key().signer().unwrap().sign(input.as_bytes()).unwrap();
    let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode(asn1));
    check("ASN.1", &keys_of(&issuer), &token, Err(JwsError::Signature));
}

#[test]
fn tokens_over_the_bound_are_refused_unread() {
    let issuer = TokenIssuer::es256();
    let keys = keys_of(&issuer);
    let header = json!({ "alg": "ES256", "kid": issuer.kid() });
    let padded = |fill: usize| issuer.sign_with_header(&header, &json!({ "fill": "x".repeat(fill) }));
    let overhead = padded(0).len();
    let largest = padded((TOKEN_MAX_BYTES - overhead) / 4 * 3);
    assert!(largest.len() <= TOKEN_MAX_BYTES && verify(&keys, &largest).is_ok());
    let over = padded((TOKEN_MAX_BYTES - overhead) / 4 * 3 + 6);
    check("over", &keys, &over, Err(JwsError::TooLarge { actual: over.len() }));
    let dots = ".".repeat(TOKEN_MAX_BYTES + 1);
    check("dots", &keys, &dots, Err(JwsError::TooLarge { actual: TOKEN_MAX_BYTES + 1 }));
    let deep = "[".repeat(10_000);
    check("deep header", &keys, &format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(deep)), Err(JwsError::Malformed));
}

#[test]
fn a_token_without_a_kid_needs_an_issuer_with_one_key() {
    let issuer = TokenIssuer::es256();
    let claims = claims(&issuer);
    let token = issuer.sign_with_header(&json!({ "alg": "ES256" }), &claims);
    check("one key", &keys_of(&issuer), &token, Ok(claims));
    let two = set_of(&[issuer.jwk(), TokenIssuer::es256().jwk()]).unwrap();
    check("two keys", &two, &token, Err(JwsError::UnknownKey));
}

#[test]
fn a_bearer_can_look_at_a_token_that_nobody_signed() {
    let issuer = TokenIssuer::es256();
    let claims = claims(&issuer);
    let payload = UnverifiedJws::parse(&issuer.bad_signature(&claims)).unwrap().unproven_payload().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&payload).unwrap(), claims);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_text_makes_the_parsers_panic(token in "[A-Za-z0-9_.=-]{0,200}", json in ".{0,200}") {
        let _ = UnverifiedJws::parse(&token).and_then(|token| token.unproven_payload());
        let _ = UnverifiedJws::parse(&json).and_then(|token| token.unproven_payload());
        let _ = JwkSet::from_json(json.as_bytes());
    }

    #[test]
    fn an_edited_token_is_refused(at in any::<prop::sample::Index>(), put in "[A-Za-z0-9_.-]") {
        let (issuer, token) = shared_token();
        let mut edited: Vec<char> = token.chars().collect();
        *at.get_mut(&mut edited) = put.chars().next().unwrap();
        let edited: String = edited.into_iter().collect();
        prop_assert_eq!(verify(&keys_of(issuer), &edited).is_ok(), &edited == token);
    }
}

fn shared_token() -> &'static (TokenIssuer, String) {
    static TOKEN: std::sync::OnceLock<(TokenIssuer, String)> = std::sync::OnceLock::new();
    TOKEN.get_or_init(|| {
        let issuer = TokenIssuer::es256();
        let token = issuer.sign(&claims(&issuer));
        (issuer, token)
    })
}

#[test]
fn a_jwt_svid_says_algorithm_key_and_type_in_its_header_and_nothing_else() {
    let key = PrivateKey::generate_p256().unwrap();
    let token = jws::sign_jwt_svid(&key.signer().unwrap(), "k1", &json!({ "exp": 1_790_000_000_i64 })).unwrap();
    let parts: Vec<_> = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
    assert_eq!(parts[0], br#"{"alg":"ES256","kid":"k1","typ":"JWT"}"#);
    assert_eq!(parts[1], br#"{"exp":1790000000}"#);
    let keys = set_of(&[jwk::to_json(key.public(), "k1").unwrap()]).unwrap();
    assert_eq!(verify(&keys, &token).unwrap()["exp"], 1_790_000_000_i64);
}
