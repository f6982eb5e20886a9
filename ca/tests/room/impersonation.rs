//! Node proxies: whose identity they get, and every single reason why they do not.

use std::collections::BTreeMap;
use std::time::Duration;

use prost_types::Struct;
use prost_types::value::Kind;
use serde_json::Value;
use signet_ca::kubernetes::{PodObject, PodPhase};
use signet_runtime::Clock;
use tonic::Code;

use crate::lab::{HOUR, Issued, Lab, Setup, WEB, csr_of, now, request};
use crate::objects::{Objects, pod_of};

const ORDERS: &str = "spiffe://cluster.local/ns/shop/sa/orders";
const SECOND: Duration = Duration::from_secs(1);

/// A cluster with a node proxy (`mesh/ztunnel`) and two pods beside it, `shop/web` and `shop/orders`.
struct Node {
    lab: Lab,
    clock: Clock,
    objects: Objects,
    proxy: Value,
    web: Value,
}

impl Node {
    async fn start() -> Self {
        Self::start_with(|setup| setup).await
    }

    async fn start_with(change: impl FnOnce(Setup) -> Setup) -> Self {
        let clock = Clock::manual(now().unix_millis());
        let setup = Setup::new().with_clock(clock.clone()).with("node_proxies", "'mesh/ztunnel'");
        let setup = change(setup.with("cluster_aliases", "'home'"));
        let claims = |namespace, account| setup.issuer.claims(namespace, account, now(), HOUR);
        let (proxy, web, orders) = (claims("mesh", "ztunnel"), claims("shop", "web"), claims("shop", "orders"));
        let objects = Objects::of(&[&proxy, &web, &orders], now());
        let lab = setup.with_link("Kubernetes", objects.link.clone()).start().await;
        Self { lab, clock, objects, proxy, web }
    }

    /// Asks for `wanted` with a token of `claims`, and gives the code and the leaf's identity.
    async fn ask_as(&self, claims: &Value, wanted: &str, cluster: Option<&str>) -> Result<String, (Code, String)> {
        let key = signet_identity::PrivateKey::generate_p256().unwrap();
        let mut request = request(&self.lab.setup.issuer.sign(claims), &csr_of(&key), 60);
        let value = prost_types::Value { kind: Some(Kind::StringValue(wanted.to_owned())) };
        request.get_mut().metadata =
            Some(Struct { fields: BTreeMap::from([("ImpersonatedIdentity".to_owned(), value)]) });
        if let Some(cluster) = cluster {
            request.metadata_mut().insert("clusterid", cluster.parse().unwrap());
        }
        match self.lab.send(request).await {
            Ok(answer) => {
                let leaf = Issued { chain: answer.into_inner().cert_chain, key }.leaf();
                Ok(leaf.workload_id().unwrap().to_string())
            }
            Err(status) => Err((status.code(), status.message().to_owned())),
        }
    }

    async fn ask(&self, wanted: &str) -> Result<String, (Code, String)> {
        self.ask_as(&self.proxy, wanted, None).await
    }

    async fn check_as(&self, claims: &Value, wanted: &str, reason: &str) {
        let series = format!("signet_ca_refusals_total{{reason=\"{reason}\"}}");
        let before = self.lab.metric(&series).await;
        let text = "request impersonation authentication failure".to_owned();
        assert_eq!(self.ask_as(claims, wanted, None).await, Err((Code::Unauthenticated, text)), "{reason}: {wanted}");
        assert_eq!(self.lab.metric(&series).await, before + 1, "{reason}: {wanted}");
    }

    async fn check(&self, wanted: &str, reason: &str) {
        self.check_as(&self.proxy, wanted, reason).await;
    }

    fn apply_web(&self, change: impl FnOnce(&mut PodObject)) {
        let mut pod = pod_of(&self.web);
        change(&mut pod);
        self.objects.writer.apply_pod(pod);
    }

    fn apply_proxy(&self, change: impl FnOnce(&mut PodObject)) {
        let mut pod = pod_of(&self.proxy);
        change(&mut pod);
        self.objects.writer.apply_pod(pod);
    }
}

#[tokio::test]
async fn a_node_proxy_gets_the_identities_of_the_pods_beside_it_whatever_it_calls_its_cluster() {
    let node = Node::start().await;
    for cluster in [None, Some(""), Some("Kubernetes"), Some("home")] {
        assert_eq!(node.ask_as(&node.proxy, WEB, cluster).await.as_deref(), Ok(WEB), "{cluster:?}");
    }
    assert_eq!(node.ask(ORDERS).await.as_deref(), Ok(ORDERS));
    let own = "spiffe://cluster.local/ns/mesh/sa/ztunnel";
    assert_eq!(node.ask("").await.as_deref(), Ok(own), "no wish means its own identity");
    let away = node.ask_as(&node.proxy, WEB, Some("away")).await.unwrap_err();
    assert_eq!(away.1, "request authenticate failure");
}

#[tokio::test]
async fn what_a_node_proxy_gets_is_recorded_with_its_own_name() {
    let node = Node::start().await;
    node.ask(WEB).await.unwrap();
    node.ask("").await.unwrap();
    let own = "spiffe://cluster.local/ns/mesh/sa/ztunnel";
    let [for_web, for_itself] = crate::ledger::issued(&node.lab.setup.path("ledger")).try_into().unwrap();
    for (member, wanted) in [("id", WEB), ("caller", own), ("namespace", "mesh"), ("service_account", "ztunnel")] {
        assert_eq!(for_web[member], wanted, "{member}: {for_web}");
    }
    assert_eq!((&for_web["impersonated"], &for_itself["impersonated"]), (&Value::Bool(true), &Value::Bool(false)));
    assert!(for_itself["id"] == own && for_itself.get("caller").is_none(), "{for_itself}");
}

#[tokio::test]
async fn nobody_else_gets_them() {
    let node = Node::start().await;
    node.check_as(&node.web, ORDERS, "impersonation").await;
    node.check_as(&node.web, WEB, "impersonation").await;
    let node = Node::start_with(|setup| setup.with("node_proxies", "''")).await;
    node.check(WEB, "impersonation").await;
    let node = Node::start_with(|setup| setup.with("tokens.require_pod", "false")).await;
    let mut unbound = node.proxy.clone();
    unbound["kubernetes.io"]["pod"] = Value::Null;
    node.check_as(&unbound, WEB, "impersonation_without_pod").await;
}

#[tokio::test]
async fn what_is_asked_for_is_one_clean_id_of_the_clusters_trust_domain() {
    let node = Node::start_with(|setup| setup.with("tokens.namespaces", "['shop', 'mesh']")).await;
    for wanted in [
        "spiffe://cluster.local/ns/shop/sa/web,spiffe://cluster.local/ns/shop/sa/orders",
        "spiffe://cluster.local/ns/shop/sa/w%65b",
        "spiffe://cluster.local/ns/shop/sa/web/",
        "spiffe://cluster.local/ns//sa/web",
        "spiffe://cluster.local//ns/shop/sa/web",
        "spiffe://Cluster.local/ns/shop/sa/web",
        "SPIFFE://cluster.local/ns/shop/sa/web",
        "spiffe://cluster.local/ns/shop/sa/Web",
        "spiffe://cluster.local/ns/shop/sa/web/x",
        "spiffe://cluster.local/sa/web/ns/shop",
        "spiffe://cluster.local/ns/shop",
        "spiffe://cluster.local",
        "web",
        " spiffe://cluster.local/ns/shop/sa/web",
    ] {
        node.check(wanted, "impersonation_id").await;
    }
    for elsewhere in ["other.example", "cluster.local.evil", "cluster.loca"] {
        node.check(&format!("spiffe://{elsewhere}/ns/shop/sa/web"), "impersonation_trust_domain").await;
    }
    node.check("spiffe://cluster.local/ns/bank/sa/web", "impersonation_namespace").await;
}

#[tokio::test]
async fn a_pod_on_another_node_or_at_its_end_is_not_beside_the_proxy() {
    let node = Node::start().await;
    node.apply_web(|pod| pod.node = Some("node-2".into()));
    node.check(WEB, "impersonation_not_on_node").await;
    node.apply_web(|pod| pod.node = None);
    node.check(WEB, "impersonation_not_on_node").await;
    for over in [PodPhase::Succeeded, PodPhase::Failed] {
        node.apply_web(|pod| pod.phase = over);
        node.check(WEB, "impersonation_not_on_node").await;
    }
    node.apply_web(|pod| pod.service_account = "other".into());
    node.check(WEB, "impersonation_not_on_node").await;
    node.apply_web(|pod| pod.phase = PodPhase::Pending);
    assert_eq!(node.ask(WEB).await.as_deref(), Ok(WEB), "a pod that starts needs its identity");
}

#[tokio::test]
async fn a_pod_that_is_not_enrolled_in_the_mesh_is_not_served_unless_the_operator_wants_that() {
    let node = Node::start().await;
    node.apply_web(|pod| pod.enrolled = false);
    node.check(WEB, "impersonation_not_enrolled").await;
    node.apply_web(|pod| (pod.enrolled, pod.phase) = (false, PodPhase::Failed));
    node.check(WEB, "impersonation_not_on_node").await;
    let node = Node::start_with(|setup| setup.with("node_proxies_enrolled_only", "false")).await;
    node.apply_web(|pod| pod.enrolled = false);
    assert_eq!(node.ask(WEB).await.as_deref(), Ok(WEB));
}

#[tokio::test]
async fn a_pod_that_ends_keeps_its_identity_for_its_grace_period_and_no_longer() {
    let node = Node::start().await;
    let end = node.lab.now().plus(30 * SECOND);
    node.apply_web(|pod| pod.deleted_at = Some(end));
    assert_eq!(node.ask(WEB).await.as_deref(), Ok(WEB));
    node.clock.set(end.plus(61 * SECOND).unix_millis());
    node.check(WEB, "impersonation_not_on_node").await;
}

#[tokio::test]
async fn the_proxys_own_pod_must_be_its_tokens_and_run() {
    let node = Node::start().await;
    node.apply_proxy(|pod| pod.phase = PodPhase::Failed);
    node.check(WEB, "impersonation_caller_not_running").await;
    // What its token itself is refused for does not even come so far.
    for change in
        [|pod: &mut PodObject| pod.uid = "another".into(), |pod: &mut PodObject| pod.node = Some("node-2".into())]
    {
        node.apply_proxy(change);
        assert_eq!(node.ask(WEB).await.unwrap_err().1, "request authenticate failure");
    }
}

#[tokio::test]
async fn without_knowledge_of_the_cluster_nothing_is_granted() {
    let setup = Setup::new().with("node_proxies", "'mesh/ztunnel'");
    let claims = setup.issuer.claims("mesh", "ztunnel", now(), HOUR);
    let (proxy, web) = (claims.clone(), claims);
    let lab = setup.start().await;
    let node = Node { lab, clock: Clock::system(), objects: Objects::unsynced(), proxy, web };
    node.check(WEB, "impersonation_not_watched").await;
}

#[tokio::test]
async fn knowledge_that_is_too_old_sends_nobody_away_for_good() {
    let node = Node::start_with(|setup| setup.with("tokens.stale_after", "'10m'")).await;
    node.clock.advance(11 * 60 * SECOND);
    assert_eq!(node.ask(WEB).await.unwrap_err().0, Code::Unavailable);
    node.objects.heard(node.lab.now());
    assert_eq!(node.ask(WEB).await.as_deref(), Ok(WEB));
}

#[tokio::test]
async fn a_pod_that_was_created_a_moment_ago_is_waited_for() {
    let node = Node::start().await;
    node.objects.writer.delete_pod("shop", "web-1");
    let arriving = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        node.apply_web(|pod| pod.phase = PodPhase::Pending);
    };
    let (granted, ()) = tokio::join!(node.ask(WEB), arriving);
    assert_eq!(granted.as_deref(), Ok(WEB));
}
