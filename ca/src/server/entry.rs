//! Where every request comes in: it gets a name, a deadline and a place, and whatever becomes of it is counted.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use signet_identity::KeyError;
use signet_proto::istio_ca::istio_certificate_service_server::IstioCertificateServiceServer;
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::Service;

use super::idle::{Activity, Stream};
use super::methods::Methods;
use super::peers::{Connection, Place, Refused};
use crate::authenticate::Presented;
use crate::call::{self, Arrival, RequestIds};
use crate::metrics::{GrpcCall, Metrics};
use crate::service::CertificateService;

/// Most time from a request's headers to its answer, so that a body sent in drops does not hold a place.
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);

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
}

impl Entry {
    pub(super) fn new(
        certificates: IstioCertificateServiceServer<CertificateService>,
        others: Routes,
        metrics: Metrics,
    ) -> Result<Self, KeyError> {
        let (methods, ids) = (Methods::new(&metrics), Arc::new(RequestIds::new()?));
        Ok(Self { certificates, others: others.prepare(), methods, ids, metrics })
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

    fn place(&self, is_costly: bool) -> Result<Option<Place>, Refused> {
        if is_costly { self.connection.ask(Instant::now()).map(Some) } else { Ok(None) }
    }
}

impl hyper::service::Service<Request<Incoming>> for Standing {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (method, is_for_certificates) = self.entry.methods.at(request.uri().path());
        let call = GrpcCall::begin(method.counters.clone());
        let id = self.entry.ids.next();
        let place = match self.place(method.is_costly) {
            Ok(place) => place,
            Err(refused) => {
                self.entry.metrics.admission().shed(reason(refused));
                let answer = told(busy(), call, id);
                return Box::pin(std::future::ready(Ok(answer)));
            }
        };
        let (now, stream) = (Instant::now(), self.activity.stream());
        let deadline = call::timeout(request.headers()).and_then(|timeout| now.checked_add(timeout));
        let latest = now + REQUEST_DEADLINE;
        let until = deadline.map_or(latest, |deadline| deadline.min(latest));
        let (counters, connection) = (method.counters.clone(), self.connection.clone());
        let (request_id, peer, presented) = (id.clone(), self.peer, self.presented.clone());
        let arrival = Arrival { request_id, peer, deadline, connection, counters, presented };
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Arc::new(arrival));
        if is_for_certificates {
            let answer = self.entry.certificates.clone().call(request);
            let answered = answered(answer, place, until, call, id);
            Box::pin(async move {
                // Its one message is ready with its head.
                let _stream = stream;
                answered.await
            })
        } else {
            let answer = self.entry.others.clone().call(request);
            let answered = answered(answer, place, until, call, id);
            Box::pin(async move { answered.await.map(|response| response.map(|body| open_with(body, stream))) })
        }
    }
}

async fn answered(
    answer: impl Future<Output = Result<Response<Body>, Infallible>>,
    place: Option<Place>,
    until: Instant,
    call: GrpcCall,
    id: String,
) -> Result<Response<Body>, Infallible> {
    let response = match timeout_at(until, answer).await {
        Ok(Ok(response)) => response,
        Err(_) => Status::deadline_exceeded(LATE_TEXT).into_http(),
    };
    drop(place);
    Ok(told(response, call, id))
}

/// `body`, with which `stream` ends.
fn open_with(body: Body, stream: Stream) -> Body {
    Body::new(body.map_frame(move |frame| {
        let _open = &stream;
        frame
    }))
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
        Refused::BadTokens => "bad_tokens",
    }
}
