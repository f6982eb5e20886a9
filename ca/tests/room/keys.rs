//! The issuer's keys: a file that changes, a URL that is slow, wrong, gone or back again.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use signet_identity::Lifetime;
use signet_testkit::{TestCa, TokenIssuer, knobs};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tonic::Code;

use crate::lab::{HOUR, Lab, Setup, any_csr, eventually, now, request};

/// How the stand-in for an issuer's endpoint answers.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Keys(String),
    Status(u16),
    /// Accepts and says nothing.
    Silence,
    /// Closes at once.
    Nothing,
}

/// A stand-in for an issuer's endpoint.
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    pub(crate) answer: watch::Sender<Answer>,
    asked: Arc<AtomicUsize>,
    _running: JoinSet<()>,
}

impl Endpoint {
    pub(crate) async fn start(answer: Answer) -> Self {
        Self::start_with(answer, None).await
    }

    async fn start_with(answer: Answer, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let (answer, current) = watch::channel(answer);
        let mut running = JoinSet::new();
        let counter = asked.clone();
        running.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                let (answer, tls) = (current.borrow().clone(), tls.clone());
                open.spawn(async move {
                    match tls {
                        None => reply(stream, answer).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                reply(stream, answer).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, answer, asked, _running: running }
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn setup(&self) -> Setup {
        self.setup_with("http")
    }

    fn setup_with(&self, scheme: &str) -> Setup {
        let url = format!("'{scheme}://{}/openid/v1/jwks'", self.address);
        Setup::new().without("tokens.jwks_file").with("tokens.jwks_url", &url)
    }
}

async fn reply(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: Answer) {
    let mut head = [0; 1024];
    let _ = stream.read(&mut head).await;
    let (status, body) = match answer {
        Answer::Keys(body) => (200, body),
        Answer::Status(status) => (status, "{\"keys\":[]}".to_owned()),
        Answer::Silence => return std::future::pending().await,
        Answer::Nothing => return,
    };
    let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body.as_bytes()).await;
    let _ = stream.shutdown().await;
}

fn token_of(issuer: &TokenIssuer) -> String {
    issuer.token("shop", "web", now(), HOUR)
}

async fn code(lab: &Lab, token: &str) -> Code {
    lab.ask(token, &any_csr(), 60).await.map_or_else(|status| status.code(), |_| Code::Ok)
}

#[tokio::test]
async fn a_key_file_replaced_at_run_time_is_followed_both_ways() {
    let lab = Lab::start().await;
    let (path, newcomer) = (lab.setup.path("jwks.json"), TokenIssuer::es256());
    assert_eq!(code(&lab, &token_of(&newcomer)).await, Code::Unauthenticated);
    fs::write(path, newcomer.jwks_json()).unwrap();
    eventually("the new key works", async || code(&lab, &token_of(&newcomer)).await == Code::Ok).await;
    let old = lab.setup.issuer.token("shop", "web", now().minus(HOUR / 2), HOUR);
    assert_eq!(code(&lab, &old).await, Code::Unauthenticated, "the old key is gone");
}

#[tokio::test]
async fn a_first_unknown_key_is_looked_up_at_once() {
    let lab = Lab::start().await;
    let newcomer = TokenIssuer::es256();
    fs::write(lab.setup.path("jwks.json"), newcomer.jwks_json()).unwrap();
    assert_eq!(code(&lab, &token_of(&newcomer)).await, Code::Ok);
}

#[tokio::test]
async fn a_key_file_that_goes_bad_leaves_the_known_keys_in_use() {
    let lab = Setup::new().with("tokens.jwks_refresh", "'1s'").start().await;
    let failed = "signet_ca_key_refreshes_total{result=\"failed\"}";
    for bad in ["", "{", "{\"keys\":[]}", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AA\"}]}"] {
        let before = lab.metric(failed).await;
        fs::write(lab.setup.path("jwks.json"), bad).unwrap();
        eventually("the file was read", async || lab.metric(failed).await > before).await;
        assert_eq!(code(&lab, &lab.token()).await, Code::Ok, "{bad:?}");
    }
    fs::remove_file(lab.setup.path("jwks.json")).unwrap();
    assert_eq!(code(&lab, &lab.token()).await, Code::Ok);
    assert_eq!(lab.get("/healthz/ready").await.0, 200);
    let unknown = token_of(&TokenIssuer::es256());
    assert_eq!(code(&lab, &unknown).await, Code::Unavailable, "whether that key is good cannot be found out");
}

#[tokio::test]
async fn a_url_that_is_down_leaves_the_server_up_but_not_ready_until_it_is_back() {
    for down in [Answer::Nothing, Answer::Status(503), Answer::Keys("no json".to_owned())] {
        let endpoint = Endpoint::start(down).await;
        let lab = endpoint.setup().start().await;
        let status = lab.ask(&lab.token(), &any_csr(), 60).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert_eq!(lab.metric("signet_ca_refusals_total{reason=\"keys_never_obtained\"}").await, 1);
        let (code, reasons) = lab.get("/healthz/ready").await;
        assert!(code == 503 && reasons.contains("issuer keys"), "{code} {reasons}");
        endpoint.answer.send_replace(Answer::Keys(lab.setup.issuer.jwks_json()));
        lab.wait_ready().await;
        lab.issue().await;
    }
}

#[tokio::test]
async fn a_url_that_never_answers_holds_nobody_up() {
    let endpoint = Endpoint::start(Answer::Silence).await;
    let began = Instant::now();
    let lab = endpoint.setup().start().await;
    assert_eq!(code(&lab, &lab.token()).await, Code::Unavailable);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_key_set_over_the_bound_is_not_read() {
    let endpoint = Endpoint::start(Answer::Keys(format!("{{\"keys\":[]}}{}", " ".repeat(1 << 20)))).await;
    let lab = endpoint.setup().start().await;
    let failed = "signet_ca_key_refreshes_total{result=\"failed\"}";
    eventually("the fetch failed", async || lab.metric(failed).await > 0).await;
    assert_eq!(code(&lab, &lab.token()).await, Code::Unavailable);
}

#[tokio::test]
async fn rotated_keys_are_fetched_when_a_token_names_one() {
    let (old, new) = (TokenIssuer::es256(), TokenIssuer::es256());
    let endpoint = Endpoint::start(Answer::Keys(old.jwks_json())).await;
    let lab = endpoint.setup().start().await;
    lab.wait_ready().await;
    assert_eq!(code(&lab, &token_of(&old)).await, Code::Ok);
    endpoint.answer.send_replace(Answer::Keys(new.jwks_json()));
    assert_eq!(code(&lab, &token_of(&new)).await, Code::Ok);
    assert_eq!(endpoint.asked(), 2);
}

#[tokio::test]
async fn an_outage_is_not_felt_by_tokens_of_known_keys() {
    let issuer = TokenIssuer::es256();
    let endpoint = Endpoint::start(Answer::Keys(issuer.jwks_json())).await;
    let lab = endpoint.setup().with("tokens.jwks_refresh", "'1s'").start().await;
    lab.wait_ready().await;
    endpoint.answer.send_replace(Answer::Nothing);
    let failed = "signet_ca_key_refreshes_total{result=\"failed\"}";
    eventually("a refresh failed", async || lab.metric(failed).await > 0).await;
    assert_eq!(code(&lab, &token_of(&issuer)).await, Code::Ok);
    assert_eq!(code(&lab, &token_of(&TokenIssuer::es256())).await, Code::Unavailable);
    assert_eq!(lab.metric("signet_ca_refusals_total{reason=\"keys_not_refreshed\"}").await, 1);
}

#[tokio::test]
async fn a_flood_of_unknown_keys_is_no_flood_of_fetches() {
    let issuer = TokenIssuer::es256();
    let endpoint = Endpoint::start(Answer::Keys(issuer.jwks_json())).await;
    let lab = endpoint.setup().start().await;
    lab.wait_ready().await;
    // Made before the set was read that does not have their key, so that however long this takes it is known to be none.
    let unknown = issuer.unknown_kid(&issuer.claims("shop", "web", now().minus(HOUR / 2), HOUR));
    let (client, began) = (lab.client().await, Instant::now());
    let mut flood = JoinSet::new();
    for _ in 0..200 {
        let (mut client, request) = (client.clone(), request(&unknown, &any_csr(), 60));
        flood.spawn(async move { client.create_certificate(request).await.unwrap_err().code() });
    }
    let codes = flood.join_all().await;
    // Beyond what one connection may bring in vain, tokens are not looked at any more.
    let (refused, others): (Vec<_>, Vec<_>) = codes.into_iter().partition(|code| *code == Code::Unauthenticated);
    assert!(refused.len() >= 64, "{refused:?}");
    assert!(others.iter().all(|code| *code == Code::ResourceExhausted), "{others:?}");
    check_fetches(&endpoint, began);
    assert_eq!(code(&lab, &token_of(&issuer)).await, Code::Ok);
}

/// One fetch at the start, and one in ten seconds for all that was asked since `began`.
fn check_fetches(endpoint: &Endpoint, began: Instant) {
    let allowed = 2 + began.elapsed().as_secs() / 10;
    assert!(endpoint.asked() as u64 <= allowed, "{} fetches, {allowed} are allowed", endpoint.asked());
}

#[tokio::test]
async fn unknown_keys_that_come_one_after_the_other_share_a_fetch_too() {
    let issuer = TokenIssuer::es256();
    let endpoint = Endpoint::start(Answer::Keys(issuer.jwks_json())).await;
    let lab = endpoint.setup().start().await;
    lab.wait_ready().await;
    let (mut client, began) = (lab.client().await, Instant::now());
    // Made before the set was read that does not have their keys.
    let claims = issuer.claims("shop", "web", now().minus(HOUR / 2), HOUR);
    for number in 0..40 {
        let header = serde_json::json!({ "alg": "ES256", "kid": format!("invented-{number}") });
        let token = issuer.sign_with_header(&header, &claims);
        let status = client.create_certificate(request(&token, &any_csr(), 60)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{number}");
    }
    assert!(endpoint.asked() >= 2, "the first should have asked");
    check_fetches(&endpoint, began);
}

#[tokio::test]
async fn after_a_change_of_keys_no_good_token_is_refused_for_good() {
    let (old, new) = (TokenIssuer::es256(), TokenIssuer::es256());
    let endpoint = Endpoint::start(Answer::Keys(old.jwks_json())).await;
    let lab = endpoint.setup().start().await;
    lab.wait_ready().await;
    // Whoever wants to shut the window: the set was read just now and is not read again for ten seconds.
    assert_eq!(code(&lab, &token_of(&TokenIssuer::es256())).await, Code::Unauthenticated);
    endpoint.answer.send_replace(Answer::Keys(new.jwks_json()));
    let status = lab.ask(&token_of(&new), &any_csr(), 60).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(status.metadata().contains_key("grpc-retry-pushback-ms"));
    assert_eq!(lab.metric("citadel_server_success_cert_issuance_count").await, 0);
}

#[tokio::test]
async fn a_request_that_waits_for_keys_when_the_server_stops_is_answered() {
    let issuer = TokenIssuer::es256();
    let endpoint = Endpoint::start(Answer::Keys(issuer.jwks_json())).await;
    let lab = endpoint.setup().start().await;
    lab.wait_ready().await;
    endpoint.answer.send_replace(Answer::Silence);
    let mut client = lab.client().await;
    let unknown = request(&token_of(&TokenIssuer::es256()), &any_csr(), 60);
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { client.create_certificate(unknown).await.unwrap_err().code() });
    eventually("the request is under way", async || endpoint.asked() == 2).await;
    lab.stop().await;
    assert_eq!(waiting.join_next().await.unwrap().unwrap(), Code::Unavailable);
}

fn tls(ca: &TestCa) -> TlsAcceptor {
    let hour = Lifetime::new(now().minus(HOUR), now().plus(HOUR)).unwrap();
    let leaf = ca.leaf("spiffe://cluster.local/ns/kube-system/sa/api", hour).with(knobs::add_dns("localhost")).issue();
    let key = PrivateKeyDer::Pkcs8(leaf.key().to_pkcs8().to_vec().into());
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(leaf.der().to_vec())], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn keys_come_over_https_from_a_server_that_the_given_roots_vouch_for() {
    let (ca, stranger) = (TestCa::root("cluster.local"), TestCa::root("cluster.local"));
    let issuer = TokenIssuer::es256();
    let endpoint = Endpoint::start_with(Answer::Keys(issuer.jwks_json()), Some(tls(&ca))).await;
    let setup = |ca: &TestCa| {
        let url = format!("'https://localhost:{}/jwks'", endpoint.address.port());
        let setup = endpoint.setup().with("tokens.jwks_url", &url);
        let path = setup.path("api-ca.pem");
        fs::write(&path, ca.pem()).unwrap();
        setup.with("tokens.jwks_ca_file", &format!("{:?}", path.to_str().unwrap()))
    };
    let lab = setup(&ca).start().await;
    lab.wait_ready().await;
    assert_eq!(code(&lab, &token_of(&issuer)).await, Code::Ok);

    let lab = setup(&stranger).start().await;
    let failed = "signet_ca_key_refreshes_total{result=\"failed\"}";
    eventually("the fetch failed", async || lab.metric(failed).await > 0).await;
    assert_eq!(code(&lab, &token_of(&issuer)).await, Code::Unavailable);
    fs::write(lab.setup.path("api-ca.pem"), ca.pem()).unwrap();
    lab.wait_ready().await;
}
