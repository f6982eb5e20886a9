//! Traces over OTLP, where they are compiled in: one span for each request, and one below it for each stage of issuing.
//!
//! Nobody waits for a trace. It is put together in the request's own task, goes into a bounded queue, and is lost and
//! counted where that is full. No token, request body or key is in it.

mod export;
mod parent;
mod wire;

pub(crate) use export::Exporter;

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, UNIX_EPOCH};

use http::{HeaderMap, Response};
use signet_runtime::Clock;
use tokio::sync::mpsc;
use tonic::Code;
use tonic::body::Body;

use crate::config::OtlpConfig;
use parent::Parent;
use wire::{KeyValue, Span, SpanKind, Status, StatusCode};

/// Most traces that wait to be sent.
const WAITING_MAX: usize = 2_048;

/// Most attributes and stages of one request.
const PARTS_MAX: usize = 16;

/// The spans of one request, its own first.
type Trace = Vec<Span>;

/// Where requests' spans go. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Traces {
    inner: Option<Arc<Inner>>,
}

struct Inner {
    clock: Clock,
    queue: mpsc::Sender<Trace>,
    lost: AtomicU64,
    sampled_percent: u8,
}

tokio::task_local! {
    static CURRENT: RefCell<Option<Parts>>;
}

/// What a request has told of itself so far.
struct Parts {
    began: Instant,
    began_unix_nanos: u64,
    attributes: Vec<KeyValue>,
    /// Name, begin and end in nanoseconds since the request began.
    stages: Vec<(&'static str, u64, u64)>,
}

/// A request that is traced, or is not.
pub(crate) struct RequestSpan {
    traced: Option<(Arc<Inner>, Parent, Parts, &'static str)>,
}

/// Traces where `config` asks for them, and the task that sends them.
pub(crate) fn open(config: Option<&OtlpConfig>, clock: &Clock) -> (Traces, Option<Exporter>) {
    let Some(config) = config else { return (Traces::default(), None) };
    let (queue, waiting) = mpsc::channel(WAITING_MAX);
    let sampled_percent = config.sampled_percent;
    let inner = Arc::new(Inner { clock: clock.clone(), queue, lost: AtomicU64::new(0), sampled_percent });
    (Traces { inner: Some(inner.clone()) }, Some(Exporter::new(config.clone(), waiting, inner)))
}

impl Traces {
    /// A request to `path` that comes in now.
    pub(crate) fn begin(&self, headers: &HeaderMap, path: &'static str, id: &str, peer: SocketAddr) -> RequestSpan {
        let Some(inner) = &self.inner else { return RequestSpan { traced: None } };
        let parent = Parent::of(headers);
        let is_sampled = parent.is_sampled.unwrap_or_else(|| fastrand::u8(0..100) < inner.sampled_percent);
        if !is_sampled {
            return RequestSpan { traced: None };
        }
        let since_epoch = inner.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or((path, path));
        let attributes = vec![
            KeyValue::text("rpc.system", "grpc"),
            KeyValue::text("rpc.service", service),
            KeyValue::text("rpc.method", method),
            KeyValue::text("client.address", peer.ip().to_string()),
            KeyValue::text("signet.request_id", id),
        ];
        let began_unix_nanos = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
        let parts = Parts { began: Instant::now(), began_unix_nanos, attributes, stages: Vec::new() };
        RequestSpan { traced: Some((inner.clone(), parent, parts, path)) }
    }
}

impl RequestSpan {
    /// Drives `answer` with this as the request that it belongs to, and ends with it. One that is dropped before is not
    /// told of.
    pub(crate) async fn around(
        self,
        answer: impl Future<Output = Result<Response<Body>, Infallible>>,
    ) -> Result<Response<Body>, Infallible> {
        let Some((inner, parent, parts, path)) = self.traced else { return answer.await };
        let (answered, parts) = CURRENT
            .scope(RefCell::new(Some(parts)), async {
                let answered = answer.await;
                (answered, CURRENT.with(RefCell::take))
            })
            .await;
        let (Ok(response), Some(parts)) = (&answered, parts) else { return answered };
        let code = response.headers().get("grpc-status").map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()));
        let trace = spans(&parent, parts, path, code);
        if inner.queue.try_send(trace).is_err() {
            inner.lost.fetch_add(1, Ordering::Relaxed);
        }
        answered
    }
}

/// A stage of the request that is being answered here took from `began` to `ended`.
pub(crate) fn stage(name: &'static str, began: Instant, ended: Instant) {
    with_parts(|parts| {
        if parts.stages.len() < PARTS_MAX {
            let nanos = |at: Instant| nanos(at.saturating_duration_since(parts.began));
            parts.stages.push((name, nanos(began), nanos(ended)));
        }
    });
}

/// Something is known about the request that is being answered here. Must not be secret.
pub(crate) fn attribute(key: &'static str, value: &str) {
    with_parts(|parts| {
        if parts.attributes.len() < PARTS_MAX {
            parts.attributes.push(KeyValue::text(key, value));
        }
    });
}

fn with_parts(change: impl FnOnce(&mut Parts)) {
    // Most requests of most servers are not traced.
    let _ = CURRENT.try_with(|parts| parts.borrow_mut().as_mut().map(change));
}

fn nanos(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

fn spans(parent: &Parent, parts: Parts, path: &str, code: Code) -> Trace {
    let Parts { began, began_unix_nanos: start, mut attributes, stages } = parts;
    let own_id = span_id();
    attributes.push(KeyValue::integer("rpc.grpc.status_code", i64::from(i32::from(code))));
    let own = Span {
        trace_id: parent.trace_id.to_vec(),
        span_id: own_id.clone(),
        parent_span_id: parent.span_id.clone(),
        name: path.trim_start_matches('/').to_owned(),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: start,
        end_time_unix_nano: start.saturating_add(nanos(began.elapsed())),
        attributes,
        status: Some(status(code)),
    };
    let below = stages.into_iter().map(|(name, from, to)| Span {
        trace_id: parent.trace_id.to_vec(),
        span_id: span_id(),
        parent_span_id: own_id.clone(),
        name: name.to_owned(),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: start.saturating_add(from),
        end_time_unix_nano: start.saturating_add(to),
        attributes: Vec::new(),
        status: None,
    });
    std::iter::once(own).chain(below).collect()
}

/// As servers tell it: an error is what the server is to blame for.
fn status(code: Code) -> Status {
    let blame = matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    );
    let code = if blame { StatusCode::Error } else { StatusCode::Unset };
    Status { message: String::new(), code: code.into() }
}

fn span_id() -> Vec<u8> {
    fastrand::u64(1..).to_be_bytes().to_vec()
}
