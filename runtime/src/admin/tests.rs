//! The admin endpoint over real sockets: what it answers, and whom it does not let keep others out.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::*;
use crate::ShutdownTrigger;

struct Lab {
    address: SocketAddr,
    trigger: ShutdownTrigger,
    served: JoinSet<io::Result<()>>,
}

impl Lab {
    async fn start() -> Self {
        let admin = Admin::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = admin.address().unwrap();
        let (trigger, shutdown) = Shutdown::new();
        let mut served = JoinSet::new();
        served.spawn(admin.serve(Health::new(), Registry::default(), shutdown));
        Self { address, trigger, served }
    }

    async fn send(&self, head: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    async fn get(&self, path: &str) -> String {
        let stream = self.send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await;
        everything(stream).await
    }
}

/// Whatever is said until the other side closes, or breaks off.
async fn everything(mut stream: TcpStream) -> String {
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said).await;
    String::from_utf8(said).unwrap()
}

#[tokio::test]
async fn it_says_whether_it_lives_and_what_it_counts() {
    let lab = Lab::start().await;
    assert!(lab.get("/healthz/live").await.ends_with("live\n"));
    assert!(lab.get("/healthz/ready").await.starts_with("HTTP/1.1 200"));
    assert!(lab.get("/metrics").await.ends_with("# EOF\n"));
    assert!(lab.get("/other").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn those_who_hold_connections_do_not_keep_others_out() {
    let lab = Lab::start().await;
    let mut held = Vec::new();
    for _ in 0..2 * CONNECTIONS_MAX {
        held.push(lab.send("GET /metr").await);
    }
    assert!(lab.get("/healthz/live").await.ends_with("live\n"));
    assert_eq!(everything(held.remove(0)).await, "", "the oldest was cut");
}

#[tokio::test]
async fn a_request_without_end_is_refused() {
    let lab = Lab::start().await;
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(2 * REQUEST_MAX_BYTES));
    assert!(everything(lab.send(&head).await).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test(start_paused = true)]
async fn headers_that_do_not_come_end_the_connection() {
    let lab = Lab::start().await;
    let stream = lab.send("GET / HTTP/1.1\r\n").await;
    let began = Instant::now();
    everything(stream).await;
    let waited = began.elapsed();
    assert!(waited >= HEADERS_DEADLINE && waited < CONNECTION_LIFE, "{waited:?}");
}

#[tokio::test]
async fn it_stops_although_connections_are_held() {
    let mut lab = Lab::start().await;
    let _held = lab.send("GET / HTTP/1.1\r\n").await;
    assert!(lab.get("/healthz/live").await.ends_with("live\n"));
    lab.trigger.trigger();
    lab.served.join_next().await.unwrap().unwrap().unwrap();
}
