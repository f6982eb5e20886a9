//! Callers that no cluster vouches for: who they become by their claims, and what their tokens must not do.

use std::fs;

use serde_json::{Value, json};
use signet_identity::PrivateKey;
use signet_testkit::TokenIssuer;
use tonic::Code;

use crate::headers::impersonating;
use crate::keys::{Answer, Endpoint};
use crate::lab::{HOUR, Issued, Lab, Setup, any_csr, csr_of, eventually, now, request};
use crate::ledger::issued;

const CI: &str = "https://ci.example";

/// A server that accepts tokens of a CI system, with `more` in its table, and that system.
fn setup(more: &str) -> (Setup, TokenIssuer) {
    let (setup, ci) = (Setup::new(), TokenIssuer::es256().named(CI));
    fs::write(setup.path("ci.json"), ci.jwks_json()).unwrap();
    let file = setup.path("ci.json");
    let table = format!("[{{ issuer = '{CI}', audiences = ['signet'], jwks_file = {file:?}, {more} }}]");
    (setup.with("oidc_callers", &table), ci)
}

const BY_PATH: &str = "path = '/ci/{org}/{repo}', require = ['env=prod']";

fn claims(ci: &str) -> Value {
    let now = now().unix_secs();
    json!({
        "iss": ci, "aud": "signet", "sub": "job", "iat": now, "exp": now + 600, "jti": "abc-1",
        "org": "acme", "repo": "77", "env": "prod",
    })
}

async fn ask(lab: &Lab, token: &str) -> Result<String, Code> {
    let key = PrivateKey::generate_p256().unwrap();
    let chain = lab.ask(token, &csr_of(&key), 600).await.map_err(|status| status.code())?;
    Ok(Issued { chain, key }.leaf().workload_id().unwrap().to_string())
}

#[tokio::test]
async fn a_token_of_a_known_issuer_is_who_its_claims_say() {
    let (setup, ci) = setup(BY_PATH);
    let lab = setup.start().await;
    assert_eq!(ask(&lab, &ci.sign(&claims(CI))).await.as_deref(), Ok("spiffe://cluster.local/ci/acme/77"));
    let series = "signet_ca_authentications_total{authenticator=\"oidc\",verdict=\"accepted\"}";
    assert_eq!(lab.metric(series).await, 1);
    let record = issued(&lab.setup.path("ledger")).pop().unwrap();
    assert_eq!((record["authenticator"].as_str(), record["token_id"].as_str()), (Some("oidc"), Some("abc-1")));
    assert_eq!((&record["cluster"], &record["namespace"]), (&Value::Null, &Value::Null));
    lab.issue().await;
}

#[tokio::test]
async fn every_claim_that_is_not_as_it_must_be_is_refused_for_its_own_reason() {
    let (setup, ci) = setup(BY_PATH);
    let lab = setup.start().await;
    let past = now().unix_secs() - 1;
    for (claim, value, reason) in [
        ("aud", json!("other"), "token_audience"),
        ("aud", json!(["a", "b"]), "token_audience"),
        ("aud", Value::Null, "token_audience"),
        ("exp", json!(past), "token_expired"),
        ("exp", Value::Null, "token_without_expiry"),
        ("exp", json!("soon"), "token_claims"),
        ("nbf", json!(past + 600), "token_not_yet_valid"),
        ("env", json!("test"), "token_claim_required"),
        ("env", Value::Null, "token_claim_required"),
        ("org", Value::Null, "token_identity"),
        ("org", json!(7), "token_identity"),
        ("org", json!("a/b"), "token_identity"),
        ("org", json!(".."), "token_identity"),
        ("org", json!(""), "token_identity"),
        ("org", json!("a,b"), "token_identity"),
        ("org", json!("a%2fb"), "token_identity"),
        ("repo", json!("x".repeat(2048)), "token_identity"),
        ("iss", json!("https://elsewhere.example"), "token_issuer"),
    ] {
        let mut changed = claims(CI);
        changed[claim] = value.clone();
        let series = format!("signet_ca_refusals_total{{reason=\"{reason}\"}}");
        let before = lab.metric(&series).await;
        assert_eq!(ask(&lab, &ci.sign(&changed)).await, Err(Code::Unauthenticated), "{claim} = {value}");
        assert_eq!(lab.metric(&series).await, before + 1, "{claim} = {value} should be {reason}");
    }
    for forged in [ci.bad_signature(&claims(CI)), ci.signed_by_stranger(&claims(CI)), ci.alg_none(&claims(CI))] {
        assert_eq!(ask(&lab, &forged).await, Err(Code::Unauthenticated));
    }
}

#[tokio::test]
async fn such_a_caller_is_never_a_node_proxy_and_never_a_cluster() {
    let (setup, ci) = setup("namespaces = ['shop']");
    let lab = setup.with("node_proxies", "['shop/web']").start().await;
    let mut subject = claims(CI);
    subject["sub"] = json!("system:serviceaccount:shop:web");
    assert_eq!(ask(&lab, &ci.sign(&subject)).await.as_deref(), Ok("spiffe://cluster.local/ns/shop/sa/web"));
    let asked = request(&ci.sign(&subject), &any_csr(), 60);
    let status = lab.send(impersonating(asked, "spiffe://cluster.local/ns/shop/sa/orders")).await.unwrap_err();
    assert_eq!(status.message(), "request impersonation authentication failure");
    // What its tokens claim about a cluster's objects is its own.
    subject["kubernetes.io"] = ci.claims("kube-system", "admin", now(), HOUR)["kubernetes.io"].clone();
    assert_eq!(ask(&lab, &ci.sign(&subject)).await.as_deref(), Ok("spiffe://cluster.local/ns/shop/sa/web"));
}

#[tokio::test]
async fn an_issuer_vouches_for_its_namespaces_only() {
    let (setup, ci) = setup("namespaces = ['shop', 'vm-*']");
    let lab = setup.start().await;
    for (subject, wanted) in [
        ("system:serviceaccount:vm-a:web", Ok("spiffe://cluster.local/ns/vm-a/sa/web")),
        ("system:serviceaccount:kube-system:web", Err(Code::Unauthenticated)),
        ("system:serviceaccount:shop", Err(Code::Unauthenticated)),
        ("system:serviceaccount", Err(Code::Unauthenticated)),
        ("alice", Err(Code::Unauthenticated)),
    ] {
        let mut claims = claims(CI);
        claims["sub"] = json!(subject);
        assert_eq!(ask(&lab, &ci.sign(&claims)).await, wanted.map(str::to_owned), "{subject}");
    }
    assert_eq!(lab.metric("signet_ca_refusals_total{reason=\"namespace_not_vouched_for\"}").await, 1);
}

#[tokio::test]
async fn keys_are_found_by_discovery_and_a_start_does_not_wait_for_them() {
    let keys = Endpoint::start(Answer::Status(503)).await;
    let discovery = Endpoint::start(Answer::Nothing).await;
    let issuer = format!("http://{}", discovery.address);
    let ci = TokenIssuer::es256().named(&issuer);
    let table = format!("[{{ issuer = '{issuer}', audiences = ['signet'], path = '/ci/{{org}}/{{repo}}' }}]");
    let lab = Setup::new().with("oidc_callers", &table).start().await;
    let token = ci.sign(&claims(&issuer));
    lab.wait_ready().await;
    assert_eq!(ask(&lab, &token).await, Err(Code::Unavailable), "nothing can be decided yet");
    let document = |issuer: &str| json!({ "issuer": issuer, "jwks_uri": format!("http://{}/k", keys.address) });
    keys.answer.send_replace(Answer::Keys(ci.jwks_json()));
    discovery.answer.send_replace(Answer::Keys(document("https://elsewhere.example").to_string()));
    eventually("another issuer's document was seen", async || discovery.asked() > 2).await;
    assert_eq!((ask(&lab, &token).await, keys.asked()), (Err(Code::Unavailable), 0));
    discovery.answer.send_replace(Answer::Keys(document(&issuer).to_string()));
    eventually("the keys were found", async || ask(&lab, &token).await.is_ok()).await;
    // And the own cluster's callers have noticed nothing.
    lab.issue().await;
}

#[tokio::test]
async fn istios_rule_is_understood_and_its_odd_subjects_stop_nobody() {
    let ci = TokenIssuer::es256().named(CI);
    let keys = Endpoint::start(Answer::Keys(ci.jwks_json())).await;
    let rule =
        format!("{{\"issuer\": \"{CI}\", \"jwksUri\": \"http://{}/k\", \"audiences\": [\"signet\"]}}", keys.address);
    let lab = Setup::new().with("oidc_rule", &format!("'{rule}'")).start().await;
    let subject = |subject: Value, audience: Value| {
        let mut claims = claims(CI);
        (claims["sub"], claims["aud"]) = (subject, audience);
        ci.sign(&claims)
    };
    let good = json!("system:serviceaccount:shop:web");
    let first = subject(good.clone(), json!("signet"));
    eventually("the keys were fetched", async || ask(&lab, &first).await != Err(Code::Unavailable)).await;
    for audience in [json!("signet"), json!(["signet"]), json!(["x", "signet"])] {
        let token = subject(good.clone(), audience.clone());
        assert_eq!(ask(&lab, &token).await.as_deref(), Ok("spiffe://cluster.local/ns/shop/sa/web"), "{audience}");
    }
    for odd in [json!("system:serviceaccount"), json!("system:serviceaccount:a:b:c"), json!(""), json!(1), Value::Null]
    {
        assert_eq!(ask(&lab, &subject(odd.clone(), json!("signet"))).await, Err(Code::Unauthenticated), "{odd}");
    }
    assert_eq!(ask(&lab, &subject(good, json!([]))).await, Err(Code::Unauthenticated));
}

#[tokio::test]
async fn a_way_that_is_not_listed_is_not_used() {
    let (setup, ci) = setup(BY_PATH);
    let lab = setup.with("authenticators", "['oidc']").start().await;
    assert_eq!(ask(&lab, &ci.sign(&claims(CI))).await.as_deref(), Ok("spiffe://cluster.local/ci/acme/77"));
    assert_eq!(ask(&lab, &lab.token()).await, Err(Code::Unauthenticated));
}

#[tokio::test]
async fn a_server_without_any_cluster_needs_no_clusters_issuer() {
    let (setup, ci) = setup(BY_PATH);
    let setup = setup.without("tokens.issuer").without("tokens.jwks_file").with("tokens.mode", "'off'");
    let lab = setup.start().await;
    lab.wait_ready().await;
    assert_eq!(ask(&lab, &ci.sign(&claims(CI))).await.as_deref(), Ok("spiffe://cluster.local/ci/acme/77"));
    assert_eq!(ask(&lab, &lab.token()).await, Err(Code::Unauthenticated));
}

#[test]
fn two_issuers_that_could_name_one_caller_are_refused() {
    #[track_caller]
    fn check(one: &str, other: &str, is_refused: bool) {
        let (setup, _) = setup(BY_PATH);
        let file = setup.path("ci.json");
        let table = |issuer: &str, more: &str| {
            format!("{{ issuer = '{issuer}', audiences = ['signet'], jwks_file = {file:?}, {more} }}")
        };
        let tables = format!("[{}, {}]", table(CI, one), table("https://other.example", other));
        let told = setup.with("oidc_callers", &tables).config().map(drop).map_err(|error| error.to_string());
        let wanted = "could name the same callers as `oidc_callers[0]`";
        assert_eq!(told.as_ref().is_err_and(|told| told.contains(wanted)), is_refused, "{one} | {other}: {told:?}");
        assert_eq!(told.is_err(), is_refused, "{one} | {other}: {told:?}");
    }
    check("path = '/ci/{org}/{repo}'", "path = '/ci/acme/{sub}'", true);
    check("path = '/ci/{org}/{repo}'", "path = '/cd/{org}/{repo}'", false);
    check("namespaces = ['shop', 'team-*']", "path = '/ns/{a}/sa/{b}', namespaces = ['team-a']", true);
    check("namespaces = ['shop']", "namespaces = ['bank']", false);
}

#[test]
fn settings_that_would_mix_up_issuers_or_names_are_refused() {
    #[track_caller]
    fn check(setup: &Setup, wanted: &str) {
        let told: Vec<_> = setup.config().unwrap_err().problems.iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|problem| problem.contains(wanted)), "{wanted}: {told:#?}");
    }
    check(&setup("path = '/{sub}'").0, "does not begin with a literal segment");
    check(&setup("path = '/ns/{a}/sa/{b}'").0, "must say for which namespaces");
    check(&setup("path = '/ci/{a}', namespaces = ['shop']").0, "means nothing where `path` names no workloads");
    check(&setup("").0, "must say for which namespaces");
    check(&setup("path = '/ci/{a}', require = ['env']").0, "is not written as claim=value");
    check(&setup(BY_PATH).0.with("authenticators", "['kubernetes']"), "does not name `oidc`");
    check(&setup(BY_PATH).0.with("authenticators", "['password']"), "is no way of identifying callers");
    check(&setup(BY_PATH).0.with("authenticators", "['oidc', 'oidc']"), "names `oidc` twice");
    check(&setup(BY_PATH).0.with("authenticators", "[]"), "must name at least one way");
    let minting = setup(BY_PATH).0.with("jwt.enabled", "true").with("jwt.issuer", &format!("'{CI}'"));
    check(&minting, "whose tokens are minted here");
    check(&setup(BY_PATH).0.with("tokens.issuer", &format!("'{CI}'")), "are judged by a cluster's");
    let rule = format!("'{{\"issuer\": \"{CI}\", \"audiences\": [\"a\"]}}'");
    check(&setup(BY_PATH).0.with("oidc_rule", &rule), "are judged by a cluster's or another issuer's rules already");
    check(&setup(BY_PATH).0.with("oidc_rule", &rule), "`oidc_rule` ");
    let nameless = setup(BY_PATH).0.without("tokens.issuer").with("tokens.mode", "'review'");
    check(&nameless, "needs the issuer of cluster `Kubernetes`, which has its tokens reviewed");
    check(&Setup::new().with("oidc_rule", "'{'"), "is no JWTRule in JSON");
    check(&Setup::new().with("oidc_rule", &rule.replace("[\"a\"]", "[]")), "must name at least one audience");
    let plain = rule.replace("https:", "http:");
    check(&Setup::new().with("oidc_rule", &plain), "keys cannot be found by way of this issuer: must be https");
    check(
        &Setup::new().with("oidc_callers", "[{ issuer = 'x', audiences = ['a'], path = '/a/{b}' }]"),
        "keys cannot be found",
    );
}
