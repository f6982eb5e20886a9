//! Payloads that are no service account's, and those that are.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn claims() -> serde_json::Value {
    json!({
        "iss": "k8s", "sub": "system:serviceaccount:shop:web", "aud": ["a", "b"], "exp": 20, "nbf": 10, "iat": 10,
        "kubernetes.io": {
            "namespace": "shop",
            "serviceaccount": { "name": "web", "uid": "u-1" },
            "pod": { "name": "web-1", "uid": "p-1" },
        },
    })
}

fn check(change: impl FnOnce(&mut serde_json::Value), wanted: Option<&ClaimsError>) {
    let mut claims = claims();
    change(&mut claims);
    let got = Claims::from_json(claims.to_string().as_bytes()).err();
    assert_eq!(got.as_ref(), wanted, "{claims}");
}

#[test]
fn each_way_to_be_no_service_account_has_its_name() {
    check(|_| {}, None);
    check(|c| c["sub"] = json!("system:node:n"), Some(&ClaimsError::Subject));
    check(|c| c["sub"] = json!("system:serviceaccount:shop"), Some(&ClaimsError::Subject));
    check(|c| c["sub"] = json!("system:serviceaccount:shop:web:x"), Some(&ClaimsError::Disagreement));
    check(|c| c["sub"] = json!("system:serviceaccount:other:web"), Some(&ClaimsError::Disagreement));
    check(|c| c["kubernetes.io"] = json!(null), Some(&ClaimsError::NotKubernetes));
    check(|c| c["kubernetes.io"]["serviceaccount"] = json!(null), Some(&ClaimsError::NotKubernetes));
    check(|c| c["kubernetes.io"] = json!([]), Some(&ClaimsError::Malformed));
    check(|c| c["kubernetes.io"]["serviceaccount"]["uid"] = json!("u 1"), Some(&ClaimsError::Reference));
    check(|c| c["kubernetes.io"]["pod"]["name"] = json!("Web"), Some(&ClaimsError::Reference));
    check(|c| c["kubernetes.io"]["pod"]["uid"] = json!(""), Some(&ClaimsError::Reference));
    check(|c| c["kubernetes.io"]["pod"] = json!({ "name": "web-1" }), Some(&ClaimsError::Malformed));
    check(|c| c["kubernetes.io"]["node"] = json!({ "name": "n-1" }), None);
    check(|c| c["kubernetes.io"]["node"] = json!({ "name": "n-1", "uid": "" }), Some(&ClaimsError::Reference));
    check(|c| c["exp"] = json!("20"), Some(&ClaimsError::Malformed));
    check(|c| c["jti"] = json!("x".repeat(129)), Some(&ClaimsError::Reference));
}

#[test]
fn a_claim_given_twice_is_refused() {
    let twice = claims().to_string().replacen('{', "{\"sub\":\"system:serviceaccount:shop:web\",", 1);
    assert_eq!(Claims::from_json(twice.as_bytes()).map(|_| ()), Err(ClaimsError::Malformed));
}

#[test]
fn dates_of_every_size_become_instants() {
    let exp = |value: serde_json::Value| {
        let mut claims = claims();
        claims["exp"] = value;
        Claims::from_json(claims.to_string().as_bytes()).unwrap().expires_at.unwrap()
    };
    assert_eq!(exp(json!(20)).unix_secs(), 20);
    assert_eq!(exp(json!(20.9)).unix_secs(), 20);
    assert_eq!(exp(json!(-1)).unix_secs(), -1);
    assert_eq!(exp(json!(u64::MAX)), Timestamp::from_unix_secs(i64::MAX));
    assert_eq!(exp(json!(i64::MIN)), exp(json!(-1e300)));
}

#[test]
fn escaped_text_is_what_it_stands_for() {
    let escaped = claims().to_string().replace("\"shop\"", "\"sh\\u006fp\"");
    assert_eq!(Claims::from_json(escaped.as_bytes()).unwrap().workload.to_string(), "shop/web");
}

proptest! {
    #[test]
    fn no_payload_makes_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Claims::from_json(&bytes);
    }

    #[test]
    fn no_value_in_a_known_place_makes_the_reader_panic(key in "iss|sub|aud|exp|nbf|iat|jti|kubernetes.io", text in ".{0,40}", number: f64) {
        for value in [json!(text), json!([text]), json!({ "namespace": text }), json!(number), json!(null)] {
            let mut claims = claims();
            claims[&key] = value;
            let _ = Claims::from_json(claims.to_string().as_bytes());
        }
    }
}
