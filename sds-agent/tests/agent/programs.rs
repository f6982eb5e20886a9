//! The SPIFFE Workload API as a program meets it.

use std::time::Duration;

use signet_identity::{Certificate, PrivateKey, Svid, TrustBundle};
use signet_proto::workload_api::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use signet_proto::workload_api::{
    JwtBundlesRequest, JwtsvidRequest, ValidateJwtsvidRequest, X509BundlesRequest, X509svidRequest, X509svidResponse,
};
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::support::{FakeCa, Pod, RunningAgent, eventually, identity};

const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";
const SOON: Duration = Duration::from_secs(10);

type Client = SpiffeWorkloadApiClient<Channel>;

async fn client(agent: &RunningAgent) -> Client {
    SpiffeWorkloadApiClient::new(agent.sds().await.channel)
}

/// A call with the security header.
fn call<T>(message: T) -> Request<T> {
    let mut call = Request::new(message);
    call.metadata_mut().insert("workload.spiffe.io", "true".parse().unwrap());
    call
}

fn token_of(audience: &[&str], spiffe_id: &str) -> Request<JwtsvidRequest> {
    let audience = audience.iter().map(|name| (*name).to_owned()).collect();
    call(JwtsvidRequest { audience, spiffe_id: spiffe_id.to_owned() })
}

/// Certificates that stand one behind the other.
fn certificates(mut der: &[u8]) -> Vec<Certificate> {
    let mut found = Vec::new();
    while !der.is_empty() {
        // The length of the outer sequence, which takes two octets for any certificate of ours.
        assert_eq!(&der[..2], [0x30, 0x82]);
        let (one, rest) = der.split_at(4 + usize::from(u16::from_be_bytes([der[2], der[3]])));
        found.push(Certificate::from_der(one).unwrap());
        der = rest;
    }
    found
}

fn svid(message: &X509svidResponse) -> (Svid, TrustBundle) {
    let [one] = message.svids.as_slice() else { panic!("one identity") };
    let svid =
        Svid::new(certificates(&one.x509_svid), PrivateKey::from_pkcs8(one.x509_svid_key.clone().into()).unwrap());
    let (svid, roots) = (svid.unwrap(), certificates(&one.bundle));
    assert_eq!(svid.id().as_str(), one.spiffe_id);
    (svid, TrustBundle::new("cluster.local".parse().unwrap(), roots).unwrap())
}

#[tokio::test]
async fn a_program_gets_what_a_proxy_gets_and_each_successor() {
    let ca = FakeCa::start().await;
    ca.grants(Duration::from_secs(3));
    let pod = Pod::new(&ca);
    let agent = RunningAgent::start(&pod, &ca, &[]).await;
    let mut stream = client(&agent).await.fetch_x509svid(call(X509svidRequest {})).await.unwrap().into_inner();
    let mut next = async || svid(&timeout(SOON, stream.message()).await.unwrap().unwrap().unwrap());
    let (first, roots) = next().await;
    assert_eq!(first.id().as_str(), WEB);
    assert!(roots.verify(first.chain(), crate::support::now()).is_ok());
    let proxys = agent.sds().await.fetch(&["default"]).await.unwrap();
    assert_eq!(identity(&proxys.resources).leaf(), first.leaf());
    let (second, _) = next().await;
    assert_ne!(first.leaf(), second.leaf());
    agent.stop().await;
}

#[tokio::test]
async fn bundles_are_told_at_once_and_after_each_change_and_only_then() {
    let ca = FakeCa::start().await;
    ca.roots.tell(ca.bundle(1, &[]));
    let pod = Pod::new(&ca);
    let agent = RunningAgent::start(&pod, &ca, &[]).await;
    let mut stream = client(&agent).await.fetch_x509_bundles(call(X509BundlesRequest {})).await.unwrap().into_inner();
    let mut next = async || {
        let message = timeout(SOON, stream.message()).await.unwrap().unwrap().unwrap();
        assert_eq!(message.bundles.keys().collect::<Vec<_>>(), ["spiffe://cluster.local"]);
        certificates(&message.bundles["spiffe://cluster.local"]).len()
    };
    assert_eq!(next().await, 1);
    agent.reaches("signet_agent_roots_watched", 1.0).await;
    ca.roots.tell(ca.bundle(2, &[&signet_testkit::TestCa::root("cluster.local")]));
    assert_eq!(next().await, 2);
    agent.stop().await;
}

#[tokio::test]
async fn without_the_security_header_nothing_is_answered() {
    let ca = FakeCa::start().await;
    let pod = Pod::new(&ca);
    let agent = RunningAgent::start(&pod, &ca, &[]).await;
    let mut client = client(&agent).await;
    let refused = |status: Status| assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    refused(client.fetch_x509svid(X509svidRequest {}).await.unwrap_err());
    refused(client.fetch_x509_bundles(X509BundlesRequest {}).await.unwrap_err());
    refused(client.fetch_jwtsvid(JwtsvidRequest::default()).await.unwrap_err());
    refused(client.fetch_jwt_bundles(JwtBundlesRequest {}).await.unwrap_err());
    refused(client.validate_jwtsvid(ValidateJwtsvidRequest::default()).await.unwrap_err());
    eventually("proxies do not know it", || async { agent.sds().await.fetch(&["ROOTCA"]).await.is_ok() }).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_program_that_comes_before_the_first_identity_waits_a_little_and_is_told_to_come_back() {
    let mut ca = FakeCa::start().await;
    ca.vanish().await;
    let pod = Pod::new(&ca);
    let agent = RunningAgent::start(&pod, &ca, &[]).await;
    let mut client = client(&agent).await;
    let mut stream = client.fetch_x509svid(call(X509svidRequest {})).await.unwrap().into_inner();
    let status = timeout(SOON, stream.message()).await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let mut waiting = client.fetch_x509svid(call(X509svidRequest {})).await.unwrap().into_inner();
    ca.resume();
    svid(&timeout(SOON, waiting.message()).await.unwrap().unwrap().unwrap());
    agent.stop().await;
}

#[tokio::test]
async fn an_identity_that_expired_is_withdrawn() {
    let mut ca = FakeCa::start().await;
    ca.grants(Duration::from_secs(3));
    let pod = Pod::new(&ca);
    let agent = RunningAgent::start(&pod, &ca, &[]).await;
    let mut stream = client(&agent).await.fetch_x509svid(call(X509svidRequest {})).await.unwrap().into_inner();
    svid(&stream.message().await.unwrap().unwrap());
    ca.vanish().await;
    let ended = async {
        loop {
            if let Err(status) = stream.message().await {
                return status.code();
            }
        }
    };
    assert_eq!(timeout(SOON, ended).await.unwrap(), Code::PermissionDenied);
    agent.stop().await;
}

#[tokio::test]
async fn tokens_are_minted_by_the_ca_once_for_each_set_of_audiences() {
    let ca = FakeCa::start().await;
    let pod = Pod::new(&ca);
    let agent = RunningAgent::start(&pod, &ca, &[]).await;
    let mut client = client(&agent).await;
    let mut fetch = async |audience: &[&str], id: &str| {
        client.fetch_jwtsvid(token_of(audience, id)).await.map(|answer| answer.into_inner().svids.remove(0))
    };
    let one = fetch(&["a", "b"], "").await.unwrap();
    assert_eq!(one.spiffe_id, WEB);
    assert_eq!(fetch(&["b", "a"], WEB).await.unwrap().svid, one.svid, "the same is handed out again");
    assert_ne!(fetch(&["a"], "").await.unwrap().svid, one.svid);
    assert_eq!(ca.mint.asked().len(), 2);
    for (audience, id, code) in [
        (&[][..], "", Code::InvalidArgument),
        (&[""], "", Code::InvalidArgument),
        (&["a"], "not an id", Code::InvalidArgument),
        (&["a"], "spiffe://cluster.local/ns/shop/sa/admin", Code::PermissionDenied),
    ] {
        assert_eq!(fetch(audience, id).await.unwrap_err().code(), code, "{audience:?} {id}");
    }
    assert_eq!(ca.mint.asked().len(), 2, "what is refused here is not asked for");
    agent.stop().await;
}

#[tokio::test]
async fn a_cas_refusal_is_final_only_where_it_has_decided() {
    let ca = FakeCa::start().await;
    let pod = Pod::new(&ca);
    let agent = RunningAgent::start(&pod, &ca, &[]).await;
    let mut client = client(&agent).await;
    for (cas, ours) in [
        (Code::PermissionDenied, Code::PermissionDenied),
        (Code::InvalidArgument, Code::InvalidArgument),
        (Code::Unimplemented, Code::Unimplemented),
        (Code::ResourceExhausted, Code::Unavailable),
        (Code::Unavailable, Code::Unavailable),
    ] {
        ca.mint.refuses(Some(cas));
        assert_eq!(client.fetch_jwtsvid(token_of(&["a"], "")).await.unwrap_err().code(), ours, "{cas:?}");
    }
    ca.mint.refuses(None);
    assert!(client.fetch_jwtsvid(token_of(&["a"], "")).await.is_ok());
    ca.mint.refuses(Some(Code::Unavailable));
    assert!(client.fetch_jwtsvid(token_of(&["a"], "")).await.is_ok(), "the one that is kept is still good");
    let counted = "signet_agent_workload_api_calls_total{method=\"FetchJWTSVID\",code=\"unavailable\"}";
    eventually("refusals are counted", || async { agent.metric(counted).await == 2.0 }).await;
    agent.stop().await;
}

#[tokio::test]
async fn keys_of_tokens_are_not_told_here() {
    let ca = FakeCa::start().await;
    let pod = Pod::new(&ca);
    let agent = RunningAgent::start(&pod, &ca, &[]).await;
    let mut client = client(&agent).await;
    let bundles = client.fetch_jwt_bundles(call(JwtBundlesRequest {})).await.unwrap_err();
    let message = ValidateJwtsvidRequest { audience: "a".to_owned(), svid: "a.b.c".to_owned() };
    let judged = client.validate_jwtsvid(call(message)).await.unwrap_err();
    assert_eq!((bundles.code(), judged.code()), (Code::Unimplemented, Code::Unimplemented));
    agent.stop().await;
}
