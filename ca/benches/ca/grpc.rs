//! The whole server over TLS on loopback: a process that has a core to itself, its ledger durable, its log written.

use std::error::Error;
use std::time::{Duration, Instant};

use signet_proto::istio_ca::IstioCertificateRequest;
use signet_proto::istio_ca::istio_certificate_service_client::IstioCertificateServiceClient;
use tokio::task::JoinSet;
use tonic::Request;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use crate::floor::{Floor, Round, between, calm_between};
use crate::material::Material;
use crate::process::Server;
use crate::stats::{Spread, pin_to};

const RUNS: usize = 21;
const RUN: Duration = Duration::from_millis(500);

/// Calm runs that are enough to leave the others out.
const CALM_RUNS_MIN: usize = 3;

const WARM_UP: Duration = Duration::from_millis(500);

/// Bare operations measured before each run, on the server's core.
const FLOOR_OPERATIONS: u32 = 300;

const SERVER_CORE: usize = 0;
const CLIENT_CORE: usize = 1;

type Failure = Box<dyn Error + Send + Sync>;

/// Requests under way at any time, and the connections that carry them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) in_flight: usize,
    pub(crate) connections: usize,
}

pub(crate) struct Measured {
    /// Certificates a second.
    pub(crate) rate: Spread,
    /// Seconds.
    pub(crate) p50: Spread,
    /// Seconds.
    pub(crate) p99: Spread,
    /// Seconds of all the server's threads for one certificate.
    pub(crate) server_cpu: Spread,
    /// The floor over the server's processor time for one certificate, run by run.
    pub(crate) share: Spread,
    /// How many runs went into these.
    pub(crate) runs: usize,
    /// Whether they are those that nothing else on the machine disturbed.
    pub(crate) is_calm: bool,
}

/// One span of load.
struct Run {
    secs: f64,
    latencies: Vec<f64>,
    server_cpu: f64,
    floor: f64,
}

/// Measures `load` of `requests` on `server`.
pub(crate) fn measure(
    material: &Material,
    server: &Server,
    requests: &[(String, IstioCertificateRequest)],
    load: Load,
) -> Result<Measured, Box<dyn Error>> {
    let operations = Floor::new(material)?;
    pin_to(CLIENT_CORE)?;
    let client = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let channels = client.block_on(connect(server, load.connections))?;
    let floor = || -> Result<Round, Box<dyn Error>> {
        pin_to(SERVER_CORE)?;
        let round = operations.round(FLOOR_OPERATIONS);
        pin_to(CLIENT_CORE)?;
        Ok(round)
    };
    let span = |secs| client.block_on(ask(&channels, requests, load.in_flight, secs)).map_err(|e| e.to_string());
    let (mut runs, mut floors) = (Vec::with_capacity(RUNS), Vec::with_capacity(RUNS + 1));
    span(WARM_UP)?;
    floors.push(floor()?);
    for _ in 0..RUNS {
        let before = server.cpu_secs()?;
        let began = Instant::now();
        let latencies = span(RUN)?;
        let secs = began.elapsed().as_secs_f64();
        runs.push(Run { secs, latencies, server_cpu: server.cpu_secs()? - before, floor: 0.0 });
        floors.push(floor()?);
    }
    let calm = calm_between(&floors, CALM_RUNS_MIN);
    let is_calm = calm.is_some();
    let calm = calm.unwrap_or_else(|| vec![true; runs.len()]);
    for (run, pair) in runs.iter_mut().zip(floors.windows(2)) {
        run.floor = match pair {
            [before, after] => between(before, after),
            _ => continue,
        };
    }
    let kept: Vec<Run> = runs.into_iter().zip(calm).filter_map(|(run, calm)| calm.then_some(run)).collect();
    Ok(summary(&kept, is_calm))
}

/// On the server's core alone.
pub(crate) fn serve(material: &Material, name: &str, settings: &[(&str, String)]) -> Result<Server, Box<dyn Error>> {
    Server::start(material, name, settings, Some(SERVER_CORE))
}

fn summary(runs: &[Run], is_calm: bool) -> Measured {
    let spread = |pick: &dyn Fn(&Run) -> f64| Spread::of(runs.iter().map(pick).collect());
    let count = |run: &Run| run.latencies.len() as f64;
    let percentile = |run: &Run, percent| crate::stats::percentile(&run.latencies, percent);
    Measured {
        rate: spread(&|run| count(run) / run.secs),
        p50: spread(&|run| percentile(run, 50)),
        p99: spread(&|run| percentile(run, 99)),
        server_cpu: spread(&|run| run.server_cpu / count(run)),
        share: spread(&|run| run.floor * count(run) / run.server_cpu),
        runs: runs.len(),
        is_calm,
    }
}

async fn connect(server: &Server, connections: usize) -> Result<Vec<Channel>, Box<dyn Error>> {
    let root = Certificate::from_pem(&server.root_pem);
    let tls = ClientTlsConfig::new().ca_certificate(root).domain_name("localhost");
    let mut channels = Vec::with_capacity(connections);
    for _ in 0..connections {
        let endpoint = Endpoint::from_shared(format!("https://{}", server.listen))?.tls_config(tls.clone())?;
        channels.push(endpoint.connect().await?);
    }
    Ok(channels)
}

/// The requests of `material`'s callers.
pub(crate) fn requests(material: &Material) -> Vec<(String, IstioCertificateRequest)> {
    let request =
        |csr: &str| IstioCertificateRequest { csr: csr.to_owned(), validity_duration: 86_400, metadata: None };
    material.callers.iter().map(|caller| (format!("Bearer {}", caller.token), request(&caller.csr_pem))).collect()
}

/// Keeps `in_flight` requests under way for `span`, and gives the seconds that each took.
async fn ask(
    channels: &[Channel],
    requests: &[(String, IstioCertificateRequest)],
    in_flight: usize,
    span: Duration,
) -> Result<Vec<f64>, Failure> {
    let until = Instant::now() + span;
    let mut workers = JoinSet::new();
    for (number, channel) in channels.iter().cycle().take(in_flight).enumerate() {
        let mut client = IstioCertificateServiceClient::new(channel.clone());
        let mut requests: Vec<_> = requests.to_vec();
        let offset = number % requests.len().max(1);
        requests.rotate_left(offset);
        workers.spawn(async move {
            let mut latencies = Vec::new();
            for (bearer, message) in requests.iter().cycle() {
                let began = Instant::now();
                if began >= until {
                    break;
                }
                let mut request = Request::new(message.clone());
                request.metadata_mut().insert("authorization", bearer.parse()?);
                client.create_certificate(request).await?;
                latencies.push(began.elapsed().as_secs_f64());
            }
            Ok::<_, Failure>(latencies)
        });
    }
    let mut all = Vec::new();
    while let Some(worker) = workers.join_next().await {
        all.extend(worker??);
    }
    Ok(all)
}
