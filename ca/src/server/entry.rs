//! Where every request comes in: it gets a name, a deadline and a place, and whatever becomes of it is counted.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;
use signet_identity::KeyError;
use signet_proto::istio_ca::istio_certificate_service_server::IstioCertificateServiceServer;
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::Service;

use super::bodies::{Counted, Keeping};
use super::idle::{Activity, Kind, Stream};
use super::methods::{Method, Methods};
use super::peers::{Connection, OpenStream, Place, Refused};
use crate::authenticate::Presented;
use crate::call::{self, Arrival, RequestIds};
use crate::metrics::{GrpcCall, Metrics};
use crate::otlp::Traces;
use crate::service::CertificateService;

/// Most time from a request's headers to its answer, and to the end of its message, so that a body sent in drops does
/// not hold a place.
pub(super) const REQUEST_DEADLINE: Duration = Duration::from_secs(30);
const BODY_DEADLINE: Duration = Duration::from_secs(5);

/// What a request holds beside its message: so much, and its headers as they came and as they are kept.
const REQUEST_BYTES: usize = 4096;
const HEADER_COPIES: usize = 2;

/// When an address should come back that takes more than its share, in milliseconds.
const RETRY_AFTER_MILLIS: std::ops::RangeInclusive<u64> = 500..=2_000;

const REQUEST_ID: HeaderName = HeaderName::from_static(call::REQUEST_ID);
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const OUT_OF_RANGE: &[u8] = b"11";
const RESOURCE_EXHAUSTED: HeaderValue = HeaderValue::from_static("8");

const BUSY_TEXT: &str = "too many requests, try again";
const LATE_TEXT: &str = "request took too long";

/// What all connections lead to. Cheap to clone.
#[derive(Clone)]
pub(super) struct Entry {
    /// Called directly, as nearly every request is for it.
    certificates: IstioCertificateServiceServer<CertificateService>,
    others: Routes,
    methods: Methods,
    ids: Arc<RequestIds>,
    metrics: Metrics,
    traces: Traces,
}

impl Entry {
    pub(super) fn new(
        certificates: IstioCertificateServiceServer<CertificateService>,
        others: Routes,
        metrics: Metrics,
        traces: Traces,
    ) -> Result<Self, KeyError> {
        let (methods, ids) = (Methods::new(&metrics), Arc::new(RequestIds::new()?));
        Ok(Self { certificates, others: others.prepare(), methods, ids, metrics, traces })
    }
}

/// The entry as one connection sees it.
pub(super) struct Standing {
    entry: Entry,
    peer: SocketAddr,
    connection: Arc<Connection>,
    activity: Arc<Activity>,
    presented: Option<Arc<Presented>>,
}

impl Standing {
    pub(super) fn new(
        entry: Entry,
        peer: SocketAddr,
        connection: Arc<Connection>,
        activity: Arc<Activity>,
        presented: Option<Arc<Presented>>,
    ) -> Self {
        Self { entry, peer, connection, activity, presented }
    }

    /// What a request needs before anything is done for it.
    fn claim(&self, method: &Method, headers: &HeaderMap, now: Instant) -> Result<Claim, Refused> {
        if method.has_caller {
            self.connection.bring_token(now)?;
        }
        let place = Arc::new(self.connection.ask(bytes_of(headers))?);
        let stream = if method.is_stream && !method.has_caller { Some(self.connection.open_stream()?) } else { None };
        let kind = if method.is_stream { Kind::Watch } else { Kind::Answer };
        Ok(Claim { place, stream, busy: self.activity.stream(kind) })
    }
}

/// What a request takes.
struct Claim {
    place: Arc<Place>,
    stream: Option<OpenStream>,
    busy: Stream,
}

impl hyper::service::Service<Request<Incoming>> for Standing {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (method, is_for_certificates) = self.entry.methods.at(request.uri().path());
        let call = GrpcCall::begin(method.counters.clone());
        let id = self.entry.ids.next();
        let now = Instant::now();
        let claim = match self.claim(method, request.headers(), now) {
            Ok(claim) => claim,
            Err(refused) => {
                self.entry.metrics.admission().shed(reason(refused));
                let answer = told(busy(), call, id);
                return Box::pin(std::future::ready(Ok(answer)));
            }
        };
        let span = self.entry.traces.begin(request.headers(), method.path, &id, self.peer);
        let deadline = call::timeout(request.headers()).and_then(|timeout| now.checked_add(timeout));
        let latest = now + REQUEST_DEADLINE;
        let until = deadline.map_or(latest, |deadline| deadline.min(latest));
        let (counters, connection) = (method.counters.clone(), self.connection.clone());
        let (request_id, peer, presented) = (id.clone(), self.peer, self.presented.clone());
        let arrival = Arrival { request_id, peer, deadline, connection, counters, presented };
        let is_stream = method.is_stream;
        let mut request = request.map(|incoming| {
            if is_stream { Body::new(incoming) } else { Body::new(Counted::new(incoming, claim.place.clone())) }
        });
        request.extensions_mut().insert(Arc::new(arrival));
        let times = Times { read_by: if is_stream { until } else { until.min(now + BODY_DEADLINE) }, until };
        if is_for_certificates {
            let answer = self.entry.certificates.clone().call(request);
            Box::pin(span.around(answered(answer, claim, times, is_stream, call, id)))
        } else {
            let answer = self.entry.others.clone().call(request);
            Box::pin(span.around(answered(answer, claim, times, is_stream, call, id)))
        }
    }
}

/// When a request must have been read, and answered.
#[derive(Clone, Copy)]
struct Times {
    read_by: Instant,
    until: Instant,
}

async fn answered(
    answer: impl Future<Output = Result<Response<Body>, Infallible>>,
    claim: Claim,
    times: Times,
    is_stream: bool,
    call: GrpcCall,
    id: String,
) -> Result<Response<Body>, Infallible> {
    let mut answer = pin!(answer);
    let mut answered = timeout_at(times.read_by, answer.as_mut()).await;
    if answered.is_err() && times.read_by < times.until && claim.place.is_read() {
        answered = timeout_at(times.until, answer).await;
    }
    let mut response = match answered {
        Ok(Ok(response)) => response,
        Err(_) => Status::deadline_exceeded(LATE_TEXT).into_http(),
    };
    let Claim { place, stream, busy } = claim;
    drop(place);
    if is_stream {
        response = response.map(|body| Body::new(Keeping { body, _held: (stream, busy) }));
    }
    Ok(told(response, call, id))
}

/// About as many bytes as a request with these headers holds before its message comes.
fn bytes_of(headers: &HeaderMap) -> usize {
    let headers: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    REQUEST_BYTES + HEADER_COPIES * headers
}

/// The answer under its request's name, and counted.
fn told(mut response: Response<Body>, call: GrpcCall, id: String) -> Response<Body> {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(REQUEST_ID, id);
    }
    // The gRPC library calls a message over its limit out of range; clients know it as exhausted resources. Nothing else
    // here answers the former.
    let code = match headers.get(&GRPC_STATUS) {
        Some(status) if status.as_bytes() == OUT_OF_RANGE => {
            headers.insert(GRPC_STATUS, RESOURCE_EXHAUSTED);
            Code::ResourceExhausted
        }
        Some(status) => Code::from_bytes(status.as_bytes()),
        // Whatever follows, it is an answer.
        None => Code::Ok,
    };
    call.end(code);
    response
}

fn busy() -> Response<Body> {
    let after = Duration::from_millis(fastrand::u64(RETRY_AFTER_MILLIS));
    call::retry_later(Status::resource_exhausted(BUSY_TEXT), after).into_http()
}

fn reason(refused: Refused) -> &'static str {
    match refused {
        Refused::Share => "peer_share",
        Refused::Bytes => "peer_bytes",
        Refused::Streams => "peer_streams",
        Refused::BadTokens => "bad_tokens",
    }
}
