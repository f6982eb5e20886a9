//! Several addresses of the CA, and a CA that says when to come back.

use std::time::Duration;

use tokio::time::Instant;
use tonic::{Code, Status};

use crate::support::{FakeCa, Pod, RunningAgent};

const RENEWED: &str = "signet_agent_renewal_attempts_total{result=\"success\"";

fn addresses(places: &[&FakeCa]) -> String {
    places.iter().map(|ca| format!("localhost:{}", ca.address.port())).collect::<Vec<_>>().join(",")
}

#[tokio::test]
async fn where_one_place_is_gone_the_next_one_answers_at_once_and_stays() {
    let mut one = FakeCa::start().await;
    let other = one.replica().await;
    one.grants(Duration::from_secs(4));
    other.grants(Duration::from_secs(4));
    one.vanish().await;
    let pod = Pod::new(&other);
    let agent = RunningAgent::start(&pod, &one, &[("ca.address", &addresses(&[&one, &other]))]).await;
    agent.reaches(RENEWED, 2.0).await;
    assert_eq!(agent.metric("signet_agent_renewal_attempts_total{result=\"failure\"").await, 0.0);
    assert_eq!(
        agent.metric("istio_agent_num_outgoing_retries").await,
        1.0,
        "the second request begins where it is good"
    );
    agent.stop().await;
}

#[tokio::test]
async fn a_place_without_room_or_voice_is_passed_over() {
    for code in [Code::Unavailable, Code::ResourceExhausted, Code::Ok] {
        let one = FakeCa::start().await;
        let other = one.replica().await;
        match code {
            Code::Ok => one.thinks(Duration::from_secs(60)),
            code => one.answers(move |_, _| Err(Status::new(code, "not here"))),
        }
        let pod = Pod::new(&other);
        let settings = [("ca.address", &*addresses(&[&one, &other])), ("ca.deadline", "300ms")];
        let agent = RunningAgent::start(&pod, &one, &settings).await;
        agent.reaches(RENEWED, 1.0).await;
        assert_eq!((one.calls().len(), other.calls().len()), (1, 1), "{code:?}");
        agent.stop().await;
    }
}

#[tokio::test]
async fn a_final_refusal_is_not_taken_to_another_place() {
    let one = FakeCa::start().await;
    let other = one.replica().await;
    one.answers(|_, _| Err(Status::permission_denied("no")));
    let pod = Pod::new(&other);
    let agent = RunningAgent::start(&pod, &one, &[("ca.address", &addresses(&[&one, &other]))]).await;
    agent.reaches("signet_agent_renewal_attempts_total{result=\"failure\",code=\"permission_denied\"}", 1.0).await;
    assert_eq!(other.calls().len(), 0);
    agent.stop().await;
}

/// The CA refuses once with `hint`; when the second call may come.
async fn second_call_after(hint: &'static str) -> Duration {
    let ca = FakeCa::start().await;
    ca.answers(move |_, _| {
        let mut status = Status::resource_exhausted("busy");
        status.metadata_mut().insert("grpc-retry-pushback-ms", hint.parse().unwrap());
        Err(status)
    });
    let pod = Pod::new(&ca);
    let begun = Instant::now();
    let agent = RunningAgent::start(&pod, &ca, &[]).await;
    agent.reaches("istio_agent_num_outgoing_requests", 2.0).await;
    let waited = begun.elapsed();
    agent.stop().await;
    waited
}

#[tokio::test]
async fn a_ca_that_says_when_to_come_back_is_obeyed() {
    assert!(second_call_after("1200").await >= Duration::from_millis(1200), "within the request");
    assert!(second_call_after("3500").await >= Duration::from_millis(3500), "after the request");
    for nonsense in ["-1", "soon", "", "99999999999999999999999"] {
        assert!(second_call_after(nonsense).await < Duration::from_secs(1), "{nonsense}");
    }
}
