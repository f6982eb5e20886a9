//! Several clusters: each vouches with its own keys, for its own namespaces, in its own trust domain.

use std::fs;

use signet_identity::{PrivateKey, TrustBundle, TrustDomain};
use signet_testkit::{TestCa, TokenIssuer, istio_layout, knobs};
use tonic::Code;

use crate::lab::{HOUR, Issued, Lab, Setup, certificates, csr_of, eventually, now, request};
use crate::watcher::Watcher;

/// A server for its own cluster and for `west`, and the issuer of `west`.
async fn start() -> (Lab, TokenIssuer) {
    start_with(Setup::new()).await
}

async fn start_with(setup: Setup) -> (Lab, TokenIssuer) {
    let (setup, west) = with_west(setup);
    (setup.start().await, west)
}

fn with_west(setup: Setup) -> (Setup, TokenIssuer) {
    let west = TokenIssuer::es256().named("https://west.example");
    fs::write(setup.path("west.json"), west.jwks_json()).unwrap();
    let table = format!(
        "[{{ id = 'west', aliases = ['cluster-west'], issuer = 'https://west.example', jwks_file = {:?}, \
         namespaces = ['shop', 'team-*'], trust_domain = 'west.example' }}]",
        setup.path("west.json").to_str().unwrap()
    );
    (setup.with("clusters", &table), west)
}

async fn ask(lab: &Lab, issuer: &TokenIssuer, namespace: &str, cluster: Option<&str>) -> Result<String, Code> {
    let key = PrivateKey::generate_p256().unwrap();
    let mut request = request(&issuer.token(namespace, "web", now(), HOUR), &csr_of(&key), 60);
    if let Some(cluster) = cluster {
        request.metadata_mut().insert("clusterid", cluster.parse().unwrap());
    }
    let answer = lab.send(request).await.map_err(|status| status.code())?;
    let leaf = Issued { chain: answer.into_inner().cert_chain, key }.leaf();
    Ok(leaf.workload_id().unwrap().to_string())
}

#[tokio::test]
async fn a_cluster_vouches_by_its_id_and_its_aliases_in_its_own_trust_domain() {
    let (lab, west) = start().await;
    for name in ["west", "cluster-west"] {
        let id = ask(&lab, &west, "shop", Some(name)).await;
        assert_eq!(id.as_deref(), Ok("spiffe://west.example/ns/shop/sa/web"), "{name}");
    }
    let own = ask(&lab, &lab.setup.issuer, "shop", None).await;
    assert_eq!(own.as_deref(), Ok("spiffe://cluster.local/ns/shop/sa/web"));
}

#[tokio::test]
async fn a_clusters_token_is_worth_nothing_under_another_clusters_name() {
    let (lab, west) = start().await;
    for name in [None, Some(""), Some("Kubernetes"), Some("east"), Some("WEST")] {
        assert_eq!(ask(&lab, &west, "shop", name).await, Err(Code::Unauthenticated), "{name:?}");
    }
    assert_eq!(ask(&lab, &lab.setup.issuer, "shop", Some("west")).await, Err(Code::Unauthenticated));
}

#[tokio::test]
async fn a_cluster_vouches_for_its_namespaces_only() {
    let (lab, west) = start().await;
    assert!(ask(&lab, &west, "team-a", Some("west")).await.is_ok());
    assert_eq!(ask(&lab, &west, "bank", Some("west")).await, Err(Code::Unauthenticated));
    assert_eq!(lab.metric("signet_ca_refusals_total{reason=\"namespace_not_vouched_for\"}").await, 1);
}

#[tokio::test]
async fn one_set_of_roots_speaks_for_every_clusters_trust_domain() {
    let (lab, west) = start().await;
    let key = PrivateKey::generate_p256().unwrap();
    let token = west.token("shop", "web", now(), HOUR);
    let mut asked = request(&token, &csr_of(&key), 60);
    asked.metadata_mut().insert("clusterid", "west".parse().unwrap());
    let chain = lab.send(asked).await.unwrap().into_inner().cert_chain;
    let domain = |name: &str| name.parse::<TrustDomain>().unwrap();
    let bundle = |name: &str| TrustBundle::from_pem(domain(name), chain.last().unwrap().as_bytes()).unwrap();
    let leaf = certificates(&chain[0]).remove(0);
    bundle("west.example").verify([&leaf], lab.now()).unwrap();
    assert!(bundle("cluster.local").verify([&leaf], lab.now()).is_err(), "it is nobody's of the other domain");

    // Whoever watches is told the roots of its own trust domain, and they are the same.
    let bundle = Watcher::in_cluster(&lab, &token, "west").await.next().await;
    assert_eq!((bundle.trust_domain.as_str(), &bundle.roots_pem), ("west.example", chain.last().unwrap()));
    assert_eq!(Watcher::start(&lab, 0).await.next().await.trust_domain, "cluster.local");
}

#[tokio::test]
async fn an_intermediate_that_is_bound_to_one_trust_domain_signs_for_no_other() {
    let bound = TestCa::root("cluster.local").intermediate_with(knobs::add_uri("spiffe://cluster.local"));
    let setup = Setup::new().with("authority.state_dir", "'none'");
    let dir = setup.path("plugged");
    fs::create_dir(&dir).unwrap();
    istio_layout(&dir, &bound);
    let setup = setup.with("authority.plugged_in_dir", &format!("{:?}", dir.to_str().unwrap()));
    let (lab, west) = start_with(setup).await;
    assert!(ask(&lab, &lab.setup.issuer, "shop", None).await.is_ok());
    assert_eq!(ask(&lab, &west, "shop", Some("west")).await, Err(Code::Internal));
    assert_eq!(lab.metric("signet_ca_refusals_total{reason=\"issuer_trust_domain\"}").await, 1);
}

#[tokio::test]
async fn what_another_cluster_lacks_is_told_by_readiness_and_takes_nobody_out_of_service() {
    let (setup, _west) = with_west(Setup::new());
    let lab = setup.start().await;
    lab.wait_ready().await;
    assert_eq!(lab.get("/healthz/ready").await.1, "ready\n");
    let (setup, _west) = with_west(Setup::new());
    fs::remove_file(setup.path("west.json")).unwrap_or_default();
    let kubeconfig = setup.path("west.kubeconfig");
    // Nobody answers there.
    let text = "apiVersion: v1\nkind: Config\ncurrent-context: west\n\
        clusters: [{ name: west, cluster: { server: 'http://127.0.0.1:9' } }]\n\
        users: [{ name: west, user: {} }]\n\
        contexts: [{ name: west, context: { cluster: west, user: west } }]\n";
    fs::write(&kubeconfig, text).unwrap();
    let table = format!(
        "[{{ id = 'west', issuer = 'https://west.example', kubeconfig = {:?} }}]",
        kubeconfig.to_str().unwrap()
    );
    let lab = setup.with("clusters", &table).start().await;
    eventually("readiness tells", async || {
        let (status, told) = lab.get("/healthz/ready").await;
        status == 200
            && told.contains("other clusters' objects: `west`: the cluster's objects have not been listed yet")
            && told.contains("other issuers' keys: `west`: issuer's keys were never obtained")
    })
    .await;
    assert!(ask(&lab, &lab.setup.issuer, "shop", None).await.is_ok());
}

#[test]
fn a_trust_domain_that_another_authority_speaks_for_is_no_clusters() {
    let (setup, _) = with_west(Setup::new());
    let peer = "[{ trust_domain = 'west.example', url = 'https://west.example/', profile = 'https_web' }]";
    let told = setup.with("federation.domains", peer).config().unwrap_err().to_string();
    assert!(
        told.contains("`clusters[0].trust_domain`") && told.contains("two authorities would speak for it"),
        "{told}"
    );
}

#[test]
fn clusters_that_cannot_be_told_apart_are_told() {
    let setup = Setup::new();
    let jwks = format!("jwks_file = {:?}", setup.path("jwks.json").to_str().unwrap());
    let table =
        format!("[{{ id = 'a', issuer = 'x', {jwks} }}, {{ id = 'b', aliases = ['a'], issuer = 'x', {jwks} }}]");
    let told = setup.with("clusters", &table).config().unwrap_err().to_string();
    assert!(told.contains("`clusters[1]` (") && told.contains("name `a` is empty or belongs to another"), "{told}");
}
