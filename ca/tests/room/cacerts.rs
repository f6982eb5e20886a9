//! The authority in the Secret `cacerts`, as Istio keeps its own root where `USE_CACERTS_FOR_SELF_SIGNED_CA` says so.

use std::fs;

use serde_json::Value;
use signet_kube_standin::{ApiServer, secret};
use signet_testkit::{TestCa, istio_layout};

use crate::kubernetes::{setup, token};
use crate::lab::{Lab, Setup, any_csr, certificates};
use crate::replicas::{cluster, entry};

/// What the manifest says has to be added.
const RIGHTS: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: { name: cacerts, namespace: istio-system }
rules:
  - apiGroups: ['']
    resources: [secrets]
    resourceNames: [cacerts]
    verbs: [get, list, watch, patch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: cacerts, namespace: istio-system }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: Role, name: cacerts }
subjects: [{ kind: ServiceAccount, name: signet-ca, namespace: istio-system }]
";

async fn cluster_with_rights() -> ApiServer {
    let cluster = cluster().await;
    cluster.objects().apply_yaml(RIGHTS);
    cluster
}

fn replica(cluster: &ApiServer) -> Setup {
    setup(cluster).with("authority.use_cacerts", "true")
}

fn kept(cluster: &ApiServer, name: &str) -> Option<Value> {
    cluster.objects().get("secrets", "istio-system", name)
}

/// A running replica that signs with the authority in the Secret `name`.
async fn signs_with(setup: Setup, cluster: &ApiServer, name: &str) -> Lab {
    let mut lab = setup.start().await;
    lab.roots_pem = entry(&kept(cluster, name).expect(name), "root-cert.pem");
    lab.wait_ready().await;
    let chain = lab.ask(&token(cluster), &any_csr(), 60).await.unwrap();
    let leaf = certificates(&chain[0]).remove(0);
    assert_eq!(leaf.issuer_der(), certificates(&lab.roots_pem)[0].subject_der());
    assert_eq!(chain.last(), Some(&lab.roots_pem));
    lab
}

fn authority_of(ca: &TestCa) -> [(&'static str, String); 4] {
    let (key, root) = (ca.key_pem().to_string(), ca.pem());
    [("ca-key.pem", key), ("ca-cert.pem", root.clone()), ("root-cert.pem", root), ("cert-chain.pem", String::new())]
}

fn create(cluster: &ApiServer, name: &str, entries: &[(&str, String)]) {
    let entries: Vec<(&str, &str)> = entries.iter().map(|(name, text)| (*name, text.as_str())).collect();
    cluster.objects().create(&secret("istio-system", name, "istio.io/ca-root", &entries));
}

#[tokio::test]
async fn a_root_that_is_made_here_is_marked_as_istio_marks_its_own_and_shared_by_replicas() {
    let cluster = cluster_with_rights().await;
    // As the manifest of the shared Secrets ships it.
    create(&cluster, "istio-ca-secret", &[]);
    let first = signs_with(replica(&cluster), &cluster, "cacerts").await;
    let made = kept(&cluster, "cacerts").unwrap();
    assert_eq!(made["data"]["istio-generated"], "");
    assert_eq!(kept(&cluster, "istio-ca-secret").unwrap()["data"], serde_json::json!({}));

    // Mounted, as Istio's charts do, it is no plugged-in authority; what another directory holds is none either.
    let second = replica(&cluster);
    let dir = second.path("cacerts");
    fs::create_dir(&dir).unwrap();
    istio_layout(&dir, &TestCa::root("cluster.local"));
    fs::write(dir.join("istio-generated"), "").unwrap();
    let second = second.with("authority.cacerts_dir", &format!("{:?}", dir.to_str().unwrap()));
    let second = signs_with(second, &cluster, "cacerts").await;
    assert_eq!(second.roots_pem, first.roots_pem);
    second.stop().await;
    first.stop().await;
}

#[tokio::test]
async fn what_istio_made_is_adopted_and_the_usual_secret_comes_first() {
    let cluster = cluster_with_rights().await;
    let theirs = TestCa::rsa_root("cluster.local");
    let mut entries = authority_of(&theirs).to_vec();
    entries.push(("istio-generated", String::new()));
    create(&cluster, "cacerts", &entries);
    let lab = signs_with(replica(&cluster), &cluster, "cacerts").await;
    assert_eq!(lab.roots_pem, theirs.pem());
    lab.stop().await;

    let usual = TestCa::root("cluster.local");
    create(&cluster, "istio-ca-secret", &authority_of(&usual));
    let lab = signs_with(replica(&cluster), &cluster, "istio-ca-secret").await;
    assert_eq!(lab.roots_pem, usual.pem());
    lab.stop().await;
}

#[tokio::test]
async fn an_operators_cacerts_ends_the_start_and_stays_as_it_is() {
    let cluster = cluster_with_rights().await;
    create(&cluster, "cacerts", &authority_of(&TestCa::root("cluster.local")));
    let before = kept(&cluster, "cacerts");
    let Err(error) = replica(&cluster).try_start().await else { panic!("an operator's authority is not rotated") };
    let said = signet_runtime::tasks::chain(&error);
    assert!(said.contains("istio-system/cacerts was not made by Istio or here"), "{said}");
    assert_eq!(kept(&cluster, "cacerts"), before);
}

#[test]
fn it_needs_an_api_server_and_no_other_secret() {
    let told = Setup::new().with("authority.use_cacerts", "true").config().unwrap_err().to_string();
    assert!(told.contains("`authority.use_cacerts`") && told.contains("needs an API server"), "{told}");
    let both = Setup::new()
        .with("kubernetes.server", "'http://127.0.0.1:1'")
        .with("authority.use_cacerts", "true")
        .with("authority.secret", "'istio-ca-secret'");
    assert!(both.config().unwrap_err().to_string().contains("does not go with `authority.secret`"));
}
