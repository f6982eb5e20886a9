//! Traces as a collector receives them. Only where they are compiled in: `cargo test -p signet-ca --features otlp`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use prost::Message;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::lab::{Lab, Setup, any_csr, eventually, request};

/// What of OTLP is looked at, written down here once more from its specification.
#[derive(Clone, PartialEq, Message)]
struct Export {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<Resource>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, optional, tag = "1")]
    resource: Option<Attributes>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<Scope>,
}

#[derive(Clone, PartialEq, Message)]
struct Attributes {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start: u64,
    #[prost(fixed64, tag = "8")]
    end: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(string, optional, tag = "1")]
    text: Option<String>,
    #[prost(int64, optional, tag = "3")]
    number: Option<i64>,
}

impl Span {
    fn value(&self, key: &str) -> Option<&AnyValue> {
        self.attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.value(key)?.text.as_deref()
    }
}

/// A collector on loopback, which answers every request with `status`.
struct Collector {
    address: SocketAddr,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
    _running: JoinSet<()>,
}

impl Collector {
    async fn start(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, bodies) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<Vec<u8>>>>::default());
        let (mut running, taken) = (JoinSet::new(), Arc::clone(&bodies));
        running.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let body = receive(stream, status).await;
                taken.lock().unwrap().push(body);
            }
        });
        Self { address, bodies, _running: running }
    }

    async fn traced(&self) -> Lab {
        let endpoint = format!("'http://{}/v1/traces'", self.address);
        Setup::new().with("otlp.endpoint", &endpoint).start().await
    }

    fn raw(&self) -> Vec<u8> {
        self.bodies.lock().unwrap().concat()
    }

    fn spans(&self) -> Vec<Span> {
        let exports: Vec<_> =
            self.bodies.lock().unwrap().iter().map(|body| Export::decode(&body[..]).unwrap()).collect();
        let resources = exports.into_iter().flat_map(|export| export.resources);
        resources.flat_map(|resource| resource.scopes).flat_map(|scope| scope.spans).collect()
    }

    /// Spans of requests, once there are so many.
    async fn requests(&self, count: usize) -> Vec<Span> {
        let of_requests = || self.spans().into_iter().filter(|span| span.kind == 2).collect::<Vec<_>>();
        eventually("the spans have come", async || of_requests().len() >= count).await;
        of_requests()
    }
}

async fn receive(stream: TcpStream, status: u16) -> Vec<u8> {
    let mut stream = BufReader::new(stream);
    let (mut length, mut line) = (0, String::new());
    loop {
        line.clear();
        stream.read_line(&mut line).await.unwrap();
        let lower = line.trim().to_lowercase();
        if lower.is_empty() {
            break;
        }
        if let Some(value) = lower.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
        assert!(!lower.starts_with("content-type:") || lower.ends_with("application/x-protobuf"), "{lower}");
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.unwrap();
    body
}

#[tokio::test]
async fn a_request_is_a_span_in_its_callers_trace_with_its_stages_below() {
    let collector = Collector::start(200).await;
    let lab = collector.traced().await;
    let (token, csr) = (lab.token(), any_csr());
    let mut asked = request(&token, &csr, 60);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    asked.metadata_mut().insert("traceparent", parent.parse().unwrap());
    let answer = lab.send(asked).await.unwrap();
    let id = answer.metadata().get("x-request-id").unwrap().to_str().unwrap().to_owned();

    let span = collector.requests(1).await.remove(0);
    assert_eq!(span.name, "istio.v1.auth.IstioCertificateService/CreateCertificate");
    assert_eq!((span.trace[..2].to_vec(), span.parent.last()), (vec![0x4b, 0xf9], Some(&0xb7)));
    assert_eq!(
        (span.text("signet.request_id"), span.text("signet.identity")),
        (Some(id.as_str()), Some(crate::lab::WEB))
    );
    assert_eq!(span.value("rpc.grpc.status_code").unwrap().number, Some(0));
    let below: Vec<_> = collector.spans().into_iter().filter(|other| other.parent == span.id).collect();
    let names: Vec<_> = below.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(names, ["authenticate", "csr", "sign", "record"]);
    for stage in &below {
        assert!(span.start <= stage.start && stage.start <= stage.end && stage.end <= span.end, "{stage:?}");
        assert_eq!(stage.trace, span.trace);
    }
    let raw = collector.raw();
    for secret in token.split('.').skip(1).chain(csr.lines().filter(|line| line.len() > 40)) {
        assert!(!raw.windows(secret.len()).any(|window| window == secret.as_bytes()), "a trace holds {secret}");
    }
    lab.stop().await;
}

#[tokio::test]
async fn a_refusal_says_why_and_who_is_not_to_be_traced_is_not() {
    let collector = Collector::start(200).await;
    let lab = collector.traced().await;
    let mut quiet = request(&lab.token(), &any_csr(), 60);
    let unsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    quiet.metadata_mut().insert("traceparent", unsampled.parse().unwrap());
    lab.send(quiet).await.unwrap();
    lab.ask("a.bad.token", &any_csr(), 60).await.unwrap_err();
    let spans = collector.requests(1).await;
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].value("rpc.grpc.status_code").unwrap().number, Some(16));
    assert!(spans[0].text("signet.refusal").is_some_and(|reason| reason.starts_with("token_")), "{spans:?}");
    assert!(spans[0].parent.is_empty());
    lab.stop().await;
}

#[tokio::test]
async fn a_collector_that_refuses_or_is_away_harms_nobody_and_the_last_traces_leave_before_the_end() {
    let collector = Collector::start(503).await;
    let lab = collector.traced().await;
    for _ in 0..20 {
        lab.issue().await;
    }
    lab.stop().await;
    assert!(!collector.requests(20).await.is_empty());
    let nowhere = "'http://127.0.0.1:9/v1/traces'";
    let lab = Setup::new().with("otlp.endpoint", nowhere).start().await;
    lab.issue().await;
    assert_eq!(lab.get("/healthz/live").await.0, 200);
    lab.stop().await;
}
