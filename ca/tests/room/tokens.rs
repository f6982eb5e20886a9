//! Tokens that must not work: each is refused for its own reason, and nothing else changes.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use signet_identity::Timestamp;
use signet_testkit::TokenIssuer;
use tonic::Code;

use crate::lab::{HOUR, Lab, Setup, any_csr, bare_request};

const FAILURES: &str = "citadel_server_authentication_failure_count";
const SUCCESSES: &str = "citadel_server_success_cert_issuance_count";

/// Sends `token` and expects the one text that callers get; the log's `reason` is seen through the metric.
async fn check_refused(lab: &Lab, token: &str, reason: &str) {
    let series = format!("signet_ca_refusals_total{{reason=\"{reason}\"}}");
    let before = (lab.metric(&series).await, lab.metric(FAILURES).await, lab.metric(SUCCESSES).await);
    let state = state_of(lab);

    let status = lab.ask(token, &any_csr(), 60).await.expect_err(reason);

    assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "request authenticate failure"), "{reason}");
    assert!(status.metadata().contains_key("x-request-id"), "{reason}");
    let after = (lab.metric(&series).await, lab.metric(FAILURES).await, lab.metric(SUCCESSES).await);
    assert_eq!(after, (before.0 + 1, before.1 + 1, before.2), "{reason}");
    assert_eq!(state_of(lab), state, "{reason}");
}

fn state_of(lab: &Lab) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(lab.setup.path("state")).unwrap().map(Result::unwrap);
    let kept = entries.filter(|entry| entry.file_type().unwrap().is_file());
    let mut files: Vec<_> =
        kept.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect();
    files.sort();
    files
}

fn claims(lab: &Lab) -> Value {
    lab.setup.issuer.claims("shop", "web", lab.now(), HOUR)
}

/// Signs good claims after `change`.
fn signed(lab: &Lab, change: impl FnOnce(&mut Value)) -> String {
    let mut claims = claims(lab);
    change(&mut claims);
    lab.setup.issuer.sign(&claims)
}

#[tokio::test]
async fn tokens_without_a_good_signature_are_refused() {
    let lab = Lab::start().await;
    let (issuer, claims) = (&lab.setup.issuer, claims(&lab));
    check_refused(&lab, "", "token_malformed").await;
    check_refused(&lab, "no-dots", "token_malformed").await;
    check_refused(&lab, "a.b.c", "token_malformed").await;
    check_refused(&lab, &format!("{}.more", issuer.sign(&claims)), "token_malformed").await;
    check_refused(&lab, &issuer.alg_none(&claims), "token_algorithm").await;
    check_refused(&lab, &issuer.hs256_with_public_key(&claims), "token_algorithm").await;
    check_refused(&lab, &issuer.bad_signature(&claims), "token_signature").await;
    check_refused(&lab, &issuer.signed_by_stranger(&claims), "token_signature").await;
    // Made before the set was read that does not have their keys.
    let older = issuer.claims("shop", "web", lab.now().minus(HOUR / 2), HOUR);
    check_refused(&lab, &issuer.unknown_kid(&older), "token_unknown_key").await;
    check_refused(&lab, &TokenIssuer::es256().sign(&older), "token_unknown_key").await;
    let critical =
        issuer.sign_with_header(&json!({"alg": "ES256", "kid": issuer.kid(), "crit": ["x"], "x": 1}), &claims);
    check_refused(&lab, &critical, "token_malformed").await;
    lab.issue().await;
}

#[tokio::test]
async fn an_oversized_token_is_refused_before_it_is_read() {
    let lab = Lab::start().await;
    let big = signed(&lab, |claims| claims["filler"] = json!("x".repeat(17 * 1024)));
    check_refused(&lab, &big, "token_too_large").await;
    lab.issue().await;
}

#[tokio::test]
async fn headers_beyond_the_bound_are_refused_and_the_server_goes_on() {
    let lab = Lab::start().await;
    let huge = signed(&lab, |claims| claims["filler"] = json!("x".repeat(100 * 1024)));
    lab.ask(&huge, &any_csr(), 60).await.expect_err("headers over the bound should be refused");
    assert_eq!(lab.metric("citadel_server_csr_count").await, 0);
    lab.issue().await;
}

#[tokio::test]
async fn tokens_outside_their_time_are_refused() {
    let lab = Lab::start().await;
    let secs = |offset: i64| json!(lab.now().unix_secs() + offset);
    check_refused(&lab, &signed(&lab, |c| c["exp"] = secs(-1)), "token_expired").await;
    check_refused(&lab, &signed(&lab, |c| c["exp"] = json!(-1)), "token_expired").await;
    check_refused(&lab, &signed(&lab, |c| c["nbf"] = secs(60)), "token_not_yet_valid").await;
    check_refused(&lab, &signed(&lab, |c| c["iat"] = secs(60)), "token_not_yet_valid").await;
    check_refused(&lab, &signed(&lab, |c| c["exp"] = Value::Null), "token_without_expiry").await;
    check_refused(&lab, &signed(&lab, |c| c["exp"] = json!("soon")), "token_claims").await;
    let ahead = signed(&lab, |c| c["nbf"] = secs(5));
    lab.ask(&ahead, &any_csr(), 60).await.expect("a clock that is a little ahead should be forgiven");
}

#[tokio::test]
async fn tokens_for_others_or_from_others_are_refused() {
    let lab = Lab::start().await;
    check_refused(&lab, &signed(&lab, |c| c["aud"] = json!(["vault"])), "token_audience").await;
    check_refused(&lab, &signed(&lab, |c| c["aud"] = json!([])), "token_audience").await;
    check_refused(&lab, &signed(&lab, |c| c["aud"] = Value::Null), "token_audience").await;
    check_refused(&lab, &signed(&lab, |c| c["aud"] = json!(["ISTIO-CA"])), "token_audience").await;
    check_refused(&lab, &signed(&lab, |c| c["aud"] = json!({"istio-ca": true})), "token_claims").await;
    check_refused(&lab, &signed(&lab, |c| c["iss"] = json!("https://elsewhere")), "token_issuer").await;
    check_refused(&lab, &signed(&lab, |c| c["iss"] = json!(format!("{}/", lab.setup.issuer.issuer()))), "token_issuer")
        .await;
    check_refused(&lab, &signed(&lab, |c| c["iss"] = Value::Null), "token_issuer").await;
    let text = signed(&lab, |c| c["aud"] = json!("istio-ca"));
    lab.ask(&text, &any_csr(), 60).await.expect("one audience may be written as text");
}

#[tokio::test]
async fn tokens_that_name_no_service_account_are_refused() {
    let lab = Lab::start().await;
    check_refused(&lab, &signed(&lab, |c| c["sub"] = json!("alice")), "token_claims").await;
    check_refused(&lab, &signed(&lab, |c| c["sub"] = json!("system:serviceaccount")), "token_claims").await;
    check_refused(&lab, &signed(&lab, |c| c["sub"] = json!("system:serviceaccount:shop")), "token_claims").await;
    check_refused(&lab, &signed(&lab, |c| c["sub"] = json!("system:serviceaccount:shop:admin")), "token_claims").await;
    check_refused(&lab, &signed(&lab, |c| c["sub"] = json!("system:serviceaccount:shop:web:x")), "token_claims").await;
    check_refused(&lab, &signed(&lab, |c| c["kubernetes.io"] = Value::Null), "token_claims").await;
    check_refused(&lab, &signed(&lab, |c| c["kubernetes.io"]["namespace"] = json!("Shop")), "token_claims").await;
    check_refused(&lab, &signed(&lab, |c| c["kubernetes.io"]["pod"]["name"] = json!("a\nb")), "token_claims").await;
    check_refused(&lab, &signed(&lab, |c| c["jti"] = json!("")), "token_claims").await;
    let slash = signed(&lab, |c| {
        c["kubernetes.io"]["serviceaccount"]["name"] = json!("web/ns/x");
        c["sub"] = json!("system:serviceaccount:shop:web/ns/x");
    });
    check_refused(&lab, &slash, "token_claims").await;
    lab.issue().await;
}

#[tokio::test]
async fn a_token_without_a_pod_is_refused_unless_the_operator_allows_it() {
    let unbound = |lab: &Lab| signed(lab, |c| c["kubernetes.io"]["pod"] = Value::Null);
    let lab = Lab::start().await;
    check_refused(&lab, &unbound(&lab), "token_without_pod").await;
    let lab = Setup::new().with("tokens.require_pod", "false").start().await;
    lab.ask(&unbound(&lab), &any_csr(), 60).await.expect("unbound tokens should be allowed");
}

#[tokio::test]
async fn rsa_tokens_are_accepted() {
    let issuer = TokenIssuer::rs256();
    let setup = Setup::new();
    fs::write(setup.path("jwks.json"), issuer.jwks_json()).unwrap();
    let lab = setup.start().await;
    let token = issuer.token("shop", "web", lab.now(), Duration::from_secs(60));
    lab.ask(&token, &any_csr(), 60).await.expect("an RSA token should be accepted");
}

#[tokio::test]
async fn a_request_without_any_credential_is_refused() {
    let lab = Lab::start().await;
    let status = lab.send(bare_request(&any_csr(), 60)).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "request authenticate failure"));
    assert_eq!(lab.metric("signet_ca_refusals_total{reason=\"token_missing\"}").await, 1);
}

#[tokio::test]
async fn the_credential_is_judged_before_the_request() {
    let lab = Lab::start().await;
    let status = lab.ask("bad", "not a request either", 60).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_token_that_ends_now_is_not_accepted_for_clock_skew() {
    let lab = Lab::start().await;
    let past = Timestamp::from_unix_secs(lab.now().unix_secs());
    let token = signed(&lab, |c| c["exp"] = json!(past.unix_secs()));
    check_refused(&lab, &token, "token_expired").await;
}
