//! Replicas that keep one authority in one Secret, in front of an API server: races, edits, losses, outages.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use signet_ca::app::StartError;
use signet_identity::{Certificate, TrustBundle};
use signet_kube_standin::{ApiServer, config_map, secret};
use signet_testkit::{TestCa, TokenIssuer, istio_layout};

use crate::kubernetes::{self, setup, token};
use crate::lab::{Lab, Setup, any_csr, certificates, eventually};
use crate::{federation, jwt, rotation};

const SECRET: &str = "istio-ca-secret";

/// What has to be granted where the Secrets are not there before the first start.
const CREATE: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: { name: create, namespace: istio-system }
rules: [{ apiGroups: [''], resources: [secrets], verbs: [create] }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: create, namespace: istio-system }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: Role, name: create }
subjects: [{ kind: ServiceAccount, name: signet-ca, namespace: istio-system }]
";

/// A cluster without the Secrets, in which they may be made.
pub(crate) async fn cluster() -> ApiServer {
    cluster_of(TokenIssuer::rs256()).await
}

/// The same, whose tokens are signed by `issuer`.
pub(crate) async fn cluster_of(issuer: TokenIssuer) -> ApiServer {
    let cluster = kubernetes::cluster_of(issuer).await;
    cluster.objects().apply_yaml(&kubernetes::manifest("shared-authority.yaml"));
    cluster.objects().apply_yaml(CREATE);
    for secret in [SECRET, "signet-ca-jwt"] {
        cluster.objects().delete("secrets", "istio-system", secret);
    }
    cluster
}

pub(crate) fn kept(cluster: &ApiServer) -> Value {
    cluster.objects().get("secrets", "istio-system", SECRET).unwrap()
}

/// An entry of the Secret.
pub(crate) fn entry(secret: &Value, name: &str) -> String {
    String::from_utf8(STANDARD.decode(secret["data"][name].as_str().unwrap()).unwrap()).unwrap()
}

/// A replica's settings.
pub(crate) fn replica(cluster: &ApiServer) -> Setup {
    setup(cluster).with("authority.secret", &format!("{SECRET:?}"))
}

async fn start(cluster: &ApiServer) -> Lab {
    with_roots(replica(cluster).start().await, cluster)
}

/// The roots are read from where they are kept.
pub(crate) fn with_roots(mut lab: Lab, cluster: &ApiServer) -> Lab {
    lab.roots_pem = entry(&kept(cluster), "root-cert.pem");
    lab
}

/// The leaf and the roots of an answer.
async fn issue(lab: &Lab, cluster: &ApiServer) -> (Certificate, String) {
    lab.wait_ready().await;
    let chain = lab.ask(&token(cluster), &any_csr(), 3600).await.unwrap();
    (certificates(&chain[0]).remove(0), chain.last().unwrap().clone())
}

fn edit(cluster: &ApiServer, change: impl FnOnce(&mut Value)) {
    cluster.objects().edit("secrets", "istio-system", SECRET, change);
}

#[tokio::test]
async fn the_first_replica_makes_the_secret_and_the_second_signs_with_it() {
    let cluster = cluster().await;
    let first = start(&cluster).await;
    first.wait_ready().await;
    let secret = kept(&cluster);
    assert_eq!(secret["type"], "istio.io/ca-root");
    assert_eq!(entry(&secret, "ca-cert.pem"), entry(&secret, "root-cert.pem"));
    assert_eq!((entry(&secret, "cert-chain.pem"), entry(&secret, "key.pem")), (String::new(), String::new()));

    let second = start(&cluster).await;
    second.wait_ready().await;
    let (leaf, roots) = issue(&second, &cluster).await;
    assert_eq!(roots, first.roots_pem);
    let bundle = TrustBundle::from_pem("cluster.local".parse().unwrap(), roots.as_bytes()).unwrap();
    bundle.verify([&leaf], second.now()).unwrap();
    second.stop().await;
    first.stop().await;
}

#[tokio::test]
async fn replicas_that_start_at_once_are_left_with_one_root() {
    let cluster = cluster().await;
    let (one, other) = tokio::join!(start(&cluster), start(&cluster));
    let ((one_leaf, one_roots), (_, other_roots)) = (issue(&one, &cluster).await, issue(&other, &cluster).await);
    assert_eq!(one_roots, other_roots);
    assert_eq!(certificates(&one_roots).len(), 1);
    assert_eq!(one_leaf.issuer_der(), certificates(&other_roots)[0].subject_der());
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn istios_own_secret_is_adopted_as_it_is() {
    let cluster = cluster().await;
    let istio = TestCa::rsa_root("cluster.local");
    let (key, root) = (istio.key_pem(), istio.pem());
    let values = [("ca-key.pem", key.as_str()), ("ca-cert.pem", &root), ("root-cert.pem", &root), ("key.pem", "")];
    cluster.objects().create(&secret("istio-system", SECRET, "istio.io/ca-root", &values));
    cluster.objects().create(&config_map("istio-system", "istio-ca-root-cert", "root-cert.pem", &root));
    let lab = start(&cluster).await;
    let (leaf, roots) = issue(&lab, &cluster).await;
    assert_eq!(roots, root);
    let bundle = TrustBundle::from_pem("cluster.local".parse().unwrap(), root.as_bytes()).unwrap();
    bundle.verify([&leaf], lab.now()).unwrap();
    let kept = kept(&cluster);
    assert_eq!((entry(&kept, "ca-key.pem"), entry(&kept, "ca-cert.pem")), (key, root), "istiod can go back to it");
    assert_eq!(kept["type"], "istio.io/ca-root");
    lab.stop().await;
}

/// Beside an istiod with `cacerts` the ConfigMap with its roots is there, and `istio-ca-secret` is not.
#[tokio::test]
async fn a_plugged_in_authority_whose_roots_are_published_already_makes_the_secret() {
    let cluster = cluster().await;
    let istio = TestCa::root("cluster.local").intermediate();
    cluster.objects().create(&config_map("istio-system", "istio-ca-root-cert", "root-cert.pem", &istio.root_pem()));
    let setup = replica(&cluster);
    let dir = setup.path("plugged");
    std::fs::create_dir(&dir).unwrap();
    istio_layout(&dir, &istio);
    let setup = setup.with("authority.plugged_in_dir", &format!("{:?}", dir.to_str().unwrap()));
    let lab = with_roots(setup.start().await, &cluster);
    let (leaf, roots) = issue(&lab, &cluster).await;
    assert_eq!(roots, istio.root_pem());
    assert_eq!(leaf.issuer_der(), istio.certificate().subject_der());
    assert_eq!(entry(&kept(&cluster), "ca-cert.pem").trim(), istio.certificate().to_pem().trim());
    lab.stop().await;
}

#[tokio::test]
async fn roots_without_their_key_stop_the_start() {
    let cluster = cluster().await;
    let root = TestCa::root("cluster.local").pem();
    cluster.objects().create(&config_map("istio-system", "istio-ca-root-cert", "root-cert.pem", &root));
    let Err(error) = replica(&cluster).try_start().await else { panic!("a second root would split the mesh") };
    let said = signet_runtime::tasks::chain(&error);
    assert!(matches!(error, StartError::Authority(_)) && said.contains("holds roots but"), "{said}");
    assert!(cluster.objects().get("secrets", "istio-system", SECRET).is_none());
}

#[tokio::test]
async fn tokens_of_either_replica_are_verified_by_the_keys_of_the_other_and_their_bundles_are_the_same() {
    let cluster = cluster().await;
    let minting = |setup: Setup| {
        // Where the control socket is; nothing else is kept there.
        std::fs::create_dir_all(setup.path("state")).unwrap();
        setup
            .with("jwt.enabled", "true")
            .with("jwt.issuer", "'https://tokens.example.org/mesh'")
            .with("oidc.listen", "'127.0.0.1:0'")
            .with("federation.listen", "'127.0.0.1:0'")
    };
    let first = with_roots(minting(replica(&cluster)).start().await, &cluster);
    let second = with_roots(minting(replica(&cluster)).start().await, &cluster);
    let labs = [&first, &second];
    for lab in labs {
        lab.wait_ready().await;
    }
    for minter in labs {
        let minted = jwt::send(minter, Some(&token(&cluster)), &["reports"], 60).await.unwrap().into_inner();
        for publisher in labs {
            let claims = jwt::verified(&jwt::published_keys(publisher).await, &minted.token);
            assert_eq!(claims["sub"], "spiffe://cluster.local/ns/shop/sa/web");
        }
    }
    // With the roots it holds the token keys.
    let same = async || federation::published(&first).await == federation::published(&second).await;
    eventually("the bundles are the same", same).await;
    assert_eq!(federation::published(&second).await.jwt_keys().len(), 2);

    // A change of roots reaches both under one number.
    rotation::did(&first, &["prepare"]).await;
    eventually("both bundles have the new root", async || {
        let bundle = federation::published(&second).await;
        bundle.roots().len() == 2 && bundle == federation::published(&first).await
    })
    .await;
    second.stop().await;
    first.stop().await;
}

#[tokio::test]
async fn the_number_of_the_bundle_never_falls_when_minting_is_turned_off_and_on_again() {
    let cluster = cluster().await;
    let (mut setup, mut last) = (replica(&cluster).with("federation.listen", "'127.0.0.1:0'"), 0);
    std::fs::create_dir_all(setup.path("state")).unwrap();
    for (minting, keys) in [("false", 0), ("true", 2), ("false", 1), ("true", 2), ("false", 1)] {
        let lab = with_roots(setup.with("jwt.enabled", minting).start().await, &cluster);
        lab.wait_ready().await;
        eventually("the keys are as they should be", async || {
            federation::published(&lab).await.jwt_keys().len() == keys
        })
        .await;
        let number = federation::published(&lab).await.sequence().unwrap();
        assert!(number > last, "{number} follows {last} with `jwt.enabled` {minting}");
        let minted = jwt::send(&lab, Some(&token(&cluster)), &["reports"], 60).await;
        assert_eq!(minted.is_ok(), minting == "true");
        last = number;
        setup = lab.stop().await;
    }
}

#[tokio::test]
async fn what_is_spoilt_or_deleted_is_told_while_issuing_goes_on() {
    let cluster = cluster().await;
    let lab = start(&cluster).await;
    lab.wait_ready().await;
    let good = kept(&cluster);
    let told = async |wanted: &str| {
        eventually("readiness tells", async || {
            let (status, reasons) = lab.get("/healthz/ready").await;
            status == 200 && reasons.contains("authority") && reasons.contains(wanted)
        })
        .await;
        issue(&lab, &cluster).await;
    };
    edit(&cluster, |secret| secret["data"]["signet-state.json"] = json!(STANDARD.encode("{}")));
    told("is not a journal").await;
    edit(&cluster, |secret| secret["data"] = good["data"].clone());
    eventually("it is well", async || !lab.get("/healthz/ready").await.1.contains("authority")).await;
    cluster.objects().delete("secrets", "istio-system", SECRET);
    told("is gone").await;
    let data = good["data"].clone();
    let mut again = secret("istio-system", SECRET, "istio.io/ca-root", &[]);
    again["data"] = data;
    cluster.objects().create(&again);
    eventually("it is well", async || !lab.get("/healthz/ready").await.1.contains("authority")).await;
    lab.stop().await;
}

#[tokio::test]
async fn an_outage_longer_than_a_certificates_life_stops_nobody_from_issuing() {
    let mut cluster = cluster().await;
    let life = Duration::from_secs(2);
    let short = |setup: Setup| setup.with("leaf.max_ttl", "\"2s\"").with("leaf.default_ttl", "\"2s\"");
    let leader = with_roots(short(replica(&cluster)).start().await, &cluster);
    let follower = with_roots(short(replica(&cluster)).start().await, &cluster);
    leader.wait_ready().await;
    follower.wait_ready().await;
    let bearer = token(&cluster);
    cluster.stop().await;
    let began = tokio::time::Instant::now();
    let mut first = None;
    while began.elapsed() < life * 6 {
        for lab in [&leader, &follower] {
            let chain = lab.ask(&bearer, &any_csr(), 2).await.unwrap();
            let leaf = certificates(&chain[0]).remove(0);
            assert!(leaf.lifetime().contains(lab.now()));
            first.get_or_insert(leaf);
            assert_eq!(lab.get("/healthz/ready").await.0, 200);
        }
    }
    assert!(first.unwrap().lifetime().not_after() < leader.now(), "what was issued before has ended meanwhile");
    cluster.resume().await;
    let data = |cluster: &ApiServer| entry(&kept(cluster), "ca-cert.pem");
    assert_eq!(certificates(&data(&cluster)).len(), 1);
    issue(&leader, &cluster).await;
    follower.stop().await;
    leader.stop().await;
}
