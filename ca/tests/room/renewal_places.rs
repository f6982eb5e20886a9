//! Renewal where more than one could have vouched: several clusters, issuers outside Kubernetes, authorities of which one
//! is not believed any more.

use std::fs;

use rcgen::CustomExtension;
use serde_json::json;
use signet_identity::certificate::usage_period_from;
use signet_identity::{Lifetime, PrivateKey};
use signet_proto::signet_ca::identity_client::IdentityClient;
use signet_proto::signet_ca::trust_bundle_client::TrustBundleClient;
use signet_proto::signet_ca::{MintJwtRequest, WatchRequest};
use signet_testkit::{TestCa, TokenIssuer, istio_layout, knobs};
use tokio_stream::StreamExt;
use tonic::Code;

use crate::https::serves_an_impostor;
use crate::lab::{HOUR, Issued, Setup, WEB, csr_of, eventually, now, request};
use crate::ledger::issued;
use crate::renewal::{Home, renew_over};
use crate::rotation::operator;

const WEST: &str = "https://west.example";

/// With a second cluster that may vouch for the same namespaces, and is not watched.
fn with_west(setup: Setup, trust_domain: &str) -> (Setup, TokenIssuer) {
    let west = TokenIssuer::es256().named(WEST);
    fs::write(setup.path("west.json"), west.jwks_json()).unwrap();
    let file = setup.path("west.json");
    let table =
        format!("[{{ id = 'west', issuer = '{WEST}', jwks_file = {file:?}, trust_domain = '{trust_domain}' }}]");
    (setup.with("clusters", &table), west)
}

#[tokio::test]
async fn a_rule_about_one_of_the_clusters_that_could_have_vouched_holds() {
    let deny = "[{ clusters = ['west'], deny = true }]";
    let home = Home::start_with(|setup| with_west(setup, "cluster.local").0.with("rules", deny)).await;
    let held = home.first().await;
    let channel = home.channel(&held).await;
    home.check_over(&channel, Code::PermissionDenied, "rule").await;
}

#[tokio::test]
async fn where_a_cluster_is_not_watched_its_holders_are_not_asked_for() {
    let home = Home::start_with(|setup| with_west(setup, "cluster.local").0).await;
    let held = home.first().await;
    home.objects.writer.delete_account("shop", "web");
    home.renew(&held).await.expect("it may be the other cluster's, which nobody can ask");
}

#[tokio::test]
async fn a_certificate_is_renewed_in_its_own_trust_domain() {
    let mut issuer = None;
    let home = Home::start_with(|setup| {
        let (setup, west) = with_west(setup, "west.example");
        issuer = Some(west);
        setup
    })
    .await;
    let key = PrivateKey::generate_p256().unwrap();
    let mut asked = request(&issuer.unwrap().token("bank", "web", now(), HOUR), &csr_of(&key), 600);
    asked.metadata_mut().insert("clusterid", "west".parse().unwrap());
    let chain = home.lab.send(asked).await.unwrap().into_inner().cert_chain;
    let renewed = home.renew(&Issued { chain, key }).await.unwrap();
    assert_eq!(renewed.leaf().workload_id().unwrap().to_string(), "spiffe://west.example/ns/bank/sa/web");
}

#[tokio::test]
async fn callers_outside_kubernetes_renew_for_as_long_as_their_issuer_may_name_them() {
    let ci = TokenIssuer::es256().named("https://ci.example");
    let home = Home::start_with(|setup| {
        fs::write(setup.path("ci.json"), ci.jwks_json()).unwrap();
        let file = setup.path("ci.json");
        let rule =
            format!("issuer = 'https://ci.example', audiences = ['a'], jwks_file = {file:?}, path = '/ci/{{sub}}'");
        setup
            .with("oidc_callers", &format!("[{{ {rule} }}]"))
            .with("authenticators", "['kubernetes', 'oidc', 'client-certificate']")
    })
    .await;
    let key = PrivateKey::generate_p256().unwrap();
    let claims = json!({"iss": "https://ci.example", "aud": "a", "sub": "job", "exp": now().unix_secs() + 600});
    let chain = home.lab.ask(&ci.sign(&claims), &csr_of(&key), 600).await.unwrap();
    let held = Issued { chain, key };
    let renewed = home.renew(&held).await.unwrap();
    assert_eq!(renewed.leaf().workload_id().unwrap().to_string(), "spiffe://cluster.local/ci/job");

    let Home { lab, clock, objects, claims } = home;
    let setup = lab.stop().await.without("oidc_callers");
    let home = Home { lab: setup.start().await, clock, objects, claims };
    home.check(&renewed, "namespace_not_vouched_for").await;
}

#[tokio::test]
async fn a_stolen_key_that_is_tainted_is_not_exchanged_for_certificates_of_its_successor() {
    let root = TestCa::root("cluster.local");
    let (stolen, next) = (root.intermediate(), root.intermediate());
    let home = Home::start_with(|setup| {
        let dir = setup.path("plugged");
        fs::create_dir(&dir).unwrap();
        istio_layout(&dir, &stolen);
        setup.with("authority.plugged_in_dir", &format!("{:?}", dir.to_str().unwrap()))
    })
    .await;
    // Whoever has the key writes into a leaf what it likes, about its authority too.
    let hours = Lifetime::new(home.lab.now().minus(HOUR), home.lab.now().plus(HOUR)).unwrap();
    let since = usage_period_from(home.lab.now()).unwrap();
    let extension = CustomExtension::from_oid_content(&[2, 5, 29, 16], since);
    let honest = stolen.leaf(WEB, hours).with(|params| params.custom_extensions.push(extension.clone())).issue();
    let silent = stolen.leaf(WEB, hours).with(|params| params.custom_extensions.push(extension.clone()));
    let silent = silent.with(knobs::no_authority_key_id).issue();
    let mut channels = Vec::new();
    for leaf in [&honest, &silent] {
        let chain = format!("{}{}", leaf.certificate().to_pem(), stolen.intermediates_pem());
        channels.push(home.connect(&chain, &leaf.key()).await);
    }
    for channel in &channels {
        renew_over(channel, 60).await.expect("before it is known, nobody can tell");
    }

    istio_layout(&home.lab.setup.path("plugged"), &next);
    let wanted = next.certificate().subject_key_id().unwrap().to_vec();
    eventually("the next one signs", async || home.first().await.leaf().authority_key_id() == Some(wanted.as_slice()))
        .await;
    let output = operator(&home.lab, &["taint", "1"]).await;
    assert!(output.status.success(), "{output:?}");
    home.check_over(&channels[0], Code::Unauthenticated, "certificate_distrusted").await;
    home.check_over(&channels[1], Code::Unauthenticated, "certificate_untrusted").await;
    home.renew(&home.first().await).await.expect("what the next one signs is renewed");
}

#[tokio::test]
async fn a_stolen_key_that_was_tainted_proves_nobody_after_its_generation_has_retired() {
    let root = TestCa::root("cluster.local");
    let stolen = root.intermediate();
    let home = Home::start_with(|setup| {
        let dir = setup.path("plugged");
        fs::create_dir(&dir).unwrap();
        istio_layout(&dir, &stolen);
        let setup = setup.with("authority.plugged_in_dir", &format!("{:?}", dir.to_str().unwrap()));
        setup.with("leaf.max_ttl", "'1h'").with("serving.ttl", "'1h'").with("authority.rotation.keep_old", "'1m'")
    })
    .await;
    // A thief's leaf lives as long as the thief likes.
    let hours = Lifetime::new(home.lab.now().minus(HOUR), home.lab.now().plus(5 * HOUR)).unwrap();
    let since = usage_period_from(home.lab.now()).unwrap();
    let extension = CustomExtension::from_oid_content(&[2, 5, 29, 16], since);
    let leaf = stolen.leaf(WEB, hours).with(|params| params.custom_extensions.push(extension)).issue();
    let chain = format!("{}{}", leaf.certificate().to_pem(), stolen.intermediates_pem());
    let channel = home.connect(&chain, &leaf.key()).await;
    renew_over(&channel, 60).await.expect("before it is known, nobody can tell");

    let phase = async |id: usize| {
        let listed = operator(&home.lab, &["list", "-o", "json"]).await;
        let overview: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
        overview["generations"][id - 1]["phase"].as_str().map(str::to_owned)
    };
    istio_layout(&home.lab.setup.path("plugged"), &root.intermediate());
    eventually("the next one signs", async || phase(2).await.as_deref() == Some("active")).await;
    assert!(operator(&home.lab, &["taint", "1"]).await.status.success());
    home.advance(2 * HOUR);
    eventually("the last leaf has ended", async || phase(1).await.as_deref() == Some("retired")).await;
    home.check_over(&channel, Code::Unauthenticated, "certificate_distrusted").await;
}

#[tokio::test]
async fn whoever_does_not_hold_a_certificates_key_is_not_served() {
    let home = Home::start().await;
    let held = home.first().await;
    assert!(!serves_an_impostor(home.lab.listen, &home.lab.published(), &held).await);
    home.renew(&held).await.expect("its holder is");
}

#[tokio::test]
async fn whoever_may_renew_may_watch_and_get_tokens_too() {
    let home = Home::start_with(|setup| setup.with("jwt.enabled", "true")).await;
    let held = home.first().await;
    let channel = home.channel(&held).await;
    let asked = MintJwtRequest { audience: vec!["payments".to_owned()], validity_seconds: 60 };
    eventually("a token key signs", async || {
        IdentityClient::new(channel.clone()).mint_jwt(asked.clone()).await.is_ok()
    })
    .await;
    let opening = tokio_stream::once(WatchRequest { acknowledged_generation: 0 });
    let opening = opening.chain(tokio_stream::pending());
    let mut watch = TrustBundleClient::new(channel).watch(opening).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().trust_domain, "cluster.local");
    let accepted = "signet_ca_authentications_total{authenticator=\"client-certificate\",verdict=\"accepted\"}";
    assert!(home.lab.metric(accepted).await >= 2);
}

#[tokio::test]
async fn a_token_that_a_certificate_got_does_not_outlive_what_a_renewal_may() {
    let home = Home::start_with(|setup| setup.with("jwt.enabled", "true")).await;
    let (mut held, began) = (home.first().await, home.lab.now().whole_secs());
    for _ in 0..2 {
        home.advance(HOUR * 3 / 2);
        held = home.renew(&held).await.unwrap();
    }
    home.advance(HOUR / 2);
    let channel = home.channel(&held).await;
    let asked = MintJwtRequest { audience: vec!["payments".to_owned()], validity_seconds: 3600 };
    let mut expires_at = 0;
    eventually("a token key signs", async || {
        let answer = IdentityClient::new(channel.clone()).mint_jwt(asked.clone()).await;
        expires_at = answer.as_ref().map_or(0, |answer| answer.get_ref().expires_at);
        answer.is_ok()
    })
    .await;
    assert_eq!(expires_at, began.plus(4 * HOUR).unix_secs(), "half an hour is left");
}

const CI: &str = "https://ci.example";

/// With an issuer outside Kubernetes that may name workloads of `namespaces`.
fn with_workloads_outside(setup: Setup, ci: &TokenIssuer, namespaces: &str) -> Setup {
    fs::write(setup.path("ci.json"), ci.jwks_json()).unwrap();
    let file = setup.path("ci.json");
    let table = format!("[{{ issuer = '{CI}', audiences = ['a'], jwks_file = {file:?}, namespaces = {namespaces} }}]");
    let ways = "['kubernetes', 'oidc', 'client-certificate']";
    setup.with("oidc_callers", &table).with("authenticators", ways)
}

#[tokio::test]
async fn a_cluster_whose_tokens_are_nobodys_vouches_for_no_renewal() {
    let ci = TokenIssuer::es256().named(CI);
    let home =
        Home::start_with(|setup| with_workloads_outside(setup, &ci, "['shop']").with("tokens.mode", "'off'")).await;
    let key = PrivateKey::generate_p256().unwrap();
    let subject = "system:serviceaccount:shop:web";
    let claims = json!({"iss": CI, "aud": "a", "sub": subject, "exp": now().unix_secs() + 600});
    let chain = home.lab.ask(&ci.sign(&claims), &csr_of(&key), 600).await.unwrap();
    let renewed = home.renew(&Issued { chain, key }).await.unwrap();
    let record = issued(&home.lab.setup.path("ledger")).pop().unwrap();
    assert!(record["cluster"].is_null(), "it was never of a cluster: {record}");

    let Home { lab, clock, objects, claims } = home;
    let setup = lab.stop().await.without("oidc_callers");
    let home = Home { lab: setup.start().await, clock, objects, claims };
    home.check(&renewed, "namespace_not_vouched_for").await;
}

#[tokio::test]
async fn a_holder_that_may_be_of_a_cluster_or_not_is_recorded_as_of_none() {
    let ci = TokenIssuer::es256().named(CI);
    let home = Home::start_with(|setup| with_workloads_outside(setup, &ci, "['shop']")).await;
    home.renew(&home.first().await).await.unwrap();
    let record = issued(&home.lab.setup.path("ledger")).pop().unwrap();
    assert_eq!((record["authenticator"].as_str(), record["cluster"].as_str()), (Some("client-certificate"), None));
}

#[test]
fn a_renewal_that_would_prolong_nothing_is_refused() {
    let setup = Setup::new().with("authenticators", "['client-certificate']");
    assert!(setup.config().is_ok(), "what is the default prolongs something");
    let told = setup.with("renewal.max_age", "'24h'").config().unwrap_err().to_string();
    assert!(told.contains("`renewal.max_age`") && told.contains("no renewal would prolong anything"), "{told}");
}
