//! More requests than the server can answer at once: who waits, who is turned away, and what it is told.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use signet_proto::istio_ca::IstioCertificateRequest;
use signet_proto::istio_ca::istio_certificate_service_client::IstioCertificateServiceClient;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::lab::{HOUR, Lab, Setup, WAIT_MAX, any_csr, eventually, http_get, now, request};
use crate::process::{Program, address, connect, tls};

/// Sends `requests` together and gives how each ended.
async fn together(lab: &Lab, requests: Vec<Request<IstioCertificateRequest>>) -> Vec<Result<(), Status>> {
    let client = lab.client().await;
    let mut asking = JoinSet::new();
    for request in requests {
        let mut client = client.clone();
        asking.spawn(async move { client.create_certificate(request).await.map(|_| ()) });
    }
    asking.join_all().await
}

#[tokio::test]
async fn what_cannot_wait_is_turned_away_with_a_hint_and_counted_as_nothing_else() {
    let lab = Setup::new().with("admission.in_flight", "1").with("admission.waiting", "0").start().await;
    let (token, csr) = (lab.token(), any_csr());
    let outcomes = together(&lab, (0..100).map(|_| request(&token, &csr, 60)).collect()).await;
    let shed: Vec<Status> = outcomes.into_iter().filter_map(Result::err).collect();
    assert!(!shed.is_empty() && shed.len() < 100, "{}", shed.len());
    for status in &shed {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        assert_eq!(status.message(), "too many requests, try again");
        let hint: u64 = status.metadata().get("grpc-retry-pushback-ms").unwrap().to_str().unwrap().parse().unwrap();
        assert!((100..=5_000).contains(&hint), "{hint}");
        assert!(status.metadata().contains_key("x-request-id"));
    }
    let count = i64::try_from(shed.len()).unwrap();
    assert_eq!(lab.metric("signet_ca_shed_total{reason=\"queue_full\"}").await, count);
    assert_eq!(lab.metric("citadel_server_success_cert_issuance_count").await, 100 - count);
    assert_eq!(lab.metric("citadel_server_authentication_failure_count").await, 0);
    assert_eq!((lab.metric("signet_ca_in_flight").await, lab.metric("signet_ca_waiting").await), (0, 0));
    lab.issue().await;
}

#[tokio::test]
async fn one_pod_cannot_fill_the_ledger_and_its_neighbours_are_served() {
    let lab = Setup::new().without("admission.holder_burst").start().await;
    let (token, csr) = (lab.token(), any_csr());
    let outcomes = together(&lab, (0..200).map(|_| request(&token, &csr, 60)).collect()).await;
    let shed: Vec<Status> = outcomes.into_iter().filter_map(Result::err).collect();
    // Twenty, and one more if the machine took ten seconds.
    assert!((178..=180).contains(&shed.len()), "{}", shed.len());
    for status in &shed {
        assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "too many requests, try again"));
        let hint: u64 = status.metadata().get("grpc-retry-pushback-ms").unwrap().to_str().unwrap().parse().unwrap();
        assert!(hint <= 10_000, "{hint}");
    }
    let count = i64::try_from(shed.len()).unwrap();
    assert_eq!(lab.metric("signet_ca_shed_total{reason=\"holder_rate\"}").await, count);
    let other = lab.setup.issuer.token("shop", "other", lab.now(), HOUR);
    lab.ask(&other, &csr, 60).await.expect("another pod is served");
}

#[tokio::test]
async fn what_can_wait_is_answered_in_the_end() {
    let lab = Setup::new().with("admission.in_flight", "1").start().await;
    let (token, csr) = (lab.token(), any_csr());
    let outcomes = together(&lab, (0..100).map(|_| request(&token, &csr, 60)).collect()).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert!(lab.metric("signet_ca_admission_wait_seconds_count").await > 0);
}

#[tokio::test]
async fn a_caller_that_has_stopped_waiting_gets_no_certificate() {
    let lab = Lab::start().await;
    let mut late = request(&lab.setup.issuer.token("shop", "web", lab.now(), HOUR), &any_csr(), 60);
    late.set_timeout(Duration::from_nanos(1));
    let status = lab.send(late).await.unwrap_err();
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
    assert_eq!(lab.metric("citadel_server_success_cert_issuance_count").await, 0);
}

/// A program in a storm, and what its callers need.
struct Storm {
    setup: Setup,
    program: Program,
    listen: SocketAddr,
    admin: SocketAddr,
    roots: String,
}

/// Most memory that it may ever have taken, in KiB.
const MEMORY_MAX_KIB: u64 = 128 * 1024;

impl Storm {
    fn start() -> Self {
        let setup = Setup::new().with("admission.in_flight", "4").with("admission.waiting", "64");
        let mut program = Program::of(&setup, &[]);
        let line = program.wait_for("serving");
        let roots = fs::read_to_string(setup.path("state/root-cert.pem")).unwrap();
        Self { listen: address(&line, "listen"), admin: address(&line, "admin"), setup, program, roots }
    }

    async fn client(&self) -> IstioCertificateServiceClient<Channel> {
        IstioCertificateServiceClient::new(connect(self.listen, tls(&self.roots)).await)
    }

    async fn metric(&self, series: &str) -> usize {
        let page = http_get(self.admin, "/metrics").await.1;
        let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse::<f64>().unwrap() as usize)
    }

    /// The most memory that the program has taken so far.
    fn memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.program.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// A token whose signature was altered: all of it has to be looked at before it is known to be bad.
    fn dear(&self, number: usize) -> String {
        let good = self.setup.issuer.token("shop", &format!("bad-{number}"), now(), HOUR);
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let (first, rest) = signature.split_at(8);
        format!("{signed}.{}{rest}", first.chars().rev().collect::<String>())
    }

    /// As an agent does that comes again for as long as the server is busy.
    async fn agent(&self, number: usize) -> Result<(), Status> {
        let token = self.setup.issuer.token("shop", &format!("web-{number}"), now(), HOUR);
        let (mut client, csr) = (self.client().await, any_csr());
        let mut wait = Duration::from_millis(100);
        let until = Instant::now() + WAIT_MAX;
        loop {
            match client.create_certificate(request(&token, &csr, 60)).await {
                Err(status)
                    if matches!(status.code(), Code::ResourceExhausted | Code::Unavailable)
                        && Instant::now() < until => {}
                outcome => return outcome.map(|_| ()),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(2));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_with_thrice_as_many_bad_tokens_gets_all_its_certificates_while_health_answers() {
    const AGENTS: usize = 300;
    let storm = Arc::new(Storm::start());
    let mut bad = JoinSet::new();
    for flooder in 0..10 {
        let storm = storm.clone();
        bad.spawn(async move {
            let (mut client, csr) = (storm.client().await, any_csr());
            for number in 0..3 * AGENTS / 10 {
                // Cheap ones and dear ones.
                let token = if number % 2 == 0 { "a.bad.token".to_owned() } else { storm.dear(flooder) };
                client.create_certificate(request(&token, &csr, 60)).await.expect_err("it is bad");
            }
        });
    }
    let mut agents = JoinSet::new();
    for number in 0..AGENTS {
        let storm = storm.clone();
        agents.spawn(async move { storm.agent(number).await });
    }
    let mut answers = 0;
    let mut outcomes = Vec::new();
    while let Some(ended) = agents.join_next().await {
        outcomes.push(ended.unwrap());
        if outcomes.len() % 10 == 0 {
            assert_eq!(http_get(storm.admin, "/healthz/ready").await.0, 200);
            answers += 1;
        }
    }
    bad.join_all().await;
    let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.is_err()).collect();
    assert!(failed.is_empty() && outcomes.len() == AGENTS, "{failed:?}");
    assert_eq!(answers, AGENTS / 10);
    assert_eq!(storm.metric("citadel_server_success_cert_issuance_count").await, AGENTS);
    let dear = storm.metric("signet_ca_refusals_total{reason=\"token_signature\"}").await;
    assert!(dear > 0, "no dear token was looked at");
    let memory = storm.memory_kib();
    assert!(memory <= MEMORY_MAX_KIB, "{memory} KiB were taken");
    eventually("nobody is inside", async || storm.metric("signet_ca_in_flight").await == 0).await;
}
