//! A real API server's token, judged at the time it was made for and around it.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use signet_runtime::Health;
use signet_testkit::temp_dir;

use super::claims::Claims;
use super::*;
use crate::metrics::Metrics;
use crate::voice::Voice;

const RECORDED: &str = include_str!("../../tests/fixtures/kube-apiserver/service-account-token.json");

/// Within the recorded token's hour.
const THEN: Timestamp = Timestamp::from_unix_secs(1_795_403_000);

fn recorded() -> Value {
    serde_json::from_str(RECORDED).unwrap()
}

async fn identify(token: &str, now: Timestamp) -> Result<Caller, IdentifyError> {
    let dir = temp_dir();
    let path = dir.path().join("jwks.json");
    fs::write(&path, recorded()["jwks"].to_string()).unwrap();
    let hour = Duration::from_secs(3600);
    let (_keeper, keys) =
        KeyKeeper::new(JwksSource::File(path), hour, Metrics::new(), Voice::Own(Health::new().part("keys"))).await;
    let issuer = Some("https://kubernetes.default.svc.cluster.local".to_owned());
    let rules = ClusterRules {
        id: "Kubernetes".to_owned(),
        aliases: Vec::new(),
        trust_domain: "cluster.local".parse().unwrap(),
        namespaces: vec!["*".parse().unwrap()],
        tokens: TokenRules { issuer, audiences: vec!["istio-ca".to_owned()], require_pod: true },
        mode: TokenMode::Local,
        reviews_per_second: 1,
        node_proxies: Vec::new(),
        enrolled_only: true,
    };
    let cluster = Cluster::new(rules, ClusterMeans { keys: Some(keys), ..ClusterMeans::default() }).unwrap();
    let clusters = Arc::new(Clusters::new(cluster, Vec::new()).unwrap());
    let authenticator = Authenticator::new(vec![Method::Kubernetes], clusters, Vec::new(), None, Metrics::new());
    authenticator
        .identify(Credential { bearer: Some(token), cluster: Some("Kubernetes"), certificate: None }, now)
        .await
}

#[tokio::test]
async fn a_token_recorded_from_an_api_server_names_its_pod() {
    let recorded = recorded();
    let caller = identify(recorded["token"].as_str().unwrap(), THEN).await.unwrap();
    assert_eq!(caller.workload().unwrap().to_string(), "shop/web");
    assert_eq!(caller.id().as_str(), "spiffe://cluster.local/ns/shop/sa/web");
    assert_eq!((caller.cluster(), caller.authenticator().as_str()), (Some("Kubernetes"), "kubernetes-token"));
    assert_eq!(caller.service_account_uid().unwrap(), "839c09e6-de57-4fda-9be2-917e424f27c2");
    let pod = caller.pod().unwrap();
    assert_eq!((pod.name.as_str(), pod.uid.as_str()), ("web-1", "2b1d3708-1345-435f-ac48-7830b3bd5646"));
    assert_eq!(caller.node().unwrap().name, "node-1");
    assert!(caller.token_id().is_some());
}

#[tokio::test]
async fn it_is_refused_before_and_after_its_time_and_with_any_part_changed() {
    let recorded = recorded();
    let token = recorded["token"].as_str().unwrap();
    let refused = |error: IdentifyError| (error.reason(), error.is_undecided());
    let hour = Duration::from_secs(3600);
    assert_eq!(identify(token, THEN.plus(hour)).await.map_err(refused), Err(("token_expired", false)));
    assert_eq!(identify(token, THEN.minus(hour)).await.map_err(refused), Err(("token_not_yet_valid", false)));
    for part in 0..3 {
        let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
        let middle = parts[part].len() / 2;
        let letter = if parts[part].as_bytes()[middle] == b'A' { "B" } else { "A" };
        parts[part].replace_range(middle..=middle, letter);
        assert!(identify(&parts.join("."), THEN).await.is_err(), "part {part}");
    }
}

#[test]
fn unbound_claims_recorded_from_an_api_server_have_no_pod() {
    let claims = Claims::from_json(recorded()["unbound_claims"].to_string().as_bytes()).unwrap();
    assert_eq!((claims.workload.to_string().as_str(), claims.pod, claims.node), ("shop/web", None, None));
}
