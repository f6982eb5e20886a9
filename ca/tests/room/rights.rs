//! What the shipped manifests let a server do, and what not.

use serde_json::{Value, json};
use signet_kube_standin::{ApiServer, secret};
use signet_testkit::TestCa;

use crate::kubernetes::{cluster, manifest, setup, token};
use crate::lab::{Setup, any_csr, certificates, eventually};
use crate::manifests::documents;
use crate::replicas::entry;
use crate::{federation, jwt};

const SECRETS: &str = "/api/v1/namespaces/istio-system/secrets";

/// What the API server answers the service account.
fn status(cluster: &ApiServer, method: &str, path: &str) -> u16 {
    let objects = cluster.objects().with_rights_of("istio-system", "signet-ca");
    let name = path.rsplit('/').next().unwrap();
    let body = match method {
        "GET" => Value::Null,
        "PATCH" => json!({ "data": {} }),
        _ => secret("istio-system", name, "Opaque", &[]),
    };
    objects.send(method, path, &body).status
}

fn kept(cluster: &ApiServer, name: &str) -> Option<Value> {
    cluster.objects().get("secrets", "istio-system", name)
}

/// Nothing that is kept in other Secrets can be reached, by whatever way.
fn check_reaches_no_others(cluster: &ApiServer) {
    cluster.objects().create(&secret("istio-system", "another", "Opaque", &[]));
    for (method, path) in [
        ("GET", SECRETS.to_owned()),
        ("GET", "/api/v1/secrets".to_owned()),
        ("GET", format!("{SECRETS}/another")),
        ("PATCH", format!("{SECRETS}/another")),
        ("PUT", format!("{SECRETS}/another")),
        ("DELETE", format!("{SECRETS}/another")),
        ("DELETE", format!("{SECRETS}/istiod-tls")),
        // One that is made as a service account's token is filled with it.
        ("POST", SECRETS.to_owned()),
    ] {
        assert_eq!(status(cluster, method, &path), 403, "{method} {path}");
    }
}

#[tokio::test]
async fn the_shipped_rights_reach_no_key_of_the_authority_and_the_server_works() {
    let cluster = cluster().await;
    check_reaches_no_others(&cluster);
    for name in ["istio-ca-secret", "signet-ca-jwt"] {
        cluster.objects().create(&secret("istio-system", name, "Opaque", &[]));
        for method in ["GET", "PATCH", "PUT", "DELETE"] {
            assert_eq!(status(&cluster, method, &format!("{SECRETS}/{name}")), 403, "{method} {name}");
        }
        let named = format!("{SECRETS}?fieldSelector=metadata.name%3D{name}");
        assert_eq!(status(&cluster, "GET", &named), 403, "{named}");
    }
    let lab = setup(&cluster).with("istiod.tls_secret", "'istiod-tls'").start().await;
    lab.wait_ready().await;
    lab.ask(&token(&cluster), &any_csr(), 60).await.unwrap();
    eventually("what istiod serves with is written into the Secret that stands there", async || {
        kept(&cluster, "istiod-tls").is_some_and(|secret| secret["data"]["tls.crt"].is_string())
    })
    .await;
    assert!(!lab.get("/healthz/ready").await.1.contains("istiod"));
    lab.stop().await;
}

fn sharing(cluster: &ApiServer) -> Setup {
    let setup = setup(cluster)
        .with("authority.secret", "'istio-ca-secret'")
        .with("jwt.enabled", "true")
        .with("jwt.issuer", "'https://tokens.example.org/mesh'")
        .with("federation.listen", "'127.0.0.1:0'");
    std::fs::create_dir_all(setup.path("state")).unwrap();
    setup
}

#[tokio::test]
async fn with_the_manifest_of_the_shared_secrets_replicas_fill_them_and_reach_no_others() {
    let cluster = cluster().await;
    cluster.objects().apply_yaml(&manifest("shared-authority.yaml"));
    check_reaches_no_others(&cluster);
    let (one, other) = tokio::join!(sharing(&cluster).start(), sharing(&cluster).start());
    let roots = entry(&kept(&cluster, "istio-ca-secret").unwrap(), "root-cert.pem");
    assert_eq!(certificates(&roots).len(), 1, "one of them made the root");
    for mut lab in [one, other] {
        lab.roots_pem.clone_from(&roots);
        lab.wait_ready().await;
        let chain = lab.ask(&token(&cluster), &any_csr(), 60).await.unwrap();
        assert_eq!(chain.last(), Some(&roots));
        jwt::send(&lab, Some(&token(&cluster)), &["reports"], 60).await.unwrap();
        assert_eq!(federation::published(&lab).await.roots().len(), 1);
        lab.stop().await;
    }
    let kinds = ["istio-ca-secret", "signet-ca-jwt"].map(|name| kept(&cluster, name).unwrap()["type"].clone());
    assert_eq!(kinds, ["istio.io/ca-root", "Opaque"]);
}

/// As `kubectl apply` does it: what a manifest does not name stays.
#[tokio::test]
async fn the_manifest_of_the_shared_secrets_leaves_istios_own_secret_to_be_adopted() {
    let cluster = cluster().await;
    let istio = TestCa::root("cluster.local");
    let (key, root) = (istio.key_pem(), istio.pem());
    let values = [("ca-key.pem", key.as_str()), ("ca-cert.pem", &root), ("root-cert.pem", &root)];
    cluster.objects().create(&secret("istio-system", "istio-ca-secret", "istio.io/ca-root", &values));
    for document in documents("shared-authority.yaml") {
        let name = document["metadata"]["name"].as_str().unwrap();
        if document["kind"] == "Secret" && kept(&cluster, name).is_some() {
            cluster.objects().apply(&format!("{SECRETS}/{name}?fieldManager=kubectl"), &document);
        } else {
            cluster.objects().apply_yaml(&document.to_string());
        }
    }
    let mut lab = sharing(&cluster).start().await;
    lab.roots_pem.clone_from(&root);
    lab.wait_ready().await;
    let chain = lab.ask(&token(&cluster), &any_csr(), 60).await.unwrap();
    assert_eq!(chain.last(), Some(&root), "istiod's root signs on");
    lab.stop().await;
}
