//! The whole server: TLS, HTTP/2, gRPC, issuing and a log line for each, on a thread that has a core to itself.

use std::error::Error;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use signet_ca::app::App;
use signet_ca::config::CaConfig;
use signet_proto::istio_ca::IstioCertificateRequest;
use signet_proto::istio_ca::istio_certificate_service_client::IstioCertificateServiceClient;
use signet_runtime::{Clock, Shutdown};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tonic::Request;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use crate::floor::{Floor, Round, between, calm_between};
use crate::material::Material;
use crate::stats::{Spread, pin_to, thread_cpu_secs};

/// Requests under way at any time.
pub(crate) const IN_FLIGHT: usize = 64;

/// Connections that carry them.
pub(crate) const CONNECTIONS: usize = 8;

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

pub(crate) struct Measured {
    /// Certificates a second.
    pub(crate) rate: Spread,
    /// Seconds.
    pub(crate) p50: Spread,
    /// Seconds.
    pub(crate) p99: Spread,
    /// Seconds of the server's thread for one certificate.
    pub(crate) server_cpu: Spread,
    /// The floor over the server's processor time for one certificate, run by run.
    pub(crate) share: Spread,
    /// The floor over the time between two certificates, run by run: the same where the core was the server's alone.
    pub(crate) share_by_clock: Spread,
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

pub(crate) fn measure(material: &Material) -> Result<Measured, Box<dyn Error>> {
    let log = File::options().write(true).open("/dev/null")?;
    tracing_subscriber::fmt().with_writer(log).with_ansi(false).init();
    let server = Server::start(material.config()?)?;
    let root = fs::read_to_string(material.state_dir().join("root-cert.pem"))?;
    let operations = Floor::new(material)?;
    let client = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let channels = client.block_on(connect(server.address, &root))?;
    let requests = requests(material);

    let floor = || -> Result<Round, Box<dyn Error>> {
        pin_to(SERVER_CORE)?;
        let round = operations.round(FLOOR_OPERATIONS);
        pin_to(CLIENT_CORE)?;
        Ok(round)
    };
    let (mut runs, mut floors) = (Vec::with_capacity(RUNS), Vec::with_capacity(RUNS + 1));
    client.block_on(load(&channels, &requests, WARM_UP)).map_err(|error| error.to_string())?;
    floors.push(floor()?);
    for _ in 0..RUNS {
        let before = server.cpu_secs()?;
        let began = Instant::now();
        let latencies = client.block_on(load(&channels, &requests, RUN)).map_err(|error| error.to_string())?;
        let secs = began.elapsed().as_secs_f64();
        runs.push(Run { secs, latencies, server_cpu: server.cpu_secs()? - before, floor: 0.0 });
        floors.push(floor()?);
    }
    server.stop()?;
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

fn summary(runs: &[Run], is_calm: bool) -> Measured {
    let spread = |pick: &dyn Fn(&Run) -> f64| Spread::of(runs.iter().map(pick).collect());
    let count = |run: &Run| run.latencies.len() as f64;
    let percentile = |run: &Run, percent: usize| {
        let mut latencies = run.latencies.clone();
        latencies.sort_by(f64::total_cmp);
        latencies.get(latencies.len() * percent / 100).copied().unwrap_or_default()
    };
    Measured {
        rate: spread(&|run| count(run) / run.secs),
        p50: spread(&|run| percentile(run, 50)),
        p99: spread(&|run| percentile(run, 99)),
        server_cpu: spread(&|run| run.server_cpu / count(run)),
        share: spread(&|run| run.floor * count(run) / run.server_cpu),
        runs: runs.len(),
        is_calm,
        share_by_clock: spread(&|run| run.floor * count(run) / run.secs),
    }
}

async fn connect(address: SocketAddr, root: &str) -> Result<Vec<Channel>, Box<dyn Error>> {
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(root)).domain_name("localhost");
    let mut channels = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let endpoint = Endpoint::from_shared(format!("https://{address}"))?.tls_config(tls.clone())?;
        channels.push(endpoint.connect().await?);
    }
    Ok(channels)
}

fn requests(material: &Material) -> Vec<(String, IstioCertificateRequest)> {
    let request =
        |csr: &str| IstioCertificateRequest { csr: csr.to_owned(), validity_duration: 86_400, metadata: None };
    material.callers.iter().map(|caller| (format!("Bearer {}", caller.token), request(&caller.csr_pem))).collect()
}

/// Keeps [`IN_FLIGHT`] requests under way for `span`, and gives the seconds that each took.
async fn load(
    channels: &[Channel],
    requests: &[(String, IstioCertificateRequest)],
    span: Duration,
) -> Result<Vec<f64>, Failure> {
    let until = Instant::now() + span;
    let mut workers = JoinSet::new();
    for (number, channel) in channels.iter().cycle().take(IN_FLIGHT).enumerate() {
        let mut client = IstioCertificateServiceClient::new(channel.clone());
        let mut requests: Vec<_> = requests.to_vec();
        requests.rotate_left(number);
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

/// The server on its own thread.
struct Server {
    address: SocketAddr,
    questions: tokio::sync::mpsc::UnboundedSender<oneshot::Sender<f64>>,
    thread: thread::JoinHandle<Result<(), String>>,
}

impl Server {
    fn start(config: CaConfig) -> Result<Self, Box<dyn Error>> {
        let (address_to, address_from) = mpsc::channel();
        let (questions, asked) = tokio::sync::mpsc::unbounded_channel();
        let thread = thread::Builder::new()
            .name("server".to_owned())
            .spawn(move || serve(config, &address_to, asked).map_err(|error| error.to_string()))?;
        Ok(Self { address: address_from.recv()?, questions, thread })
    }

    /// Processor time that the server's thread has used.
    fn cpu_secs(&self) -> Result<f64, Box<dyn Error>> {
        let (answer_to, answer) = oneshot::channel();
        self.questions.send(answer_to)?;
        Ok(answer.blocking_recv()?)
    }

    fn stop(self) -> Result<(), Box<dyn Error>> {
        drop(self.questions);
        self.thread.join().map_err(|_| "the server should not panic")??;
        Ok(())
    }
}

fn serve(
    config: CaConfig,
    address: &mpsc::Sender<SocketAddr>,
    mut asked: tokio::sync::mpsc::UnboundedReceiver<oneshot::Sender<f64>>,
) -> Result<(), Box<dyn Error>> {
    pin_to(SERVER_CORE)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let app = App::build(config, Clock::system()).await?;
        address.send(app.addresses().listen)?;
        let (trigger, shutdown) = Shutdown::new();
        let answering = async {
            while let Some(answer) = asked.recv().await {
                // Whoever asked and went away does not need the answer.
                let _ = answer.send(thread_cpu_secs());
            }
            trigger.trigger();
            Ok::<_, Box<dyn Error>>(())
        };
        let (ran, answered) = tokio::join!(app.run(shutdown), answering);
        ran?;
        answered
    })
}
