//! One gRPC call each: feeds messages, news and time to the stream's state machine, sends what it says.
//!
//! A stream is driven by whoever reads its answers; there is no task of its own, and nothing is kept of the proxy but
//! its id.

use std::pin::Pin;
use std::time::Duration;

use futures_util::Stream;
use futures_util::future::Either;
use futures_util::stream::unfold;
use signet_proto_envoy::pb::envoy::config::core::v3::Node;
use signet_proto_envoy::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use signet_proto_envoy::pb::envoy::service::secret::v3::secret_discovery_service_server::SecretDiscoveryService;
use signet_runtime::Shutdown;
use tokio::time::{Instant, sleep_until};
use tonic::{Code, Request as Call, Response, Status, Streaming};

use crate::metrics::{Metrics, StreamGuard};
use crate::sds::SecretName;
use crate::sds::delta::{DeltaRequest, DeltaStream};
use crate::sds::stream::{Note, Outcome, Request, SotwStream, quoted};
use crate::sds::subscription::{Offer, Push, Reason, Secret};
use crate::sds::wire::{self, InvalidRequest, NodeId};
use crate::secrets::{SecretReader, Snapshot};

/// Rejections on one stream are told loudly at most this often.
const REJECTION_TOLD_EVERY: Duration = Duration::from_secs(1);

/// Serves what `secrets` holds.
#[derive(Debug)]
pub struct SdsService {
    secrets: SecretReader,
    shutdown: Shutdown,
    metrics: Metrics,
}

impl SdsService {
    /// A service that ends its streams when shutdown begins.
    pub fn new(secrets: SecretReader, shutdown: Shutdown, metrics: Metrics) -> Self {
        Self { secrets, shutdown, metrics }
    }

    fn drive<X: Exchange>(&self, exchange: X, inbound: Streaming<X::Request>) -> Answers<X::Response> {
        let driver = Driver {
            exchange,
            inbound,
            secrets: self.secrets.clone(),
            shutdown: self.shutdown.clone(),
            metrics: self.metrics.clone(),
            node: None,
            rejection_told: None,
            _counted: self.metrics.stream(X::KIND),
        };
        Box::pin(unfold(Some(driver), |driver| async move {
            let mut driver = driver?;
            match driver.next().await {
                Some(Ok(response)) => Some((Ok(response), Some(driver))),
                Some(Err(status)) => Some((Err(status), None)),
                None => None,
            }
        }))
    }

    fn fetch(&self, request: DiscoveryRequest) -> Result<DiscoveryResponse, Status> {
        let request = Request::try_from(request).map_err(|error| invalid(&error))?;
        if request.known.is_empty() && request.unknown.is_empty() {
            return Err(invalid(&InvalidRequest::NoNames));
        }
        self.metrics.unknown_names(request.unknown.len());
        if request.known.is_empty() {
            return Err(Status::not_found(format!("no secret is named {}", quoted(&request.unknown))));
        }
        let snapshot = self.secrets.current();
        let missing: Vec<_> =
            request.known.iter().filter(|name| Secret::current(**name, &snapshot).is_none()).collect();
        if let Some(name) = missing.first() {
            return Err(Status::unavailable(format!("secret `{}` is not available yet", name.as_str())));
        }
        let secrets = request.known.iter().filter_map(|name| Secret::current(*name, &snapshot));
        let offers: Vec<_> = secrets.map(|secret| Offer { secret, reason: Reason::Asked }).collect();
        let push = Push { nonce: String::new(), offers, removed: Vec::new() };
        count(&self.metrics, &push);
        Ok(wire::response(push))
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl SecretDiscoveryService for SdsService {
    type StreamSecretsStream = Answers<DiscoveryResponse>;
    type DeltaSecretsStream = Answers<DeltaDiscoveryResponse>;

    async fn stream_secrets(
        &self,
        call: Call<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamSecretsStream>, Status> {
        Ok(Response::new(self.drive(SotwStream::new(fastrand::u32(..)), call.into_inner())))
    }

    async fn delta_secrets(
        &self,
        call: Call<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaSecretsStream>, Status> {
        Ok(Response::new(self.drive(DeltaStream::new(fastrand::u32(..)), call.into_inner())))
    }

    async fn fetch_secrets(&self, call: Call<DiscoveryRequest>) -> Result<Response<DiscoveryResponse>, Status> {
        let answer = self.fetch(call.into_inner());
        if let Err(status) = &answer {
            tracing::info!(code = ?status.code(), reason = status.message(), "secrets were not fetched");
        }
        answer.map(Response::new)
    }
}

/// What the two forms of the protocol have in common for the one who drives a stream.
trait Exchange: Send + 'static {
    const KIND: &'static str;
    type Request: Send + 'static;
    type Response: Send + 'static;

    fn node(request: &Self::Request) -> Option<&Node>;
    fn answer(&mut self, request: Self::Request, snapshot: &Snapshot) -> Result<Outcome, Status>;
    fn news(&mut self, snapshot: &Snapshot) -> Option<Push>;
    fn wake_at(&self) -> Option<Instant>;
    fn encode(push: Push) -> Self::Response;
}

impl Exchange for SotwStream {
    const KIND: &'static str = "sotw";
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;

    fn node(request: &Self::Request) -> Option<&Node> {
        request.node.as_ref()
    }

    fn answer(&mut self, request: Self::Request, snapshot: &Snapshot) -> Result<Outcome, Status> {
        let request = Request::try_from(request).map_err(|error| invalid(&error))?;
        let outcome = self.on_request(request, snapshot, Instant::now());
        outcome.map_err(|error| Status::not_found(error.to_string()))
    }

    fn news(&mut self, snapshot: &Snapshot) -> Option<Push> {
        self.on_change(snapshot, Instant::now())
    }

    fn wake_at(&self) -> Option<Instant> {
        Self::wake_at(self)
    }

    fn encode(push: Push) -> Self::Response {
        wire::response(push)
    }
}

impl Exchange for DeltaStream {
    const KIND: &'static str = "delta";
    type Request = DeltaDiscoveryRequest;
    type Response = DeltaDiscoveryResponse;

    fn node(request: &Self::Request) -> Option<&Node> {
        request.node.as_ref()
    }

    fn answer(&mut self, request: Self::Request, snapshot: &Snapshot) -> Result<Outcome, Status> {
        let request = DeltaRequest::try_from(request).map_err(|error| invalid(&error))?;
        Ok(self.on_request(request, snapshot, Instant::now()))
    }

    fn news(&mut self, snapshot: &Snapshot) -> Option<Push> {
        self.on_change(snapshot, Instant::now())
    }

    fn wake_at(&self) -> Option<Instant> {
        Self::wake_at(self)
    }

    fn encode(push: Push) -> Self::Response {
        wire::delta_response(push)
    }
}

/// What a stream does next.
enum Next {
    Send(Push),
    Wait,
    Done,
}

impl From<Option<Push>> for Next {
    fn from(push: Option<Push>) -> Self {
        push.map_or(Self::Wait, Self::Send)
    }
}

struct Driver<X: Exchange> {
    exchange: X,
    inbound: Streaming<X::Request>,
    secrets: SecretReader,
    shutdown: Shutdown,
    metrics: Metrics,
    node: Option<NodeId>,
    /// When a rejection was last told loudly.
    rejection_told: Option<Instant>,
    _counted: StreamGuard,
}

impl<X: Exchange> Driver<X> {
    /// The next answer; `None` when the client is done.
    async fn next(&mut self) -> Option<Result<X::Response, Status>> {
        loop {
            let wait = match self.exchange.wake_at() {
                Some(at) => Either::Left(sleep_until(at)),
                None => Either::Right(std::future::pending()),
            };
            let next = tokio::select! {
                // Requests come first: one may drop what would otherwise be pushed. A message that is half read stays
                // in the stream, news stay marked as not seen, and a wait is begun anew.
                biased;
                message = self.inbound.message() => self.request(message),
                changed = self.secrets.changed() => match changed {
                    Ok(()) => Ok(self.exchange.news(&self.secrets.seen()).into()),
                    Err(gone) => Err(Status::unavailable(gone.to_string())),
                },
                () = wait => Ok(self.exchange.news(&self.secrets.current()).into()),
                () = self.shutdown.begun() => Err(Status::unavailable("agent is stopping")),
            };
            match next {
                Ok(Next::Wait) => {}
                Ok(Next::Done) => return None,
                Ok(Next::Send(push)) => {
                    count(&self.metrics, &push);
                    return Some(Ok(X::encode(push)));
                }
                Err(status) => return Some(Err(status)),
            }
        }
    }

    fn request(&mut self, message: Result<Option<X::Request>, Status>) -> Result<Next, Status> {
        let message = match message {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(Next::Done),
            Err(status) => return self.broken(&status),
        };
        self.answer(message).map(Next::from).inspect_err(|status| {
            self.metrics.stream_failed();
            tracing::warn!(node = self.node_id(), code = ?status.code(), reason = status.message(), "stream refused");
        })
    }

    fn answer(&mut self, message: X::Request) -> Result<Option<Push>, Status> {
        if self.node.is_none() {
            self.node = Some(NodeId::of(X::node(&message)).map_err(|error| invalid(&error))?);
        }
        let Outcome { push, notes } = self.exchange.answer(message, &self.secrets.current())?;
        notes.iter().for_each(|note| self.tell(note));
        Ok(push)
    }

    fn broken(&self, status: &Status) -> Result<Next, Status> {
        match status.code() {
            Code::Internal | Code::OutOfRange | Code::ResourceExhausted => {
                self.metrics.stream_failed();
                tracing::warn!(node = self.node_id(), reason = status.message(), "message could not be read");
                Err(Status::invalid_argument("message is malformed or too large"))
            }
            _ => {
                tracing::debug!(node = self.node_id(), code = ?status.code(), "client went away");
                Ok(Next::Done)
            }
        }
    }

    fn tell(&mut self, note: &Note) {
        match note {
            Note::Rejected { names, message } => self.tell_rejection(names, message),
            Note::Stale => {
                self.metrics.stale_nonce();
                tracing::debug!(node = self.node_id(), "message with a stale nonce ignored");
            }
            Note::Unknown { names } => {
                self.metrics.unknown_names(names.len());
                tracing::warn!(node = self.node_id(), names = quoted(names), "proxy asked for unknown secrets");
            }
        }
    }

    /// Every rejection is counted, but a proxy that rejects in a loop must not fill the log.
    fn tell_rejection(&mut self, names: &[SecretName], reason: &str) {
        let names: Vec<_> = names.iter().copied().map(SecretName::as_str).collect();
        self.metrics.rejected(names.iter().copied());
        let (now, secrets) = (Instant::now(), names.join(","));
        if self.rejection_told.is_none_or(|told| now >= told + REJECTION_TOLD_EVERY) {
            self.rejection_told = Some(now);
            tracing::warn!(node = self.node_id(), secrets, reason, "proxy rejected a secret");
        } else {
            tracing::debug!(node = self.node_id(), secrets, reason, "proxy rejected a secret again");
        }
    }

    fn node_id(&self) -> &str {
        self.node.as_ref().map_or("unknown", NodeId::as_str)
    }
}

fn invalid(error: &InvalidRequest) -> Status {
    Status::invalid_argument(error.to_string())
}

fn count(metrics: &Metrics, push: &Push) {
    for offer in &push.offers {
        metrics.pushed(offer.secret.name().as_str(), offer.reason.name());
    }
}
