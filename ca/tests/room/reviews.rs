//! Tokens that an API server reviews: what is asked of it, how often, and what its answers and silences mean.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use signet_ca::authenticate::{ReviewCall, ReviewCallError, ReviewStatus, TokenReviews};
use signet_ca::callers::ClusterLink;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::Code;

use crate::lab::{HOUR, Lab, Setup, any_csr, now};
use crate::objects::Objects;

const OK: &str = include_str!("../fixtures/kube-apiserver/tokenreview-ok.json");
const POD_DELETED: &str = include_str!("../fixtures/kube-apiserver/tokenreview-pod-deleted.json");

/// How the API server answers.
#[derive(Debug, Clone)]
enum Answer {
    Body(String),
    Status(u16),
    Silence,
}

/// An API server on loopback that answers every review alike.
struct ApiServer {
    address: SocketAddr,
    answer: watch::Sender<Answer>,
    asked: Arc<AtomicUsize>,
    _running: JoinSet<()>,
}

impl ApiServer {
    async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let (answer, current) = watch::channel(answer);
        let (mut running, counter) = (JoinSet::new(), asked.clone());
        running.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                let answer = current.borrow().clone();
                open.spawn(reply(stream, answer));
            }
        });
        Self { address, answer, asked, _running: running }
    }

    fn link(&self) -> ClusterLink {
        ClusterLink { reviews: Some(Arc::new(OverTcp(self.address))), ..ClusterLink::default() }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn reply(mut stream: TcpStream, answer: Answer) {
    let (status, body) = match answer {
        Answer::Body(body) => (201, body),
        Answer::Status(status) => (status, "{}".to_owned()),
        Answer::Silence => return std::future::pending().await,
    };
    let mut request = [0; 32 * 1024];
    let _ = stream.read(&mut request).await;
    let _ = stream.write_all(format!("HTTP/1.1 {status} x\r\nConnection: close\r\n\r\n{body}").as_bytes()).await;
}

/// Asks for reviews with the least HTTP there is.
#[derive(Debug)]
struct OverTcp(SocketAddr);

impl TokenReviews for OverTcp {
    fn create<'a>(&'a self, token: &'a str, audiences: &'a [String]) -> ReviewCall<'a> {
        Box::pin(async move {
            let failed = |reason: std::io::Error| ReviewCallError::NoAnswer { reason: reason.to_string() };
            let body = json!({ "spec": { "token": token, "audiences": audiences } }).to_string();
            let mut stream = TcpStream::connect(self.0).await.map_err(failed)?;
            let head = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).await.map_err(failed)?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.map_err(failed)?;
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
            match head.contains(" 201 ") {
                true => ReviewStatus::from_json(body.as_bytes()),
                false => Err(ReviewCallError::NoAnswer { reason: "no review".to_owned() }),
            }
        })
    }
}

/// The body of a recorded answer.
fn body(recorded: &str) -> Answer {
    let exchange: Value = serde_json::from_str(recorded).unwrap();
    Answer::Body(exchange["response"]["body"].to_string())
}

async fn start(mode: &str, server: &ApiServer) -> Lab {
    let setup = Setup::new().with("tokens.mode", &format!("'{mode}'")).with_link("Kubernetes", server.link());
    setup.start().await
}

async fn code(lab: &Lab, token: &str) -> Code {
    lab.ask(token, &any_csr(), 60).await.map_or_else(|status| status.code(), |_| Code::Ok)
}

#[tokio::test]
async fn what_the_api_server_accepts_is_accepted_and_not_asked_again_for_a_while() {
    let server = ApiServer::start(body(OK)).await;
    let lab = start("review", &server).await;
    let token = lab.token();
    for _ in 0..3 {
        assert_eq!(code(&lab, &token).await, Code::Ok);
    }
    assert_eq!(server.asked(), 1);
    let accepted = "signet_ca_authentications_total{authenticator=\"token-review\",verdict=\"accepted\"}";
    assert_eq!(lab.metric(accepted).await, 3);
}

#[tokio::test]
async fn what_it_refuses_is_refused_and_not_asked_again_for_a_while() {
    let server = ApiServer::start(body(POD_DELETED)).await;
    let lab = start("review", &server).await;
    let token = lab.token();
    for _ in 0..3 {
        assert_eq!(code(&lab, &token).await, Code::Unauthenticated);
    }
    assert_eq!(server.asked(), 1);
    assert_eq!(lab.metric("signet_ca_refusals_total{reason=\"review_refused\"}").await, 3);
}

#[tokio::test]
async fn an_api_server_that_is_away_or_wrong_decides_nothing_and_nothing_is_remembered_of_it() {
    let server = ApiServer::start(Answer::Status(503)).await;
    let lab = start("review", &server).await;
    let token = lab.token();
    for away in [Answer::Status(503), Answer::Status(403), Answer::Status(429), Answer::Body("{}".to_owned())] {
        server.answer.send_replace(away);
        assert_eq!(code(&lab, &token).await, Code::Unavailable);
    }
    server.answer.send_replace(Answer::Silence);
    let began = std::time::Instant::now();
    assert_eq!(code(&lab, &token).await, Code::Unavailable);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    server.answer.send_replace(body(OK));
    assert_eq!(code(&lab, &token).await, Code::Ok);
}

#[tokio::test]
async fn forgeries_and_what_is_no_token_never_reach_it() {
    let server = ApiServer::start(body(OK)).await;
    let lab = start("review", &server).await;
    let claims = lab.setup.issuer.claims("shop", "web", now(), HOUR);
    for _ in 0..20 {
        assert_eq!(code(&lab, &lab.setup.issuer.bad_signature(&claims)).await, Code::Unauthenticated);
    }
    for nonsense in ["x", "x.y", "a.b.c.d", "..", "a b.c.d"] {
        assert_eq!(code(&lab, nonsense).await, Code::Unauthenticated, "{nonsense}");
    }
    let foreign = signet_testkit::TokenIssuer::es256().named("https://elsewhere");
    assert_eq!(code(&lab, &foreign.token("shop", "web", now(), HOUR)).await, Code::Unauthenticated);
    assert_eq!(server.asked(), 0);
}

#[tokio::test]
async fn a_flood_of_new_tokens_is_let_through_at_the_operators_rate_and_forgets_no_good_one() {
    let server = ApiServer::start(body(OK)).await;
    let setup = Setup::new().with("tokens.mode", "'review'").with("tokens.reviews_per_second", "1");
    let lab = setup.with_link("Kubernetes", server.link()).start().await;
    let good = lab.token();
    assert_eq!(code(&lab, &good).await, Code::Ok);
    server.answer.send_replace(body(POD_DELETED));
    let before = server.asked();
    let began = std::time::Instant::now();
    let mut turned_away = 0;
    for _ in 0..30 {
        turned_away += usize::from(code(&lab, &lab.token()).await == Code::Unavailable);
    }
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    assert!(server.asked() - before <= seconds + 2, "{} in {seconds} s", server.asked() - before);
    assert!(turned_away >= 30 - seconds - 2, "{turned_away}");
    assert_eq!(code(&lab, &good).await, Code::Ok);
}

#[tokio::test]
async fn whoever_makes_keys_up_leaves_reviews_to_those_whose_keys_are_known() {
    let server = ApiServer::start(body(POD_DELETED)).await;
    let setup = Setup::new().with("tokens.mode", "'review'").with("tokens.reviews_per_second", "2");
    let lab = setup.with_link("Kubernetes", server.link()).start().await;
    let made_up = async || {
        let claims = lab.setup.issuer.claims("shop", "web", now(), HOUR);
        code(&lab, &lab.setup.issuer.unknown_kid(&claims)).await
    };
    assert_eq!((made_up().await, server.asked()), (Code::Unauthenticated, 1), "it may be good, after a change of keys");
    let mut turned_away = 0;
    for _ in 0..20 {
        turned_away += usize::from(made_up().await == Code::Unavailable);
    }
    assert!(turned_away > 0);
    server.answer.send_replace(body(OK));
    assert_eq!(code(&lab, &lab.token()).await, Code::Ok);
}

#[tokio::test]
async fn readiness_tells_when_nobody_is_reviewed_any_more_and_when_that_is_over() {
    let server = ApiServer::start(Answer::Status(500)).await;
    let lab = start("review", &server).await;
    lab.wait_ready().await;
    let told = async || lab.get("/healthz/ready").await;
    let remark = "token reviews: nobody new is identified, as reviews of tokens fail: review_no_answer";
    for _ in 0..5 {
        assert!(!told().await.1.contains("token reviews"), "one failure is an accident");
        let status = lab.ask(&lab.token(), &any_csr(), 60).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.metadata().contains_key("grpc-retry-pushback-ms"), "{status:?}");
    }
    let (code, text) = told().await;
    assert!(code == 200 && text.contains(remark), "{code} {text}");
    server.answer.send_replace(body(OK));
    lab.issue().await;
    assert!(!told().await.1.contains("token reviews"));
}

#[tokio::test]
async fn local_then_review_asks_only_where_it_cannot_decide_here() {
    let server = ApiServer::start(body(OK)).await;
    let unsynced = ClusterLink { view: Objects::unsynced().link.view, ..server.link() };
    let setup = Setup::new().with("tokens.mode", "'local-then-review'").with_link("Kubernetes", unsynced);
    let lab = setup.start().await;
    assert_eq!((code(&lab, &lab.token()).await, server.asked()), (Code::Ok, 1));
    let expired = lab.setup.issuer.token("shop", "web", now().minus(2 * HOUR), HOUR);
    assert_eq!((code(&lab, &expired).await, server.asked()), (Code::Unauthenticated, 1), "that was decided here");
    server.answer.send_replace(body(POD_DELETED));
    assert_eq!(code(&lab, &lab.token()).await, Code::Unauthenticated);

    let lab = start("local-then-review", &server).await;
    let before = server.asked();
    assert_eq!((code(&lab, &lab.token()).await, server.asked()), (Code::Ok, before));
}

#[tokio::test]
async fn reviews_are_counted_and_timed_and_what_is_remembered_is_not() {
    let server = ApiServer::start(body(OK)).await;
    let lab = start("review", &server).await;
    let token = lab.token();
    for _ in 0..3 {
        code(&lab, &token).await;
    }
    assert_eq!(lab.metric("signet_ca_token_reviews_total{result=\"answered\"}").await, 1);
    assert_eq!(lab.metric("signet_ca_token_review_seconds_count").await, 1);
    server.answer.send_replace(Answer::Status(500));
    code(&lab, &lab.setup.issuer.token("shop", "other", lab.now(), HOUR)).await;
    assert_eq!(lab.metric("signet_ca_token_reviews_total{result=\"failed\"}").await, 1);
}
