//! Several clusters: each vouches with its own keys, for its own namespaces, in its own trust domain.

use std::fs;

use signet_identity::PrivateKey;
use signet_testkit::TokenIssuer;
use tonic::Code;

use crate::lab::{HOUR, Issued, Lab, Setup, csr_of, now, request};

/// A server for its own cluster and for `west`, and the issuer of `west`.
async fn start() -> (Lab, TokenIssuer) {
    let west = TokenIssuer::es256().named("https://west.example");
    let setup = Setup::new();
    fs::write(setup.path("west.json"), west.jwks_json()).unwrap();
    let table = format!(
        "[{{ id = 'west', aliases = ['cluster-west'], issuer = 'https://west.example', jwks_file = {:?}, \
         namespaces = ['shop', 'team-*'], trust_domain = 'west.example' }}]",
        setup.path("west.json").to_str().unwrap()
    );
    (setup.with("clusters", &table).start().await, west)
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

#[test]
fn clusters_that_cannot_be_told_apart_are_told() {
    let setup = Setup::new();
    let jwks = format!("jwks_file = {:?}", setup.path("jwks.json").to_str().unwrap());
    let table =
        format!("[{{ id = 'a', issuer = 'x', {jwks} }}, {{ id = 'b', aliases = ['a'], issuer = 'x', {jwks} }}]");
    let told = setup.with("clusters", &table).config().unwrap_err().to_string();
    assert!(told.contains("`clusters[1]` (") && told.contains("name `a` is empty or belongs to another"), "{told}");
}
