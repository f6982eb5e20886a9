//! A storm: agents that all come within ten seconds, each on a connection of its own, and thrice as many bad tokens.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use signet_proto::istio_ca::IstioCertificateRequest;
use signet_proto::istio_ca::istio_certificate_service_client::IstioCertificateServiceClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};

use crate::material::{Caller, Material};
use crate::process::Server;
use crate::stats::percentile;

pub(crate) const AGENTS: usize = 10_000;
pub(crate) const SPAN: Duration = Duration::from_secs(10);

/// Bad tokens for each agent.
pub(crate) const BAD_PER_AGENT: usize = 3;

/// Connections that bring them.
const BAD_CONNECTIONS: usize = 100;

/// Attempts of an agent, and the first wait between two: pilot-agent's.
const ATTEMPTS: usize = 5;
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// Time between two questions about health.
const HEALTH_INTERVAL: Duration = Duration::from_millis(20);

/// Processes that ask in a cluster stand on nodes of so many pods.
const PODS_PER_NODE: usize = 250;

/// Nobody waits longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(30);

type Failure = Box<dyn Error + Send + Sync>;

pub(crate) struct Measured {
    /// Agents that have their certificate.
    pub(crate) issued: usize,
    /// Attempts that the server turned away, and the agents tried again.
    pub(crate) tried_again: usize,
    /// Bad tokens that were sent.
    pub(crate) bad: usize,
    /// Of these, turned away without being looked at.
    pub(crate) bad_unseen: usize,
    /// Seconds from the first agent to the last certificate.
    pub(crate) secs: f64,
    /// Seconds from an agent's first packet to its certificate.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Seconds of a question about health, connection included.
    pub(crate) health_p99: f64,
    pub(crate) health_max: f64,
    /// Questions that were not answered with 200.
    pub(crate) health_failed: usize,
    /// Bytes of the server's memory at most.
    pub(crate) peak_memory: u64,
    /// Seconds of the server's processor time in all.
    pub(crate) server_cpu: f64,
}

/// Measures a server on the whole machine; the connections of all agents stay open to the end.
pub(crate) fn measure(material: &Material, agents: Vec<Caller>) -> Result<Measured, Box<dyn Error>> {
    let server = Server::start(material, "storm", &[], None)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let before = server.cpu_secs()?;
    let mut measured = runtime.block_on(storm(&server, agents)).map_err(|error| error.to_string())?;
    measured.server_cpu = server.cpu_secs()? - before;
    measured.peak_memory = server.memory()?.1;
    Ok(measured)
}

async fn storm(server: &Server, agents: Vec<Caller>) -> Result<Measured, Failure> {
    let world = Arc::new(World::new(server)?);
    let count = agents.len();
    let (over, until) = watch::channel(false);
    let mut health = JoinSet::new();
    health.spawn(watch_health(server.admin, until));
    let mut bad = JoinSet::new();
    for number in 0..BAD_CONNECTIONS {
        bad.spawn(bring_bad_tokens(world.clone(), number, count * BAD_PER_AGENT / BAD_CONNECTIONS));
    }
    let began = Instant::now();
    let mut running = JoinSet::new();
    for (number, caller) in agents.into_iter().enumerate() {
        let due = began + SPAN.mul_f64(number as f64 / count as f64);
        running.spawn(agent(world.clone(), number, caller, due));
    }
    let (mut latencies, mut tried_again, mut open) = (Vec::with_capacity(count), 0, Vec::with_capacity(count));
    while let Some(ended) = running.join_next().await {
        let Outcome { latency, attempts, channel } = ended?;
        tried_again += attempts.saturating_sub(1);
        latencies.extend(latency);
        open.push(channel);
    }
    let secs = began.elapsed().as_secs_f64();
    let (mut sent, mut unseen) = (0, 0);
    while let Some(ended) = bad.join_next().await {
        let (of_one, of_these_unseen) = ended??;
        (sent, unseen) = (sent + of_one, unseen + of_these_unseen);
    }
    over.send_replace(true);
    let health = health.join_next().await.ok_or("health should be watched")??;
    Ok(Measured {
        issued: latencies.len(),
        tried_again,
        bad: sent,
        bad_unseen: unseen,
        secs,
        p50: percentile(&latencies, 50),
        p99: percentile(&latencies, 99),
        health_p99: percentile(&health.answered, 99),
        health_max: percentile(&health.answered, 100),
        health_failed: health.failed,
        peak_memory: 0,
        server_cpu: 0.0,
    })
}

/// Where everybody connects to.
struct World {
    listen: SocketAddr,
    tls: TlsConnector,
    name: ServerName<'static>,
}

impl World {
    fn new(server: &Server) -> Result<Self, Failure> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(server.root_pem.as_bytes()).flatten());
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        // Each agent is a process of its own and has no ticket of another.
        config.resumption = rustls::client::Resumption::disabled();
        let name = ServerName::try_from("localhost")?;
        Ok(Self { listen: server.listen, tls: TlsConnector::from(Arc::new(config)), name })
    }

    /// A connection from an address of the loopback network.
    async fn connect(self: &Arc<Self>, source: [u8; 4]) -> Result<Channel, Failure> {
        let world = self.clone();
        let connector = tower::service_fn(move |_| {
            let world = world.clone();
            async move {
                let socket = TcpSocket::new_v4()?;
                socket.bind(SocketAddr::new(IpAddr::from(source), 0))?;
                let stream = socket.connect(world.listen).await?;
                stream.set_nodelay(true)?;
                let tls = world.tls.connect(world.name.clone(), stream).await?;
                Ok::<_, std::io::Error>(TokioIo::new(tls))
            }
        });
        Ok(Endpoint::from_static("http://localhost").connect_with_connector(connector).await?)
    }
}

struct Outcome {
    latency: Option<f64>,
    attempts: usize,
    /// Open as long as this is kept.
    channel: Option<Channel>,
}

/// One agent: as many attempts as pilot-agent makes, on what pilot-agent makes them.
async fn agent(world: Arc<World>, number: usize, caller: Caller, due: Instant) -> Outcome {
    tokio::time::sleep_until(due.into()).await;
    let source = [127, 1, octet(number / PODS_PER_NODE), octet(number % PODS_PER_NODE + 1)];
    let (began, mut wait, mut channel) = (Instant::now(), FIRST_WAIT, None);
    for attempt in 1..=ATTEMPTS {
        if channel.is_none() {
            channel = world.connect(source).await.ok();
        }
        if let Some(open) = &channel {
            match tokio::time::timeout(PATIENCE, ask(open, &caller.token, &caller.csr_pem)).await {
                Ok(Code::Ok) => {
                    return Outcome { latency: Some(began.elapsed().as_secs_f64()), attempts: attempt, channel };
                }
                Ok(Code::ResourceExhausted | Code::Unavailable | Code::DeadlineExceeded) => {}
                Ok(_) | Err(_) => break,
            }
        }
        tokio::time::sleep(wait).await;
        wait *= 2;
    }
    Outcome { latency: None, attempts: ATTEMPTS, channel }
}

async fn ask(channel: &Channel, token: &str, csr: &str) -> Code {
    let Ok(bearer) = format!("Bearer {token}").parse() else { return Code::InvalidArgument };
    let message = IstioCertificateRequest { csr: csr.to_owned(), validity_duration: 86_400, metadata: None };
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", bearer);
    let answered = IstioCertificateServiceClient::new(channel.clone()).create_certificate(request).await;
    answered.map_or_else(|status| status.code(), |_| Code::Ok)
}

/// Sends `count` bad tokens evenly, on one connection; how many were sent, and how many of them were not looked at.
async fn bring_bad_tokens(world: Arc<World>, number: usize, count: usize) -> Result<(usize, usize), Failure> {
    let channel = world.connect([127, 2, 0, octet(number + 1)]).await?;
    let mut pace = tokio::time::interval(SPAN.div_f64(count as f64));
    let mut unseen = 0;
    for number in 0..count {
        pace.tick().await;
        // In form a token, so that it is not refused for its looks.
        let bad = format!("{BAD_TOKEN_HEAD}.eyJuIjp{number:08}.AAAA");
        if ask(&channel, &bad, "none").await == Code::ResourceExhausted {
            unseen += 1;
        }
    }
    Ok((count, unseen))
}

/// `{"alg":"RS256"}`.
const BAD_TOKEN_HEAD: &str = "eyJhbGciOiJSUzI1NiJ9";

#[derive(Default)]
struct Health {
    answered: Vec<f64>,
    failed: usize,
}

async fn watch_health(admin: SocketAddr, mut over: watch::Receiver<bool>) -> Health {
    let mut health = Health::default();
    let mut pace = tokio::time::interval(HEALTH_INTERVAL);
    while !*over.borrow_and_update() {
        pace.tick().await;
        let began = Instant::now();
        match tokio::time::timeout(PATIENCE, is_ready(admin)).await {
            Ok(Ok(true)) => health.answered.push(began.elapsed().as_secs_f64()),
            _ => health.failed += 1,
        }
    }
    health
}

async fn is_ready(admin: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(admin).await?;
    stream.write_all(b"GET /healthz/ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.1 200"))
}

fn octet(number: usize) -> u8 {
    u8::try_from(number % 256).unwrap_or_default()
}
