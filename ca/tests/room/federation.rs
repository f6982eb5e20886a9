//! The own bundle as others read it, and the bundles of others: honest, hostile, slow and gone.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use signet_identity::{JwtKey, Lifetime, PrivateKey, SpiffeBundle};
use signet_testkit::{TestCa, knobs};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::https;
use crate::jwt::minting;
use crate::lab::{HOUR, Lab, Setup, eventually, now};

const PEER: &str = "other.example";

fn quoted(path: &Path) -> String {
    format!("{:?}", path.to_str().unwrap())
}

fn publishing() -> Setup {
    minting().with("federation.listen", "'127.0.0.1:0'")
}

pub(crate) async fn published(lab: &Lab) -> SpiffeBundle {
    let answer = https::get(lab.addresses.bundle.unwrap(), &lab.roots_pem, "/").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    SpiffeBundle::from_json("cluster.local".parse().unwrap(), answer.body.as_bytes()).unwrap()
}

#[tokio::test]
async fn the_own_bundle_holds_roots_and_token_keys_under_a_number_and_a_hint() {
    let lab = publishing().start().await;
    let bundle = published(&lab).await;
    assert_eq!(bundle.roots(), lab.bundle().roots());
    assert_eq!((bundle.jwt_keys().len(), bundle.refresh_hint()), (2, Some(HOUR / 12)));
    let document = https::get(lab.addresses.bundle.unwrap(), &lab.roots_pem, "/").await.json();
    let uses: Vec<&str> = document["keys"].as_array().unwrap().iter().map(|key| key["use"].as_str().unwrap()).collect();
    assert_eq!(uses, ["x509-svid", "jwt-svid", "jwt-svid"]);
    let keys = https::get(lab.addresses.oidc.unwrap(), &lab.roots_pem, "/mesh/keys").await.json();
    let kids = |document: &Value| -> Vec<String> {
        let keys = document["keys"].as_array().unwrap().iter();
        keys.filter_map(|key| key["kid"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(kids(&document), kids(&keys));
    assert_eq!(https::get(lab.addresses.bundle.unwrap(), &lab.roots_pem, "/keys").await.status, 404);
}

#[tokio::test]
async fn the_number_stays_over_restarts_and_grows_with_a_change() {
    let lab = publishing().start().await;
    let first = published(&lab).await;
    let lab = lab.stop().await.start().await;
    assert_eq!(published(&lab).await, first);
    let setup = lab.stop().await;
    fs::remove_file(setup.path("state/jwt/jwt-keys.json")).unwrap();
    let lab = setup.start().await;
    assert!(published(&lab).await.sequence() > first.sequence());
}

#[tokio::test]
async fn without_tokens_the_bundle_holds_roots_alone() {
    let lab = Setup::new().with("federation.listen", "'127.0.0.1:0'").start().await;
    let bundle = published(&lab).await;
    assert_eq!((bundle.roots().len(), bundle.jwt_keys().len()), (1, 0));
}

/// A peer's endpoint that answers with whatever it is told to.
struct Peer {
    ca: TestCa,
    address: SocketAddr,
    answer: Arc<Mutex<Vec<u8>>>,
    asked: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<()>,
}

impl Peer {
    /// It proves to be `localhost`, and to be `id`, by `ca`.
    async fn start(ca: TestCa, id: &str) -> Self {
        let life = Lifetime::new(now().minus(HOUR), now().plus(HOUR)).unwrap();
        let leaf = ca.leaf(id, life).with(knobs::add_dns("localhost")).issue();
        let chain = leaf.chain().iter().map(|certificate| CertificateDer::from(certificate.der().to_vec())).collect();
        let key = PrivateKeyDer::try_from(leaf.key().to_pkcs8().to_vec()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let (tls, listener) = (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = listener.local_addr().unwrap();
        let (answer, asked) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let mut serving = JoinSet::new();
        let (told, heard) = (answer.clone(), asked.clone());
        serving.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = tls.accept(stream).await else { continue };
                let mut request = vec![0; 4096];
                let read = stream.read(&mut request).await.unwrap_or(0);
                heard.lock().unwrap().push(String::from_utf8_lossy(&request[..read]).into_owned());
                let bytes = told.lock().unwrap().clone();
                if bytes.is_empty() {
                    std::future::pending::<()>().await;
                }
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { ca, address, answer, asked, _serving: serving }
    }

    fn tell(&self, head: &str, body: &str) {
        *self.answer.lock().unwrap() =
            format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into();
    }

    fn tell_bundle(&self, bundle: &SpiffeBundle) {
        self.tell("200 OK\r\nContent-Type: application/json", &bundle.to_json().to_string());
    }

    /// A bundle of this peer's root and one token key.
    fn bundle(&self, sequence: u64) -> SpiffeBundle {
        let key = JwtKey { kid: "k1".to_owned(), key: PrivateKey::generate_p256().unwrap().public().clone() };
        let bundle = SpiffeBundle::new(PEER.parse().unwrap(), vec![self.ca.certificate()], vec![key]).unwrap();
        bundle.numbered(sequence, HOUR)
    }
}

/// Settings that ask `peer` for its bundle, with the roots that its web certificate leads to.
fn asking_web(peer: &Peer) -> Setup {
    let port = peer.address.port();
    let domain =
        format!("[{{ trust_domain = {PEER:?}, url = 'https://localhost:{port}/bundle?x=1', profile = 'https_web' }}]");
    let setup = Setup::new().with("federation.domains", &domain);
    fs::write(setup.path("web-roots.pem"), peer.ca.root_pem()).unwrap();
    let roots = quoted(&setup.path("web-roots.pem"));
    setup.with("federation.roots_file", &roots)
}

async fn metric(lab: &Lab, name: &str) -> i64 {
    lab.metric(&format!("signet_ca_federation_{name}{{trust_domain=\"{PEER}\"}}")).await
}

async fn fetches(lab: &Lab, result: &str) -> i64 {
    lab.metric(&format!("signet_ca_federation_fetches_total{{trust_domain=\"{PEER}\",result=\"{result}\"}}")).await
}

fn kept(setup: &Setup) -> Option<Value> {
    let text = fs::read(setup.path(&format!("state/federation/peer-{PEER}.json"))).ok()?;
    Some(serde_json::from_slice(&text).unwrap())
}

#[tokio::test]
async fn a_peers_bundle_is_read_kept_and_shown() {
    let peer = Peer::start(TestCa::root(PEER), "spiffe://other.example/web").await;
    let bundle = peer.bundle(7);
    peer.tell_bundle(&bundle);
    let lab = asking_web(&peer).start().await;
    eventually("the bundle is read", async || fetches(&lab, "ok").await == 1).await;
    assert_eq!((metric(&lab, "roots").await, metric(&lab, "token_keys").await, metric(&lab, "stale").await), (1, 1, 0));
    assert!(metric(&lab, "confirmed_timestamp").await >= lab.now().unix_secs() - 10);
    assert_eq!(kept(&lab.setup).unwrap()["bundle"], bundle.to_json());
    let asked = peer.asked.lock().unwrap()[0].to_ascii_lowercase();
    assert!(asked.starts_with("get /bundle?x=1 http/1.1\r\n"), "{asked}");
    assert!(asked.contains(&format!("host: localhost:{}\r\n", peer.address.port())), "{asked}");
    lab.wait_ready().await;
    assert_eq!(lab.get("/healthz/ready").await.1, "ready\n");
}

#[tokio::test]
async fn what_is_kept_outlives_process_and_peer_and_silence_is_told() {
    let peer = Peer::start(TestCa::root(PEER), "spiffe://other.example/web").await;
    peer.tell_bundle(&peer.bundle(7));
    let lab = asking_web(&peer).start().await;
    eventually("the bundle is read", async || fetches(&lab, "ok").await == 1).await;
    let setup = lab.stop().await;
    drop(peer);
    let path = setup.path(&format!("state/federation/peer-{PEER}.json"));
    let mut old = kept(&setup).unwrap();
    old["confirmed_at"] = json!(old["confirmed_at"].as_i64().unwrap() - 4 * 3600);
    fs::write(&path, old.to_string()).unwrap();
    let lab = setup.start().await;
    eventually("the silence is told", async || metric(&lab, "stale").await == 1).await;
    assert_eq!(metric(&lab, "roots").await, 1, "the last good bundle stays");
    lab.wait_ready().await;
    let told = lab.get("/healthz/ready").await.1;
    assert!(told.starts_with("ready\nfederation: bundle of other.example was last confirmed at"), "{told}");
}

#[tokio::test]
async fn a_number_that_goes_back_is_refused_until_an_operator_removes_what_is_kept() {
    let peer = Peer::start(TestCa::root(PEER), "spiffe://other.example/web").await;
    peer.tell_bundle(&peer.bundle(7));
    let lab = asking_web(&peer).start().await;
    eventually("the bundle is read", async || fetches(&lab, "ok").await == 1).await;
    let setup = lab.stop().await;
    peer.tell_bundle(&peer.bundle(6));
    let lab = setup.start().await;
    eventually("the old one is refused", async || fetches(&lab, "rejected").await == 1).await;
    let setup = lab.stop().await;
    assert_eq!(kept(&setup).unwrap()["bundle"]["spiffe_sequence"], 7);
    fs::remove_file(setup.path(&format!("state/federation/peer-{PEER}.json"))).unwrap();
    let lab = setup.start().await;
    eventually("it is taken", async || fetches(&lab, "ok").await == 1).await;
    assert_eq!(kept(&lab.setup).unwrap()["bundle"]["spiffe_sequence"], 6);
}

#[tokio::test]
async fn answers_that_are_no_bundle_leave_everything_as_it_was() {
    let peer = Peer::start(TestCa::root(PEER), "spiffe://other.example/web").await;
    peer.tell_bundle(&peer.bundle(7));
    let mut setup = asking_web(&peer);
    let lab = setup.start().await;
    eventually("the bundle is read", async || fetches(&lab, "ok").await == 1).await;
    setup = lab.stop().await;
    let before = kept(&setup);
    let good = peer.bundle(8).to_json().to_string();
    let leaking = good.replacen("\"kty\"", "\"d\":\"AA\",\"kty\"", 1);
    for (head, body) in [
        ("302 Found\r\nLocation: https://localhost/", good.as_str()),
        ("307 Temporary Redirect\r\nLocation: http://169.254.169.254/", ""),
        ("404 Not Found", &good),
        ("500 Oops", &good),
        ("200 OK\r\nContent-Type: text/html", "<html></html>"),
        ("200 OK", ""),
        ("200 OK", "{}"),
        ("200 OK", &leaking),
        ("200 OK", good.split_at(good.len() / 2).0),
        ("200 OK", &format!("{good}{}", " ".repeat(600 * 1024))),
        (&format!("200 OK\r\nX: {}", "x".repeat(64 * 1024)), &good),
        ("200 OK\r\nTransfer-Encoding: chunked", "no chunk"),
        ("nonsense", &good),
    ] {
        peer.tell(head, body);
        let lab = setup.start().await;
        eventually("the answer is refused", async || fetches(&lab, "failed").await == 1).await;
        assert_eq!((fetches(&lab, "ok").await, metric(&lab, "roots").await), (0, 1));
        setup = lab.stop().await;
        assert_eq!(kept(&setup), before, "{head}");
    }
}

#[tokio::test]
async fn a_peer_that_never_answers_holds_up_nobody() {
    let silent = Peer::start(TestCa::root(PEER), "spiffe://other.example/web").await;
    let lab = asking_web(&silent).start().await;
    lab.wait_ready().await;
    lab.issue().await;
    eventually("it was asked", async || !silent.asked.lock().unwrap().is_empty()).await;
    let began = tokio::time::Instant::now();
    lab.stop().await;
    assert!(began.elapsed().as_secs() < 5, "stopping does not wait for it");
}

/// Whether the bundle is read from an endpoint that presents `id` by `ca`, where `expected` is expected and the roots of
/// `known` are known at first.
async fn svid_is_accepted(ca: TestCa, id: &str, expected: &str, known: &TestCa) -> bool {
    let peer = Peer::start(ca, id).await;
    peer.tell_bundle(&peer.bundle(7));
    let setup = Setup::new();
    let first = setup.path("first.pem");
    fs::write(&first, known.root_pem()).unwrap();
    let domain = format!(
        "[{{ trust_domain = {PEER:?}, url = 'https://localhost:{}/', profile = 'https_spiffe', endpoint_id = {expected:?}, bundle_file = {} }}]",
        peer.address.port(),
        quoted(&first)
    );
    let lab = setup.with("federation.domains", &domain).start().await;
    assert_eq!(metric(&lab, "roots").await, 1, "what the operator gave is held from the start");
    eventually("it was asked", async || fetches(&lab, "ok").await + fetches(&lab, "failed").await >= 1).await;
    fetches(&lab, "ok").await == 1
}

#[tokio::test]
async fn an_endpoint_of_profile_https_spiffe_must_be_exactly_who_is_expected() {
    let id = "spiffe://other.example/bundles";
    let ca = TestCa::root(PEER);
    assert!(svid_is_accepted(ca.intermediate(), id, id, &ca).await, "a chain through an intermediate");
    let sibling = "spiffe://other.example/bundles2";
    assert!(!svid_is_accepted(ca.intermediate(), sibling, id, &ca).await, "another id");
    assert!(!svid_is_accepted(TestCa::root(PEER), id, id, &ca).await, "another root");
    let foreign = TestCa::root("evil.example");
    assert!(!svid_is_accepted(foreign, "spiffe://evil.example/bundles", id, &ca).await, "another trust domain");
}

#[tokio::test]
async fn an_endpoint_of_profile_https_web_must_be_its_host_by_the_given_roots() {
    let peer = Peer::start(TestCa::root(PEER), "spiffe://other.example/web").await;
    peer.tell_bundle(&peer.bundle(7));
    let setup = asking_web(&peer);
    fs::write(setup.path("web-roots.pem"), TestCa::root(PEER).root_pem()).unwrap();
    let lab = setup.start().await;
    eventually("it was asked", async || fetches(&lab, "failed").await >= 1).await;
    let setup = lab.stop().await;
    fs::write(setup.path("web-roots.pem"), peer.ca.root_pem()).unwrap();
    let by_address = format!(
        "[{{ trust_domain = {PEER:?}, url = 'https://127.0.0.1:{}/', profile = 'https_web' }}]",
        peer.address.port()
    );
    let lab = setup.with("federation.domains", &by_address).start().await;
    eventually("it was asked", async || fetches(&lab, "failed").await >= 1).await;
    assert_eq!(fetches(&lab, "ok").await, 0, "another name than the certificate's");
    assert!(peer.asked.lock().unwrap().is_empty(), "nothing was said before it had proved itself");
}

#[tokio::test]
async fn two_authorities_read_each_others_bundle_under_either_profile() {
    for (profile, id) in [("https_web", ""), ("https_spiffe", "spiffe://other.example/signet/bundle-endpoint")] {
        let other =
            publishing().with("trust_domain", "'other.example'").with("federation.profile", &format!("{profile:?}"));
        let other = other.start().await;
        let address = other.addresses.bundle.unwrap();
        let own = Setup::new();
        fs::write(own.path("other.pem"), &other.roots_pem).unwrap();
        let roots = quoted(&own.path("other.pem"));
        let more = if id.is_empty() { String::new() } else { format!(", endpoint_id = {id:?}, bundle_file = {roots}") };
        let domain = format!(
            "[{{ trust_domain = {PEER:?}, url = 'https://localhost:{}/', profile = {profile:?} {more} }}]",
            address.port()
        );
        let lab = own.with("federation.domains", &domain).with("federation.roots_file", &roots).start().await;
        eventually("the bundle is read", async || fetches(&lab, "ok").await == 1).await;
        assert_eq!((metric(&lab, "roots").await, metric(&lab, "token_keys").await), (1, 2), "{profile}");
    }
}

#[test]
fn relations_that_leave_something_open_are_refused() {
    let check = |table: &str, wanted: &str| {
        let setup = Setup::new().with("federation.domains", &format!("[{{ {table} }}]"));
        let told = setup.config().map(|_| ()).map_err(|error| error.to_string());
        match wanted {
            "" => assert_eq!(told, Ok(()), "{table}"),
            _ => assert!(told.as_ref().is_err_and(|told| told.contains(wanted)), "{table}: {told:?}"),
        }
    };
    let (domain, url, web) = ("trust_domain = 'a.example'", "url = 'https://b.example/x'", "profile = 'https_web'");
    let spiffe = "profile = 'https_spiffe', endpoint_id = 'spiffe://a.example/x'";
    check(&format!("{domain}, {url}, {web}"), "");
    check(&format!("{domain}, {url}, {spiffe}, bundle_file = 'x'"), "");
    check(&format!("{url}, {web}"), "`federation.domains[0].trust_domain`");
    check(&format!("{domain}, {web}"), "`federation.domains[0].url`");
    check(&format!("{domain}, {url}"), "`federation.domains[0].profile`");
    check(&format!("{domain}, {url}, profile = 'web'"), "is not `https_web` or `https_spiffe`");
    check(&format!("trust_domain = 'A', {url}, {web}"), "`federation.domains[0].trust_domain`");
    check(&format!("trust_domain = 'cluster.local', {url}, {web}"), "is the own trust domain");
    for url in
        ["http://b.example", "https://u@b.example", "https://b.example/#x", "b.example", "/x", "file:///etc/passwd"]
    {
        check(&format!("{domain}, url = '{url}', {web}"), "must be an https URL");
    }
    check(&format!("{domain}, {url}, profile = 'https_spiffe', bundle_file = 'x'"), "needs `endpoint_id`");
    check(&format!("{domain}, {url}, {spiffe}"), "needs `bundle_file`");
    let foreign = "profile = 'https_spiffe', endpoint_id = 'spiffe://b.example/x', bundle_file = 'x'";
    check(&format!("{domain}, {url}, {foreign}"), "an id of the same trust domain");
    check(&format!("{domain}, {url}, {web}, endpoint_id = 'spiffe://a.example/x'"), "goes with profile");
    check(&format!("{domain}, {url}, {web} }}, {{ {domain}, {url}, {web}"), "there twice");
}
