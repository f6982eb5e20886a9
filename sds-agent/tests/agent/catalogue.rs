//! Every name that can be asked for, over the socket, in all three methods.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use signet_identity::{Lifetime, PrivateKey};
use signet_proto_envoy::pb::envoy::config::core::v3::Node;
use signet_proto_envoy::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use signet_proto_envoy::pb::envoy::service::discovery::v3::DiscoveryRequest;
use signet_proto_envoy::pb::google::protobuf::value::Kind;
use signet_proto_envoy::pb::google::protobuf::{Struct, Value};
use signet_testkit::{IssuedLeaf, TestCa};
use tonic::Code;

use crate::support::{FakeCa, Pod, RunningAgent, decode, identity, inline, names, now, swap_volume};

const OWN: &str = "spiffe://cluster.local/ns/shop/sa/web";

async fn running() -> (FakeCa, Pod, RunningAgent) {
    let ca = FakeCa::start().await;
    let pod = Pod::new(&ca);
    fs::create_dir_all(pod.path("etc/certs")).unwrap();
    let agent = RunningAgent::start(&pod, &ca, &[]).await;
    agent.reaches("signet_agent_renewal_attempts_total{result=\"success\"", 1.0).await;
    (ca, pod, agent)
}

fn leaf(ca: &TestCa) -> IssuedLeaf {
    let life = Lifetime::new(now(), now().plus(Duration::from_secs(3600))).unwrap();
    ca.leaf("https://shop.example", life).issue()
}

/// Puts a pair into the pod and says how to ask for it.
fn put(pod: &Pod, leaf: &IssuedLeaf, generation: u32) -> String {
    let dir = pod.path("etc/certs");
    let pem = format!("{}{}", leaf.chain_pem(), &*leaf.key().to_pem());
    assert!(pem.contains("PRIVATE KEY"));
    fs::create_dir_all(dir.join(format!("..data-{generation}"))).unwrap();
    fs::write(dir.join(format!("..data-{generation}/tls.key")), leaf.key().to_pem().as_bytes()).unwrap();
    swap_volume(&dir, "tls.crt", &leaf.chain_pem(), generation);
    if !dir.join("tls.key").is_symlink() {
        std::os::unix::fs::symlink(PathBuf::from("..data").join("tls.key"), dir.join("tls.key")).unwrap();
    }
    format!("file-cert:{0}/tls.crt~{0}/tls.key", dir.display())
}

/// The chain in the first resource, whose key fits.
fn chain(any: Option<&signet_proto_envoy::pb::google::protobuf::Any>, name: &str) -> Vec<u8> {
    let secret = decode(any.expect("a resource"));
    assert_eq!(secret.name, name);
    let Some(Type::TlsCertificate(tls)) = secret.r#type else { panic!("no certificate") };
    let (chain, key) = (inline(tls.certificate_chain), PrivateKey::from_pem(&inline(tls.private_key)).unwrap());
    let certificates = signet_identity::Certificate::list_from_pem(&chain, 1 << 20).unwrap();
    assert_eq!(certificates[0].public_key(), key.public());
    chain
}

#[tokio::test]
async fn a_pair_of_files_is_served_by_all_methods_and_each_swap_of_its_volume_is_pushed() {
    let (_ca, pod, agent) = running().await;
    let ca = TestCa::root("shop.example");
    let first = leaf(&ca);
    let name = put(&pod, &first, 0);
    let fetched = agent.sds().await.fetch(&[&name]).await.unwrap();
    assert_eq!(chain(fetched.resources.first(), &name), first.chain_pem().as_bytes());
    let (mut sotw, mut delta) = (agent.sds().await.sotw(), agent.sds().await.delta());
    sotw.subscribe(&[&name]).await;
    delta.change(&[&name], &[]).await;
    assert_eq!(chain(sotw.accept(&[&name]).await.resources.first(), &name), first.chain_pem().as_bytes());
    let told = delta.next().await.unwrap();
    assert_eq!(told.resources[0].version, fetched.version_info);
    delta.answer(None).await;
    for generation in 1..4 {
        let next = leaf(&ca);
        put(&pod, &next, generation);
        assert_eq!(chain(sotw.accept(&[&name]).await.resources.first(), &name), next.chain_pem().as_bytes());
        let told = delta.next().await.unwrap();
        assert_eq!(chain(told.resources[0].resource.as_ref(), &name), next.chain_pem().as_bytes());
        delta.answer(None).await;
    }
    agent.stop().await;
}

#[tokio::test]
async fn a_bad_file_blocks_no_other_name_and_says_what_is_wrong() {
    let (_ca, pod, agent) = running().await;
    let (bad, late) = (pod.path("etc/certs/bad.pem"), pod.path("etc/certs/late.pem"));
    fs::write(&bad, "no roots").unwrap();
    let (bad, late) = (format!("file-root:{}", bad.display()), format!("file-root:{}", late.display()));
    let mut stream = agent.sds().await.sotw();
    stream.subscribe(&["default", &bad, &late]).await;
    assert_eq!(names(&stream.accept(&["default", &bad, &late]).await.resources), ["default"]);
    agent.reaches("signet_agent_sds_resource_faults_total{kind=\"file-root\"}", 2.0).await;
    assert!(agent.get("/healthz/ready").await.contains("no PEM block found"), "{}", agent.get("/healthz/ready").await);
    assert!(agent.ready().await, "a pod is not taken out of service for it");
    assert_eq!(agent.sds().await.fetch(&[&bad]).await.unwrap_err().code(), Code::Unavailable);
    fs::write(pod.path("etc/certs/late.pem"), TestCa::root("shop.example").pem()).unwrap();
    assert_eq!(names(&stream.accept(&["default", &bad, &late]).await.resources), [late]);
    assert!(agent.metric("signet_agent_sds_resources{kind=\"file-root\",state=\"absent\"}").await >= 1.0);
    agent.stop().await;
}

#[tokio::test]
async fn a_file_outside_the_directories_is_refused_and_a_link_to_it_never_followed() {
    let (_ca, pod, agent) = running().await;
    let outside = format!("file-root:{}", pod.root_file().display());
    let status = agent.sds().await.fetch(&[&outside]).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("`sds.file_dirs`"), "{}", status.message());
    std::os::unix::fs::symlink(pod.root_file(), pod.path("etc/certs/link.pem")).unwrap();
    let inside = format!("file-root:{}", pod.path("etc/certs/link.pem").display());
    assert_eq!(agent.sds().await.fetch(&[&inside]).await.unwrap_err().code(), Code::Unavailable);
    agent.stop().await;
}

#[tokio::test]
async fn names_of_spire_are_served_and_the_form_of_roots_is_the_proxys_to_choose_for_a_whole_stream() {
    let (_ca, _pod, agent) = running().await;
    let mut stream = agent.sds().await.sotw();
    stream.subscribe(&[OWN, "spiffe://cluster.local", "ALL", "ROOTCA", "default"]).await;
    let told = stream.accept(&["default"]).await;
    assert_eq!(names(&told.resources), ["ROOTCA", "ALL", "spiffe://cluster.local", "default", OWN]);
    assert_eq!(identity(&told.resources).id().as_str(), OWN);
    let shape = |resource| match decode(resource).r#type {
        Some(Type::ValidationContext(context)) => {
            (context.trusted_ca.is_some(), context.custom_validator_config.is_some())
        }
        _ => (false, false),
    };
    assert_eq!(
        told.resources[..3].iter().map(shape).collect::<Vec<_>>(),
        [(true, false), (false, true), (false, true)]
    );

    let fields = [("disable_spiffe_cert_validation".to_owned(), Value { kind: Some(Kind::BoolValue(true)) })];
    let metadata = Some(Struct { fields: fields.into() });
    let node = Some(Node { id: "old".to_owned(), metadata, ..Node::default() });
    let mut stream = agent.sds().await.sotw();
    stream.send(DiscoveryRequest { node, resource_names: vec!["default".to_owned()], ..Default::default() }).await;
    stream.next().await.unwrap();
    // Only the first message says who asks.
    stream.answer(&["default", "spiffe://cluster.local", "ALL"], None).await;
    let told = stream.next().await.unwrap();
    assert_eq!(names(&told.resources), ["spiffe://cluster.local"]);
    assert_eq!(shape(&told.resources[0]), (true, false));
    stream.answer(&["ALL"], None).await;
    assert_eq!(stream.next().await.unwrap_err().code(), Code::FailedPrecondition);
    agent.stop().await;
}
