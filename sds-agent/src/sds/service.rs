//! One gRPC call each: feeds messages, news and time to the stream's state machine, sends what it says.
//!
//! A stream is driven by whoever reads its answers; there is no task of its own, and nothing is kept of the proxy but
//! its id.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use futures_util::Stream;
use futures_util::future::Either;
use futures_util::stream::unfold;
use signet_proto_envoy::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use signet_proto_envoy::pb::envoy::service::secret::v3::secret_discovery_service_server::SecretDiscoveryService;
use signet_runtime::Shutdown;
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::{Code, Request as Call, Response, Status, Streaming};

use crate::metrics::{Metrics, StreamGuard};
use crate::sds::ResourceName;
use crate::sds::delta::DeltaStream;
use crate::sds::demands::{Demands, Lease};
use crate::sds::exchange::{Exchange, invalid, not_served};
use crate::sds::keeper::ViewReader;
use crate::sds::stream::{Note, NothingServed, Outcome, Request, SotwStream, quoted, unknown, why};
use crate::sds::subscription::{Offer, Push, Reason, Refused};
use crate::sds::view::{Found, RootsForm};
use crate::sds::wire::{self, InvalidRequest, NodeId};

/// How long a unary call waits for what is looked for only when somebody asks.
const FETCH_WAIT: Duration = Duration::from_secs(2);

/// Rejections on one stream are told loudly at most this often.
const REJECTION_TOLD_EVERY: Duration = Duration::from_secs(1);

/// Serves what can be told.
#[derive(Debug)]
pub struct SdsService {
    views: ViewReader,
    demands: Demands,
    shutdown: Shutdown,
    metrics: Metrics,
}

impl SdsService {
    /// A service that ends its streams when shutdown begins.
    pub fn new(views: ViewReader, demands: Demands, shutdown: Shutdown, metrics: Metrics) -> Self {
        Self { views, demands, shutdown, metrics }
    }

    fn drive<X: Exchange>(&self, exchange: X, inbound: Streaming<X::Request>) -> Answers<X::Response> {
        let driver = Driver {
            exchange,
            inbound,
            views: self.views.clone(),
            demands: self.demands.clone(),
            leases: BTreeMap::new(),
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

    async fn fetch(&self, request: DiscoveryRequest) -> Result<DiscoveryResponse, Status> {
        let form = request.node.as_ref().map_or(RootsForm::Any, wire::roots_form);
        let request = Request::try_from(request).map_err(|error| invalid(&error))?;
        if request.known.is_empty() && request.unknown.is_empty() {
            return Err(invalid(&InvalidRequest::NoNames));
        }
        let (mut refused, mut offers) = (unknown(request.unknown), Vec::new());
        let until = Instant::now() + FETCH_WAIT;
        for name in request.known {
            match self.find(&name, form, until).await? {
                Found::Refused(why) => refused.push(Refused { name: name.to_string(), why }),
                Found::Ready(secret) => offers.push(Offer { secret, reason: Reason::Asked }),
                Found::Absent => {
                    return Err(Status::unavailable(format!("secret `{name}` is not available yet")));
                }
            }
        }
        self.metrics.unknown_names(refused.len());
        if offers.is_empty() {
            return Err(not_served(&NothingServed { refused }));
        }
        let push = Push { nonce: String::new(), offers, removed: Vec::new() };
        count(&self.metrics, &push);
        Ok(wire::response(push))
    }

    /// The answer to `name`; what is looked for only when somebody asks is asked for and waited for.
    async fn find(&self, name: &ResourceName, form: RootsForm, until: Instant) -> Result<Found, Status> {
        let mut views = self.views.clone();
        let found = views.seen().find(name, form);
        if !name.is_on_demand() || !matches!(found, Found::Absent) {
            return Ok(found);
        }
        let _lease = self.demands.lease(name.clone()).map_err(|error| Status::resource_exhausted(error.to_string()))?;
        loop {
            match views.seen().find(name, form) {
                Found::Absent => {}
                found => return Ok(found),
            }
            match timeout_at(until, views.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Ok(Found::Absent),
            }
        }
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
        let answer = self.fetch(call.into_inner()).await;
        if let Err(status) = &answer {
            tracing::info!(code = ?status.code(), reason = status.message(), "secrets were not fetched");
        }
        answer.map(Response::new)
    }
}

/// What a stream does next.
enum Next {
    Take(Outcome),
    Done,
}

struct Driver<X: Exchange> {
    exchange: X,
    inbound: Streaming<X::Request>,
    views: ViewReader,
    demands: Demands,
    /// What is looked for because this stream asks.
    leases: BTreeMap<ResourceName, Lease>,
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
                changed = self.views.changed() => match changed {
                    Ok(()) => self.exchange.news(&self.views.seen()).map(Next::Take),
                    Err(gone) => Err(Status::unavailable(gone.to_string())),
                },
                () = wait => self.exchange.news(&self.views.current()).map(Next::Take),
                () = self.shutdown.begun() => Err(Status::unavailable("agent is stopping")),
            };
            let Outcome { push, notes } = match next {
                Ok(Next::Take(outcome)) => outcome,
                Ok(Next::Done) => return None,
                Err(status) => return Some(Err(status)),
            };
            notes.iter().for_each(|note| self.tell(note));
            if let Some(push) = push {
                count(&self.metrics, &push);
                return Some(Ok(X::encode(push)));
            }
        }
    }

    fn request(&mut self, message: Result<Option<X::Request>, Status>) -> Result<Next, Status> {
        let message = match message {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(Next::Done),
            Err(status) => return self.broken(&status),
        };
        self.answer(message).map(Next::Take).inspect_err(|status| {
            self.metrics.stream_failed();
            tracing::warn!(node = self.node_id(), code = ?status.code(), reason = status.message(), "stream refused");
        })
    }

    fn answer(&mut self, message: X::Request) -> Result<Outcome, Status> {
        if self.node.is_none() {
            let node = X::node(&message);
            self.node = Some(NodeId::of(node).map_err(|error| invalid(&error))?);
            if let Some(node) = node {
                self.exchange.greet(node);
            }
        }
        let outcome = self.exchange.answer(message, &self.views.current())?;
        self.lease()?;
        Ok(outcome)
    }

    /// Asks for what this stream wants and is looked for only then, and for nothing else any more.
    fn lease(&mut self) -> Result<(), Status> {
        let wanted = self.exchange.wanted();
        self.leases.retain(|name, _| wanted.contains(name));
        for name in wanted.names().filter(|name| name.is_on_demand()) {
            if !self.leases.contains_key(name) {
                let lease = self.demands.lease(name.clone());
                let lease = lease.map_err(|error| Status::resource_exhausted(error.to_string()))?;
                self.leases.insert(name.clone(), lease);
            }
        }
        Ok(())
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
            Note::Refused(refused) => {
                self.metrics.unknown_names(refused.len());
                tracing::warn!(node = self.node_id(), reason = why(refused), "proxy asked for what it cannot have");
            }
        }
    }

    /// Every rejection is counted, but a proxy that rejects in a loop must not fill the log.
    fn tell_rejection(&mut self, names: &[ResourceName], reason: &str) {
        self.metrics.rejected(names.iter().map(ResourceName::kind));
        let names: Vec<_> = names.iter().map(ResourceName::to_string).collect();
        let (now, secrets) = (Instant::now(), quoted(&names));
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

fn count(metrics: &Metrics, push: &Push) {
    for offer in &push.offers {
        metrics.pushed(offer.secret.name().kind(), offer.reason.name());
    }
}
