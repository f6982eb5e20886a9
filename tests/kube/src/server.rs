//! The server on loopback: connections, faults on the way, and what a test may ask of it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use signet_runtime::Clock;
use signet_testkit::TokenIssuer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::API_AUDIENCE;
use crate::answer::{self, Body, JSON, Reply};
use crate::call::{Call, Seen};
use crate::faults::{Effect, Faults};
use crate::handle::Shared;
use crate::objects::Objects;
use crate::status::Failure;
use crate::tls::Tls;

/// Largest request body, as the real server has it.
const BODY_MAX_BYTES: usize = 3 * 1024 * 1024;

/// How a server is set up.
pub struct Options {
    /// Tells its time.
    pub clock: Clock,
    /// Signs its tokens.
    pub issuer: TokenIssuer,
    /// Whether it speaks HTTPS.
    pub tls: bool,
    /// Time between two bookmarks of a watch; about a minute for the real one.
    pub bookmark_every: Duration,
    /// The versions of `certificates.k8s.io` that serve ClusterTrustBundles.
    pub bundle_versions: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Clock::system(),
            issuer: TokenIssuer::rs256(),
            tls: true,
            bookmark_every: Duration::from_secs(60),
            bundle_versions: vec!["v1beta1".to_owned()],
        }
    }
}

/// A running server. Dropping it ends it.
pub struct ApiServer {
    shared: Arc<Shared>,
    tls: Option<Arc<Tls>>,
    address: SocketAddr,
    /// The one that accepts; it owns the connections.
    running: JoinSet<()>,
}

impl ApiServer {
    /// Starts one on a free port, with the namespaces of a fresh cluster.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start(options: Options) -> Self {
        let Options { clock, issuer, tls, bookmark_every, bundle_versions } = options;
        let shared = Arc::new(Shared::new(issuer, clock, bookmark_every, bundle_versions));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port should be free");
        let address = listener.local_addr().expect("a listener should have an address");
        let tls = tls.then(|| Arc::new(Tls::new()));
        let mut server = Self { shared, tls, address, running: JoinSet::new() };
        server.shared.base.set(server.url()).expect("the address should be set once");
        for namespace in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            server.objects().create(&crate::objects::namespace(namespace));
        }
        server.accept(listener);
        server
    }

    /// Its URL, without a path.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The root that its certificate is signed by.
    ///
    /// # Panics
    /// When it does not speak HTTPS.
    pub fn ca_pem(&self) -> &str {
        &self.tls.as_ref().expect("the server should speak HTTPS").ca_pem
    }

    /// A bearer token that may do everything.
    pub fn administrator(&self) -> &str {
        &self.shared.administrator
    }

    /// Its objects, as an administrator with no network between sees them.
    pub fn objects(&self) -> Objects {
        Objects::new(self.shared.clone())
    }

    /// What goes wrong.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// A token of a service account, bound to `pod` if one is named, as kubelet would fetch it.
    ///
    /// # Panics
    /// When service account or pod are not there.
    pub fn token(&self, namespace: &str, name: &str, pod: Option<&str>, audience: &str, secs: u32) -> String {
        let mut spec = json!({ "audiences": [audience], "expirationSeconds": secs });
        if let Some(pod) = pod {
            spec["boundObjectRef"] = json!({ "kind": "Pod", "apiVersion": "v1", "name": pod });
        }
        let body = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec });
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
        let answer = self.objects().send("POST", &path, &body);
        assert_eq!(answer.status, 201, "a token should be made: {}", answer.body);
        answer.body["status"]["token"].as_str().unwrap_or_default().to_owned()
    }

    /// A token of a service account for this server itself.
    ///
    /// # Panics
    /// When the service account is not there.
    pub fn api_token(&self, namespace: &str, name: &str) -> String {
        self.token(namespace, name, None, API_AUDIENCE, 3600)
    }

    /// Signs new tokens with another key; the old keys stay published.
    pub fn add_issuer(&self, issuer: TokenIssuer) {
        self.shared.issuers.lock().unwrap_or_else(PoisonError::into_inner).push(issuer);
    }

    /// Takes all keys but the newest out of the published set.
    pub fn drop_old_issuers(&self) {
        let mut issuers = self.shared.issuers.lock().unwrap_or_else(PoisonError::into_inner);
        let old = issuers.len().saturating_sub(1);
        issuers.drain(..old);
    }

    /// Forgets the history: watches and continued lists from before are gone.
    pub fn compact(&self) {
        self.shared.store().tick();
        self.shared.store().compact();
        self.shared.announce();
    }

    /// The newest revision.
    pub fn revision(&self) -> u64 {
        self.shared.store().revision()
    }

    /// Becomes what it was at `revision`, as after a restore from a backup, and breaks every connection.
    ///
    /// # Panics
    /// When somebody else took the port in between.
    pub async fn roll_back(&mut self, revision: u64) {
        self.stop().await;
        self.shared.store().roll_back(revision);
        self.shared.announce();
        self.resume().await;
    }

    /// Counts the revision up, as writes to what nobody watches do.
    pub fn tick(&self) {
        self.shared.store().tick();
        self.shared.announce();
    }

    /// Whether a watch from a compacted revision is refused by the HTTP status already, and not by its first line.
    pub fn say_gone_by_status(&self, by_status: bool) {
        self.shared.gone_by_status.store(by_status, Ordering::SeqCst);
    }

    /// How many requests came that `matches`.
    pub fn count(&self, matches: impl Fn(&Seen) -> bool) -> usize {
        let seen = self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter(|seen| matches(seen)).count()
    }

    /// Closes the port and every connection. What is stored stays.
    pub async fn stop(&mut self) {
        self.running.shutdown().await;
    }

    /// Opens the port again after [`ApiServer::stop`].
    ///
    /// # Panics
    /// When somebody else took the port.
    pub async fn resume(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("the port should still be free");
        self.accept(listener);
    }

    /// Breaks every connection; new ones are accepted.
    ///
    /// # Panics
    /// When somebody else took the port in between.
    pub async fn disconnect(&mut self) {
        self.stop().await;
        self.resume().await;
    }

    fn accept(&mut self, listener: TcpListener) {
        let (shared, tls) = (self.shared.clone(), self.tls.clone());
        self.running.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                while connections.try_join_next().is_some() {}
                let (shared, tls) = (shared.clone(), tls.clone());
                // Small answers should leave at once, as they do with the real one.
                stream.set_nodelay(true).expect("a socket should take its options");
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, shared).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.acceptor.accept(stream).await {
                                serve(stream, shared).await;
                            }
                        }
                    }
                });
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) {
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(respond(&shared, request).await) }
    });
    let served = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
    // A connection that broke is the client's affair, or a fault that was asked for.
    drop(served);
}

async fn respond(shared: &Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_MAX_BYTES).collect().await else {
        return Reply::json(413, Value::Null).into_response();
    };
    let call = Call::new(&parts, body.to_bytes());
    let seen = call.seen();
    shared.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen.clone());
    let right = || shared.reply(&call).into_response();
    match shared.faults.of(&seen) {
        None => right(),
        Some(Effect::Status(code)) => Reply::from(Failure::made_up(code)).into_response(),
        Some(Effect::TooMany(secs)) => {
            let mut response = Reply::from(Failure::made_up(429)).into_response();
            answer::retry_after(&mut response, secs);
            response
        }
        Some(Effect::Slow(wait)) => {
            tokio::time::sleep(wait).await;
            right()
        }
        Some(Effect::Silence) => std::future::pending().await,
        Some(Effect::CutAfter(bytes)) => answer::cut(right(), bytes),
        Some(Effect::StallAfter(bytes)) => answer::stall(right(), bytes),
        Some(Effect::Body(body)) => answer::response(200, JSON, Bytes::from(body)),
    }
}
