//! What goes wrong on purpose does, as it was asked for.

use std::time::{Duration, Instant};

use serde_json::Value;
use signet_kube_standin::{ApiServer, Effect};

use crate::client::{Client, plain};

#[tokio::test]
async fn statuses_are_answered_as_often_as_asked_for() {
    let server = ApiServer::start(plain()).await;
    let client = Client::new(&server);
    let pods = || client.get("/api/v1/pods", server.administrator());
    server.faults().times(1, Effect::TooMany(3), |seen| seen.path.ends_with("pods"));
    server.faults().times(1, Effect::Status(500), |_| true);
    let (first, second, third) = (pods().await, pods().await, pods().await);
    assert_eq!((first.status, first.header("retry-after")), (429, Some("3")));
    assert_eq!(first.json()["reason"], "TooManyRequests");
    assert_eq!((second.status, third.status), (500, 200));
    assert_eq!(server.count(|seen| seen.path == "/api/v1/pods" && !seen.is_watch), 3);
}

#[tokio::test]
async fn an_answer_can_be_slow_or_break_off() {
    let server = ApiServer::start(plain()).await;
    let client = Client::new(&server);
    let spaces = || client.get("/api/v1/namespaces", server.administrator());
    let whole = spaces().await;
    assert!(whole.whole);
    server.faults().times(1, Effect::Slow(Duration::from_millis(200)), |_| true);
    let began = Instant::now();
    let slow = spaces().await;
    // Its date may be another.
    assert_eq!((slow.status, slow.text.as_str(), slow.whole), (200, whole.text.as_str(), true));
    assert!(began.elapsed() >= Duration::from_millis(200));
    server.faults().times(1, Effect::CutAfter(10), |_| true);
    let cut = spaces().await;
    assert_eq!((cut.whole, Some(cut.text.as_str())), (false, whole.text.get(..10)));
}

#[tokio::test]
async fn a_stopped_server_refuses_connections_and_remembers_everything() {
    let mut server = ApiServer::start(plain()).await;
    let client = Client::new(&server);
    let administrator = server.administrator().to_owned();
    let spaces = || client.send("GET", "/api/v1/namespaces", Some(&administrator), "application/json", &Value::Null);
    let before = spaces().await.unwrap();
    server.stop().await;
    assert!(spaces().await.is_err());
    server.resume().await;
    assert_eq!(spaces().await.unwrap().json(), before.json());
}
