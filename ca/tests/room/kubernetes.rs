//! A server that belongs to a cluster, with exactly the rights that the manifest gives it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use signet_identity::{PrivateKey, TrustBundle};
use signet_kube_standin::{ApiServer, Effect, Options, config_map, namespace, node, pod, service_account};
use signet_testkit::TokenIssuer;
use tonic::Code;

use crate::lab::{Lab, Setup, any_csr, certificates, csr_of, eventually};
use crate::replicas::entry;

const ROOTS: &str = "istio-ca-root-cert";

/// A cluster with one workload, `shop/web` in pod `web-1`, and the rights of the manifest.
pub(crate) async fn cluster() -> ApiServer {
    cluster_of(TokenIssuer::rs256()).await
}

/// The same, whose tokens are signed by `issuer`.
pub(crate) async fn cluster_of(issuer: TokenIssuer) -> ApiServer {
    let options = Options { issuer, bookmark_every: Duration::from_millis(500), ..Options::default() };
    let server = ApiServer::start(options).await;
    let objects = server.objects();
    for name in ["istio-system", "shop"] {
        objects.create(&namespace(name));
    }
    objects.create(&node("node-1"));
    objects.create(&service_account("shop", "web"));
    objects.create(&pod("shop", "web-1", "web", "node-1"));
    objects.apply_yaml(&manifest("rbac.yaml"));
    server
}

/// The text of a manifest that is shipped.
pub(crate) fn manifest(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes").join(name);
    fs::read_to_string(path).unwrap()
}

/// Settings of a server in `cluster`, as its pod would see them.
pub(crate) fn setup(cluster: &ApiServer) -> Setup {
    let setup = Setup::new().without("tokens.jwks_file");
    let file = |name: &str, content: &str| {
        let path = setup.path(name);
        fs::write(&path, content).unwrap();
        format!("{path:?}")
    };
    let ca = file("api-ca.crt", cluster.ca_pem());
    let token = file("api-token", &cluster.api_token("istio-system", "signet-ca"));
    setup
        .with("kubernetes.server", &format!("{:?}", cluster.url()))
        .with("kubernetes.ca_file", &ca)
        .with("kubernetes.token_file", &token)
}

/// A token of the workload as kubelet would fetch it.
pub(crate) fn token(cluster: &ApiServer) -> String {
    cluster.token("shop", "web", Some("web-1"), "istio-ca", 3600)
}

async fn ask(lab: &Lab, token: &str) -> Result<Vec<String>, tonic::Status> {
    lab.ask(token, &any_csr(), 3600).await
}

fn published(cluster: &ApiServer, namespace: &str) -> Option<String> {
    let map = cluster.objects().get("configmaps", namespace, ROOTS)?;
    map["data"]["root-cert.pem"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn a_server_in_a_cluster_issues_under_the_roots_that_it_publishes() {
    let cluster = cluster().await;
    let lab = setup(&cluster).start().await;
    lab.wait_ready().await;
    eventually("the roots are published", async || published(&cluster, "shop").as_ref() == Some(&lab.roots_pem)).await;

    let key = PrivateKey::generate_p256().unwrap();
    let chain = lab.ask(&token(&cluster), &csr_of(&key), 3600).await.unwrap();
    let roots = published(&cluster, "shop").unwrap();
    let bundle = TrustBundle::from_pem("cluster.local".parse().unwrap(), roots.as_bytes()).unwrap();
    let leaf = certificates(&chain[0]).remove(0);
    bundle.verify([&leaf], lab.now()).unwrap();
    assert_eq!(leaf.uris(), ["spiffe://cluster.local/ns/shop/sa/web"]);
    let bundle = |cluster: &ApiServer| cluster.objects().get("clustertrustbundles", "", "istio.io:istiod-ca:root-cert");
    eventually("the cluster trust bundle is the same", async || {
        bundle(&cluster).is_some_and(|bundle| bundle["spec"]["trustBundle"] == roots.as_str())
    })
    .await;
    eventually("it leads", async || cluster.objects().get("leases", "istio-system", "signet-ca").is_some()).await;
    eventually("nothing is behind", async || {
        lab.metric("signet_ca_roots_namespaces{state=\"published\"}").await == 4
            && lab.metric("signet_ca_roots_namespaces{state=\"behind\"}").await == 0
            && lab.metric("signet_ca_cluster_trust_bundles{state=\"published\"}").await == 1
    })
    .await;
    lab.stop().await;
}

#[tokio::test]
async fn a_deleted_pods_token_stops_working_and_a_new_pods_token_works_at_once() {
    let cluster = cluster().await;
    let lab = setup(&cluster).start().await;
    lab.wait_ready().await;
    let old = token(&cluster);
    ask(&lab, &old).await.unwrap();
    cluster.objects().kill_pod("shop", "web-1");
    eventually("the token is refused", async || {
        ask(&lab, &old).await.is_err_and(|status| status.code() == Code::Unauthenticated)
    })
    .await;
    cluster.objects().create(&pod("shop", "web-2", "web", "node-1"));
    let new = cluster.token("shop", "web", Some("web-2"), "istio-ca", 3600);
    ask(&lab, &new).await.unwrap();
    lab.stop().await;
}

#[tokio::test]
async fn issuing_goes_on_while_the_api_server_is_away() {
    let mut cluster = cluster().await;
    let lab = setup(&cluster).start().await;
    lab.wait_ready().await;
    let token = token(&cluster);
    ask(&lab, &token).await.unwrap();
    cluster.stop().await;
    for _ in 0..20 {
        ask(&lab, &token).await.unwrap();
    }
    assert_eq!(lab.get("/healthz/ready").await.0, 200);
    cluster.resume().await;
    cluster.objects().kill_pod("shop", "web-1");
    eventually("the cluster is heard again", async || ask(&lab, &token).await.is_err()).await;
    lab.stop().await;
}

#[tokio::test]
async fn a_server_that_starts_before_its_api_server_waits_and_says_so() {
    let mut cluster = cluster().await;
    let token = token(&cluster);
    let setup = setup(&cluster);
    cluster.stop().await;
    let lab = setup.start().await;
    let (status, reasons) = lab.get("/healthz/ready").await;
    assert_eq!(status, 503);
    assert!(reasons.contains("cluster objects"), "{reasons}");
    assert_eq!(ask(&lab, &token).await.unwrap_err().code(), Code::Unavailable);
    cluster.resume().await;
    lab.wait_ready().await;
    ask(&lab, &token).await.unwrap();
    lab.stop().await;
}

#[tokio::test]
async fn an_issuers_new_key_is_learned_from_the_api_server() {
    let cluster = cluster().await;
    let lab = setup(&cluster).start().await;
    lab.wait_ready().await;
    let old = token(&cluster);
    ask(&lab, &old).await.unwrap();
    cluster.add_issuer(TokenIssuer::es256());
    ask(&lab, &token(&cluster)).await.unwrap();
    ask(&lab, &old).await.unwrap();
    lab.stop().await;
}

#[tokio::test]
async fn an_api_server_of_another_issuer_gives_no_keys() {
    let cluster = cluster().await;
    let lab = setup(&cluster).with("tokens.issuer", "\"https://another\"").start().await;
    eventually("readiness tells", async || {
        let (status, reasons) = lab.get("/healthz/ready").await;
        status == 503 && reasons.contains("issuer keys")
    })
    .await;
    lab.stop().await;
}

#[tokio::test]
async fn tokens_are_reviewed_where_the_operator_asks_for_it() {
    let cluster = cluster().await;
    let lab = setup(&cluster).with("tokens.mode", "\"review\"").start().await;
    lab.wait_ready().await;
    let good = token(&cluster);
    ask(&lab, &good).await.unwrap();
    let other = cluster.token("shop", "web", Some("web-1"), "other", 3600);
    assert_eq!(ask(&lab, &other).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(ask(&lab, "abc.def.ghi").await.unwrap_err().code(), Code::Unauthenticated);

    let is_review = |seen: &signet_kube_standin::Seen| seen.path.ends_with("/tokenreviews");
    for effect in [
        Effect::Status(500),
        Effect::Status(403),
        Effect::TooMany(1),
        Effect::CutAfter(20),
        Effect::Body("{}".to_owned()),
        Effect::Silence,
    ] {
        cluster.faults().times(1, effect.clone(), is_review);
        let fresh = token(&cluster);
        assert_eq!(ask(&lab, &fresh).await.unwrap_err().code(), Code::Unavailable, "{effect:?}");
        ask(&lab, &fresh).await.unwrap();
    }
    lab.stop().await;
}

#[tokio::test]
async fn istiod_serves_with_what_the_roots_vouch_for_and_an_edit_of_it_is_put_right() {
    let cluster = cluster().await;
    let lab = setup(&cluster)
        .with("istiod.tls_secret", "'istiod-tls'")
        .with("istiod.revisions", "['default', 'canary']")
        .with("serving.extra_names", "['istiod.example.com']")
        .start()
        .await;
    lab.wait_ready().await;
    let kept = || cluster.objects().get("secrets", "istio-system", "istiod-tls");
    let good = async || {
        let Some(secret) = kept() else { return false };
        let chain = certificates(&entry(&secret, "tls.crt"));
        let (Some(leaf), roots) = (chain.first(), certificates(&entry(&secret, "ca.crt"))) else { return false };
        // As istiod's clients verify it: a chain to the roots in the ConfigMap, for a name.
        let is_signed = roots == certificates(&lab.roots_pem) && leaf.issuer_der() == roots[0].subject_der();
        let key = PrivateKey::from_pem(entry(&secret, "tls.key").as_bytes()).unwrap();
        let names = ["istiod", "istiod-remote", "istio-pilot", "istiod-canary"];
        let mut names = names.map(|name| format!("{name}.istio-system.svc")).to_vec();
        names.push("istiod.example.com".to_owned());
        is_signed && key.public() == leaf.public_key() && leaf.dns_names() == names
    };
    eventually("the Secret is good", good).await;
    cluster.objects().edit("secrets", "istio-system", "istiod-tls", |secret| {
        secret["data"]["ca.crt"] = secret["data"]["tls.crt"].clone();
    });
    eventually("the Secret is good again", good).await;
    let series = "signet_ca_istiod_certificate_expiry_timestamp{secret=\"istiod-tls\"}";
    assert!(lab.metric(series).await > lab.now().unix_secs());
    lab.stop().await;
}

#[tokio::test]
async fn a_mesh_config_that_names_another_trust_domain_is_told_and_changes_no_identity() {
    let cluster = cluster().await;
    let mesh = |text: &str| config_map("istio-system", "istio", "mesh", text);
    cluster.objects().create(&mesh("trustDomain: cluster.local\n"));
    let lab = setup(&cluster).start().await;
    lab.wait_ready().await;
    let edit = |text: &str| {
        cluster.objects().edit("configmaps", "istio-system", "istio", |map| map["data"]["mesh"] = text.into());
    };
    let told = async |words: &[&str]| {
        eventually(&format!("readiness tells {words:?}"), async || {
            let (status, told) = lab.get("/healthz/ready").await;
            let is_about = told.contains("mesh config: ");
            status == 200 && is_about != words.is_empty() && words.iter().all(|word| told.contains(word))
        })
        .await;
        let chain = ask(&lab, &token(&cluster)).await.unwrap();
        assert_eq!(certificates(&chain[0])[0].uris(), ["spiffe://cluster.local/ns/shop/sa/web"]);
        let metric = async |name: &str| lab.metric(&format!("signet_ca_mesh_config_{name}")).await;
        (metric("differs").await, metric("broken").await)
    };
    assert_eq!(told(&[]).await, (0, 0));
    edit("trustDomain: example.org\ntrustDomainAliases: [cluster.local]\n");
    assert_eq!(told(&["`example.org`", "what is issued here is accepted"]).await, (1, 0));
    edit("trustDomain: [broken");
    assert_eq!(told(&["is not used, what it said before stays", "`example.org`", "is accepted"]).await, (1, 1));
    edit("trustDomain: example.org\n");
    assert_eq!(told(&["`example.org`", "proxies may refuse what is issued here"]).await, (1, 0));
    edit("trustDomain: cluster.local\n");
    assert_eq!(told(&[]).await, (0, 0));
    edit("a: &a [x]\nb: [*a, *a\n");
    assert_eq!(told(&["cannot be read"]).await, (0, 1));
    cluster.objects().delete("configmaps", "istio-system", "istio");
    assert_eq!(told(&[]).await, (0, 0));
    lab.stop().await;
}

#[tokio::test]
async fn identities_follow_the_mesh_where_that_is_wanted_and_our_own_name_is_its_alias() {
    let cluster = cluster().await;
    let config = config_map("istio-system", "istio", "mesh", "trustDomain: cluster.local\n");
    cluster.objects().create(&config);
    let west = "[{ id = 'west', mode = 'off', trust_domain = 'west.example' }]";
    let lab = setup(&cluster).with("istiod.follow_trust_domain", "true").with("clusters", west).start().await;
    lab.wait_ready().await;
    let granted = async |domain: &str, is_told: bool| {
        eventually(&format!("identities are in {domain}"), async || {
            let chain = ask(&lab, &token(&cluster)).await.unwrap();
            let is_told = lab.get("/healthz/ready").await.1.contains("mesh config: ") == is_told;
            certificates(&chain[0])[0].uris() == [format!("spiffe://{domain}/ns/shop/sa/web")] && is_told
        })
        .await;
        assert_eq!(lab.metric("signet_ca_mesh_config_followed").await, i64::from(domain != "cluster.local"));
    };
    let edit = |text: &str| {
        cluster.objects().edit("configmaps", "istio-system", "istio", |map| map["data"]["mesh"] = text.into());
    };
    granted("cluster.local", false).await;
    edit("trustDomain: example.org\ntrustDomainAliases: [cluster.local]\n");
    granted("example.org", false).await;
    edit("trustDomain: [broken");
    granted("example.org", true).await;
    // Nobody knows it by our own name, so nothing is taken silently.
    edit("trustDomain: example.com\ntrustDomainAliases: [example.org]\n");
    granted("cluster.local", true).await;
    edit("trustDomain: west.example\ntrustDomainAliases: [cluster.local]\n");
    granted("cluster.local", true).await;
    assert!(lab.get("/healthz/ready").await.1.contains("`west.example`, for which others speak"));
    edit("trustDomain: example.org\ntrustDomainAliases: [cluster.local]\n");
    granted("example.org", false).await;
    cluster.objects().delete("configmaps", "istio-system", "istio");
    granted("cluster.local", false).await;
    lab.stop().await;
}

#[test]
fn tokens_and_bundles_of_one_trust_domain_follow_no_mesh() {
    let follows = || Setup::new().with("istiod.follow_trust_domain", "true");
    let told = |setup: Setup| setup.config().unwrap_err().to_string();
    let in_cluster = || follows().with("kubernetes.server", "'http://127.0.0.1:1'");
    assert!(in_cluster().config().is_ok());
    assert!(told(follows()).contains("needs an API server"));
    assert!(told(in_cluster().with("jwt.enabled", "true")).contains("goes with neither `jwt.enabled`"));
    assert!(told(in_cluster().with("federation.listen", "'127.0.0.1:0'")).contains("goes with neither `jwt.enabled`"));
    assert!(told(in_cluster().with("istiod.mesh_config", "'none'")).contains("needs `istiod.mesh_config`"));
}

#[tokio::test]
async fn two_replicas_publish_as_one() {
    let cluster = cluster().await;
    let first = setup(&cluster).start().await;
    let roots = first.roots_pem.clone();
    eventually("the roots are published", async || published(&cluster, "shop").as_ref() == Some(&roots)).await;
    // The second has another root: were it to write, the first would be seen to lose.
    let second = setup(&cluster).start().await;
    second.wait_ready().await;
    assert_ne!(second.roots_pem, roots);
    cluster.objects().create(&namespace("late"));
    eventually("the leader publishes", async || published(&cluster, "late").as_ref() == Some(&roots)).await;
    first.stop().await;
    let theirs = second.roots_pem.clone();
    eventually("the follower leads", async || published(&cluster, "shop").as_ref() == Some(&theirs)).await;
    second.stop().await;
}
