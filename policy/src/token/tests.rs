//! Real tokens against real keys.

use serde_json::{Value, json};
use signet_identity::{JwsError, PrivateKey, Timestamp, jwk, jws};

use super::*;
use crate::model::Normalization;
use crate::request::Headers;
use crate::select::{Destination, Point, Switches};
use crate::{ReadOptions, Sources, read};

const NOW: Timestamp = Timestamp::from_unix_secs(1_000_000);

struct Issuer {
    key: PrivateKey,
}

impl Issuer {
    fn new() -> Self {
        Self { key: PrivateKey::generate_p256().unwrap() }
    }

    fn keys(&self) -> String {
        let key = jwk::to_json(self.key.public(), "k").unwrap();
        json!({ "keys": [key] }).to_string()
    }

    fn token(&self, claims: &Value) -> String {
        jws::sign(&self.key.signer().unwrap(), "k", claims).unwrap()
    }
}

fn providers(rules: &[Value]) -> Providers {
    let mut sources = Sources::new();
    let object = json!({"apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication",
        "metadata": {"name": "a", "namespace": "foo"}, "spec": {"jwtRules": rules}});
    sources.add("a.json", &object.to_string());
    let world = read(&sources, &ReadOptions::default()).into_world().unwrap();
    let destination = Destination { namespace: "foo".into(), ..Destination::default() };
    let selection = Selection {
        root_namespace: "",
        switches: Switches::default(),
        destination: &destination,
        point: Point::SidecarHttp,
    };
    Providers::new(&world, &selection, &|_| None)
}

fn authenticate(rules: &[Value], method: &str, path: &str, headers: &[(&str, &str)]) -> Authentication {
    let headers: Headers<'_> = headers.iter().copied().collect();
    let http = Http::new(method, "a", path, Normalization::Base, headers).unwrap();
    providers(rules).authenticate(&http, NOW)
}

#[track_caller]
fn check_refused(rules: &[Value], token: &str, refusals: &[Refusal]) {
    let bearer = format!("Bearer {token}");
    let Authentication::Refused(found) = authenticate(rules, "GET", "/", &[("Authorization", &bearer)]) else {
        panic!("not refused");
    };
    assert_eq!(found.into_iter().map(|(_, refusal)| refusal).collect::<Vec<_>>(), refusals);
}

#[test]
fn a_good_token_gives_its_claims_and_no_token_gives_none() {
    let issuer = Issuer::new();
    let rule = json!({"issuer": "i", "jwks": issuer.keys(), "audiences": ["https://a/"]});
    let token = format!(
        "Bearer {}",
        issuer.token(&json!({"iss": "i", "sub": "s", "aud": "a", "scope": "x y", "exp": 999_999}))
    );

    let found = authenticate(std::slice::from_ref(&rule), "GET", "/", &[("authorization", &token)]);
    let Authentication::Verified { claims, .. } = found else { panic!("{found:?}") };
    assert_eq!(claims.as_map()["scope"], json!(["x", "y"]));
    assert_eq!(authenticate(&[rule], "GET", "/", &[]), Authentication::Absent);
}

#[test]
fn what_is_wrong_with_a_token_has_a_name() {
    let (issuer, other) = (Issuer::new(), Issuer::new());
    let rule = json!({"issuer": "i", "jwks": issuer.keys(), "audiences": ["a"]});
    let rules = std::slice::from_ref(&rule);
    check_refused(rules, "no.token", &[Refusal::Jws(JwsError::Malformed)]);
    check_refused(rules, &other.token(&json!({"iss": "i", "aud": "a"})), &[Refusal::Jws(JwsError::Signature)]);
    check_refused(rules, &issuer.token(&json!({"iss": "j", "aud": "a"})), &[Refusal::Issuer]);
    check_refused(rules, &issuer.token(&json!({"iss": "i", "aud": ["b"]})), &[Refusal::Audience]);
    check_refused(rules, &issuer.token(&json!({"iss": "i"})), &[Refusal::Audience]);
    check_refused(rules, &issuer.token(&json!({"iss": "i", "aud": "a", "exp": 999_939})), &[Refusal::Expired]);
    check_refused(rules, &issuer.token(&json!({"iss": "i", "aud": "a", "nbf": 1_000_061})), &[Refusal::NotYet]);
    check_refused(rules, &issuer.token(&json!({"iss": "i", "aud": "a", "exp": "soon"})), &[Refusal::Payload]);
    check_refused(&[json!({"issuer": "i"})], &issuer.token(&json!({"iss": "i"})), &[Refusal::NoKeys]);
}

#[test]
fn another_rule_may_accept_what_one_refuses() {
    let (first, second) = (Issuer::new(), Issuer::new());
    let rules = [json!({"issuer": "i", "jwks": first.keys()}), json!({"issuer": "j", "jwks": second.keys()})];
    let bearer = format!("Bearer {}", second.token(&json!({"iss": "j", "sub": "s"})));
    let found = authenticate(&rules, "GET", "/", &[("authorization", &bearer)]);
    assert!(matches!(found, Authentication::Verified { .. }), "{found:?}");
}

#[test]
fn tokens_are_found_where_the_rule_says_and_nowhere_else() {
    let issuer = Issuer::new();
    let token = issuer.token(&json!({"iss": "i"}));
    let with = |places: &Value| {
        let mut rule = json!({"issuer": "i", "jwks": issuer.keys()});
        rule.as_object_mut().unwrap().extend(places.as_object().unwrap().clone());
        vec![rule]
    };
    let found = |places: &Value, path: &str, headers: &[(&str, &str)]| {
        matches!(authenticate(&with(places), "GET", path, headers), Authentication::Verified { .. })
    };
    let query = format!("/?a=1&access_token={token}");
    assert!(found(&json!({}), &query, &[]));
    assert!(!found(&json!({"fromParams": ["t"]}), &query, &[]));
    assert!(found(&json!({"fromParams": ["t"]}), &format!("/?t={token}"), &[]));
    assert!(found(&json!({"fromCookies": ["t"]}), "/", &[("Cookie", &format!("a=b; t={token}"))]));
    assert!(found(
        &json!({"fromHeaders": [{"name": "X-T", "prefix": "jwt "}]}),
        "/",
        &[("x-t", &format!("jwt {token}"))]
    ));
    assert!(!found(&json!({"fromHeaders": [{"name": "X-T"}]}), "/", &[("authorization", &format!("Bearer {token}"))]));
}

#[test]
fn a_preflight_is_not_asked_for_a_token() {
    let rule = [json!({"issuer": "i"})];
    let headers = [("origin", "o"), ("access-control-request-method", "PUT"), ("authorization", "Bearer x")];
    assert_eq!(authenticate(&rule, "OPTIONS", "/", &headers), Authentication::Absent);
    assert!(matches!(authenticate(&rule, "GET", "/", &headers), Authentication::Refused(_)));
}
