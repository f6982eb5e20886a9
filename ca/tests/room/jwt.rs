//! Tokens that are minted for callers, and verified by what is published about their keys.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use signet_ca::jwt::{AUDIENCE_MAX_BYTES, AUDIENCES_MAX};
use signet_identity::{JwkSet, UnverifiedJws};
use signet_proto::signet_ca::identity_client::IdentityClient;
use signet_proto::signet_ca::{MintJwtRequest, MintJwtResponse};
use tokio::task::JoinSet;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Response, Status};

use crate::https;
use crate::lab::{HOUR, Lab, Setup, WEB};

const ISSUER: &str = "https://tokens.example.org/mesh";

pub(crate) fn minting() -> Setup {
    Setup::new()
        .with("jwt.enabled", "true")
        .with("jwt.issuer", &format!("{ISSUER:?}"))
        .with("oidc.listen", "'127.0.0.1:0'")
}

pub(crate) async fn send(
    lab: &Lab,
    token: Option<&str>,
    audience: &[&str],
    secs: i64,
) -> Result<Response<MintJwtResponse>, Status> {
    let audience = audience.iter().map(|audience| (*audience).to_owned()).collect();
    let mut request = Request::new(MintJwtRequest { audience, validity_seconds: secs });
    if let Some(token) = token {
        let value: MetadataValue<_> = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    IdentityClient::new(lab.channel().await).mint_jwt(request).await
}

async fn mint(lab: &Lab, audience: &[&str], secs: i64) -> MintJwtResponse {
    send(lab, Some(&lab.token()), audience, secs).await.expect("a token should be minted").into_inner()
}

/// The keys as a verifier finds them who knows the issuer alone.
pub(crate) async fn published_keys(lab: &Lab) -> JwkSet {
    let address = lab.addresses.oidc.unwrap();
    let discovery = https::get(address, &lab.roots_pem, "/mesh/.well-known/openid-configuration").await;
    assert_eq!((discovery.status, &discovery.json()["issuer"]), (200, &json!(ISSUER)));
    let url = discovery.json()["jwks_uri"].as_str().unwrap().to_owned();
    let path = url.strip_prefix("https://tokens.example.org").unwrap();
    let keys = https::get(address, &lab.roots_pem, path).await;
    assert_eq!(keys.header("content-type"), Some("application/json"));
    JwkSet::from_json(keys.body.as_bytes()).unwrap()
}

pub(crate) fn verified(keys: &JwkSet, token: &str) -> Value {
    serde_json::from_slice(&UnverifiedJws::parse(token).unwrap().verify(keys).unwrap()).unwrap()
}

#[tokio::test]
async fn a_caller_gets_a_token_for_its_own_identity_that_the_published_keys_verify() {
    let lab = minting().start().await;
    let now = lab.now().unix_secs();
    let minted = mint(&lab, &["reports"], 120).await;
    let claims = verified(&published_keys(&lab).await, &minted.token);
    assert_eq!((&claims["sub"], &claims["aud"], &claims["iss"]), (&json!(WEB), &json!(["reports"]), &json!(ISSUER)));
    let time = |name: &str| claims[name].as_i64().unwrap();
    assert!(time("iat") >= now && time("iat") <= now + 5);
    assert_eq!((time("exp"), minted.expires_at), (time("iat") + 120, time("exp")));
    let names: Vec<&String> = claims.as_object().unwrap().keys().collect();
    assert_eq!(names, ["aud", "exp", "iat", "iss", "jti", "sub"]);
    let header = URL_SAFE_NO_PAD.decode(minted.token.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    assert_eq!(header.as_object().unwrap().keys().collect::<Vec<_>>(), ["alg", "kid", "typ"]);
    assert_eq!((&header["alg"], &header["typ"]), (&json!("ES256"), &json!("JWT")));
    assert_eq!(lab.metric("signet_ca_jwt_minted_total").await, 1);
    let keys = https::get(lab.addresses.oidc.unwrap(), &lab.roots_pem, "/mesh/keys").await;
    assert_eq!(keys.header("cache-control"), Some("public, max-age=300"));
}

#[tokio::test]
async fn every_token_has_an_id_of_its_own_and_no_issuer_where_none_is_set() {
    let lab = minting().without("jwt.issuer").without("oidc.listen").start().await;
    let claims = |token: &str| {
        let payload = UnverifiedJws::parse(token).unwrap().unproven_payload().unwrap();
        serde_json::from_slice::<Value>(&payload).unwrap()
    };
    let [one, other] = [mint(&lab, &["a"], 0).await, mint(&lab, &["a"], 0).await].map(|minted| claims(&minted.token));
    assert_ne!(one["jti"], other["jti"]);
    assert!(one["jti"].as_str().unwrap().len() == 32 && one.get("iss").is_none());
    assert!(lab.addresses.oidc.is_none());
}

#[tokio::test]
async fn life_is_five_minutes_unless_asked_and_an_hour_at_most() {
    let lab = minting().start().await;
    for (asked, wanted) in [(0, 300), (-5, 300), (60, 60), (3_600, 3_600), (1_000_000, 3_600)] {
        let minted = mint(&lab, &["a"], asked).await;
        let left = minted.expires_at - lab.now().unix_secs();
        assert!((wanted - 5..=wanted).contains(&left), "{asked}: {left}");
    }
}

#[tokio::test]
async fn who_gets_no_certificate_gets_no_token_and_hears_the_same() {
    let lab = minting().start().await;
    let expired = lab.setup.issuer.token("shop", "web", lab.now().minus(2 * HOUR), HOUR);
    for token in [None, Some(""), Some("x.y.z"), Some(expired.as_str())] {
        let status = send(&lab, token, &["a"], 0).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "request authenticate failure"));
        assert!(status.metadata().get("x-request-id").is_some());
    }
    let series = "signet_ca_jwt_refusals_total{reason=\"token_expired\"}";
    assert_eq!(lab.metric(series).await, 1);
    let minted = send(&lab, Some(&lab.token()), &["a"], 0).await.unwrap();
    assert!(minted.metadata().get("x-request-id").is_some());
}

#[tokio::test]
async fn an_audience_is_needed_and_bounded() {
    let lab = minting().start().await;
    let (long, many) = ("x".repeat(AUDIENCE_MAX_BYTES + 1), ["a"; AUDIENCES_MAX + 1]);
    for audience in [&[][..], &[""], &["a", "b\n"], &[long.as_str()], &many] {
        let status = send(&lab, Some(&lab.token()), audience, 0).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{audience:?}");
    }
    assert_eq!(lab.metric("signet_ca_jwt_refusals_total{reason=\"audience\"}").await, 5);
    mint(&lab, &["a"; AUDIENCES_MAX], 0).await;
}

/// All records of `lab`'s ledger, once it was stopped.
fn recorded(setup: &Setup) -> Vec<Value> {
    let mut lines = Vec::new();
    let mut folders = vec![setup.path("ledger")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                lines.extend(text.lines().filter_map(|line| serde_json::from_str(line).ok()));
            }
        }
    }
    lines
}

#[tokio::test]
async fn every_token_is_recorded_before_it_leaves_and_the_record_knows_it_again() {
    let lab = minting().start().await;
    let token = lab.token();
    let answer = send(&lab, Some(&token), &["a", "b"], 120).await.unwrap();
    let request = answer.metadata().get("x-request-id").unwrap().to_str().unwrap().to_owned();
    let minted = answer.into_inner();
    let claims = verified(&published_keys(&lab).await, &minted.token);
    let setup = lab.stop().await;
    let records: Vec<Value> = recorded(&setup).into_iter().filter(|record| record["kind"] == "jwt").collect();
    assert_eq!(records.len(), 1);
    let record = &records[0];
    let digest = ring::digest::digest(&ring::digest::SHA256, minted.token.as_bytes());
    let digest: String = digest.as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
    for (name, wanted) in [
        ("event", json!("issued")),
        ("id", json!(WEB)),
        ("request", json!(request)),
        ("serial", claims["jti"].clone()),
        ("audience", json!(["a", "b"])),
        ("asked_secs", json!(120)),
        ("granted_secs", json!(120)),
        ("namespace", json!("shop")),
        ("key_sha256", json!(digest)),
        ("impersonated", json!(false)),
    ] {
        assert_eq!(record[name], wanted, "{name}");
    }
    assert!(!record.to_string().contains(&minted.token), "the token itself is no record");
}

#[tokio::test]
async fn keys_outlive_the_process_so_old_tokens_go_on_being_good() {
    let lab = minting().start().await;
    let minted = mint(&lab, &["a"], 0).await;
    let again = lab.stop().await.start().await;
    verified(&published_keys(&again).await, &minted.token);
    let newer = mint(&again, &["a"], 0).await;
    let kid = |token: &str| token.split('.').next().unwrap().to_owned();
    assert_eq!(kid(&minted.token), kid(&newer.token), "the same key goes on signing");
}

#[tokio::test]
async fn a_key_that_changes_leaves_old_tokens_verifiable() {
    let setup = minting().with("jwt.key_ttl", "'5s'").with("jwt.max_ttl", "'5s'").with("jwt.default_ttl", "'5s'");
    let lab = setup.with("federation.refresh_hint", "'1s'").start().await;
    let first = mint(&lab, &["a"], 0).await;
    let kid = |token: &str| token.split('.').next().unwrap().to_owned();
    let known_before = published_keys(&lab).await;
    let mut second = mint(&lab, &["a"], 0).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while kid(&first.token) == kid(&second.token) {
        assert!(tokio::time::Instant::now() < deadline, "the key should change");
        tokio::time::sleep(Duration::from_millis(100)).await;
        second = mint(&lab, &["a"], 0).await;
    }
    verified(&known_before, &second.token);
    verified(&published_keys(&lab).await, &first.token);
    assert_eq!(lab.metric("signet_ca_jwt_keys{phase=\"active\"}").await, 1);
    assert!(lab.metric("signet_ca_jwt_key_changes_total{change=\"activated\"}").await >= 2);
}

#[tokio::test]
async fn nothing_is_minted_unless_the_operator_wants_it() {
    let lab = Lab::start().await;
    let status = send(&lab, Some(&lab.token()), &["a"], 0).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(!lab.setup.path("state/jwt").exists());
}

#[tokio::test]
async fn a_spoilt_key_file_is_a_reason_not_to_start() {
    let lab = minting().start().await;
    let setup = lab.stop().await;
    std::fs::write(setup.path("state/jwt/jwt-keys.json"), "{}").unwrap();
    let error = signet_runtime::tasks::chain(&setup.try_start().await.err().unwrap());
    assert!(error.contains("jwt-keys.json") && error.contains("is not a journal"), "{error}");
}

#[test]
fn settings_that_cannot_be_kept_are_refused() {
    let check = |settings: &[(&str, &str)], wanted: &str| {
        let setup = settings.iter().fold(minting(), |setup, (key, value)| setup.with(key, value));
        let told = setup.config().map(|_| ()).map_err(|error| error.to_string());
        match wanted {
            "" => assert_eq!(told, Ok(())),
            _ => assert!(told.as_ref().is_err_and(|told| told.contains(wanted)), "{settings:?}: {told:?}"),
        }
    };
    check(&[], "");
    check(&[("jwt.default_ttl", "'2h'")], "`jwt.default_ttl`");
    check(&[("jwt.max_ttl", "'25h'")], "must not be below `jwt.max_ttl`");
    check(&[("federation.refresh_hint", "'5h'")], "must be at least 5 times `federation.refresh_hint`");
    check(&[("federation.refresh_hint", "'4h'")], "");
    check(&[("jwt.enabled", "false")], "needs `jwt.enabled` and `jwt.issuer`");
    check(&[("oidc.tls_cert_file", "'x'")], "needs `oidc.tls_key_file`");
    check(&[("oidc.tls_key_file", "'x'")], "needs `oidc.tls_cert_file`");
    check(&[("jwt.issuer", "'https://t.example/'")], "");
    for issuer in [
        "'http://t.example'",
        "'t.example'",
        "'https://t.example?x'",
        "'https://t.example/#x'",
        "'https://u@t.example'",
        "''",
    ] {
        check(&[("jwt.issuer", issuer)], "must be an https URL");
    }
}

#[tokio::test]
async fn tokens_wait_their_turn_like_certificates_and_are_turned_away_like_them() {
    let setup = minting().with("admission.in_flight", "1").with("admission.waiting", "0");
    let lab = setup.start().await;
    let client = IdentityClient::new(lab.channel().await);
    let mut asking = JoinSet::new();
    for _ in 0..100 {
        let mut client = client.clone();
        let mut request = Request::new(MintJwtRequest { audience: vec!["reports".to_owned()], validity_seconds: 60 });
        let value: MetadataValue<_> = format!("Bearer {}", lab.token()).parse().unwrap();
        request.metadata_mut().insert("authorization", value);
        asking.spawn(async move { client.mint_jwt(request).await });
    }
    let outcomes = asking.join_all().await;
    let shed: Vec<Status> = outcomes.into_iter().filter_map(Result::err).collect();
    assert!(!shed.is_empty() && shed.len() < 100, "{}", shed.len());
    for status in &shed {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        assert!(status.metadata().contains_key("grpc-retry-pushback-ms"));
    }
    let count = i64::try_from(shed.len()).unwrap();
    assert_eq!(lab.metric("signet_ca_shed_total{reason=\"queue_full\"}").await, count);
    assert_eq!(lab.metric("signet_ca_jwt_minted_total").await, 100 - count);
}
