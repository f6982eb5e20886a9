//! More requests than the server can answer at once: who waits, who is turned away, and what it is told.

use std::sync::Arc;
use std::time::Duration;

use signet_proto::istio_ca::IstioCertificateRequest;
use tokio::task::JoinSet;
use tonic::{Code, Request, Status};

use crate::lab::{HOUR, Lab, Setup, any_csr, eventually, request};

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

/// As pilot-agent does: five attempts in all, each a little later, when the server was busy.
async fn agent(lab: &Lab, number: usize) -> Result<(), Status> {
    let token = lab.setup.issuer.token("shop", &format!("web-{number}"), lab.now(), HOUR);
    let (mut client, csr) = (lab.client().await, any_csr());
    let mut wait = Duration::from_millis(100);
    for _ in 0..4 {
        match client.create_certificate(request(&token, &csr, 60)).await {
            Err(status) if matches!(status.code(), Code::ResourceExhausted | Code::Unavailable) => {}
            outcome => return outcome.map(|_| ()),
        }
        tokio::time::sleep(wait).await;
        wait *= 2;
    }
    client.create_certificate(request(&token, &csr, 60)).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_with_thrice_as_many_bad_tokens_gets_all_its_certificates_while_health_answers() {
    const AGENTS: usize = 300;
    let setup = Setup::new().with("admission.in_flight", "4").with("admission.waiting", "64");
    let lab = Arc::new(setup.start().await);
    lab.wait_ready().await;
    let mut bad = JoinSet::new();
    for _ in 0..10 {
        let lab = lab.clone();
        bad.spawn(async move {
            let (mut client, csr) = (lab.client().await, any_csr());
            for _ in 0..3 * AGENTS / 10 {
                client.create_certificate(request("a.bad.token", &csr, 60)).await.expect_err("it is bad");
            }
        });
    }
    let mut agents = JoinSet::new();
    for number in 0..AGENTS {
        let lab = lab.clone();
        agents.spawn(async move { agent(&lab, number).await });
    }
    let mut answers = 0;
    let mut outcomes = Vec::new();
    while let Some(ended) = agents.join_next().await {
        outcomes.push(ended.unwrap());
        if outcomes.len() % 10 == 0 {
            assert_eq!(lab.get("/healthz/ready").await.0, 200);
            answers += 1;
        }
    }
    bad.join_all().await;
    let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.is_err()).collect();
    assert!(failed.is_empty() && outcomes.len() == AGENTS, "{failed:?}");
    assert_eq!(answers, AGENTS / 10);
    assert_eq!(lab.metric("citadel_server_success_cert_issuance_count").await, i64::try_from(AGENTS).unwrap());
    eventually("nobody is inside", async || lab.metric("signet_ca_in_flight").await == 0).await;
}
