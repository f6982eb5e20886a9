//! The calls of the Workload API: what each waits for, what it sends, and how it is refused.
//!
//! A stream is driven by whoever reads it. What it sends is looked up when there is room, so a slow reader gets the newest
//! and nothing queues up.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::unfold;
use signet_identity::{SpiffeId, Svid, Timestamp};
use signet_proto::workload_api::spiffe_workload_api_server::{SpiffeWorkloadApi, SpiffeWorkloadApiServer};
use signet_proto::workload_api::{
    JwtBundlesRequest, JwtBundlesResponse, Jwtsvid, JwtsvidRequest, JwtsvidResponse, ValidateJwtsvidRequest,
    ValidateJwtsvidResponse, X509BundlesRequest, X509BundlesResponse, X509svidRequest, X509svidResponse,
};
use signet_runtime::tasks::chain;
use signet_runtime::{Clock, Shutdown};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tonic::service::interceptor::InterceptedService;
use tonic::{Code, Request, Response, Status};

use super::tokens::{Minted, Tokens};
use super::{gate, message};
use crate::ca_client::{CaClient, RequestError};
use crate::metrics::Metrics;
use crate::secrets::{SecretReader, Snapshot, Version, Versioned};

/// Largest message read, in bytes: audiences and a token.
const MESSAGE_MAX_BYTES: usize = 64 * 1024;

/// How long a call waits for something to answer with, before the caller is told to come back.
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// Tokens asked for at the CA at once; more wait for their turn.
const MINTING_MAX: usize = 8;

type Check = fn(Request<()>) -> Result<Request<()>, Status>;

/// The service, as a server takes it.
pub type WorkloadApiServer = InterceptedService<SpiffeWorkloadApiServer<WorkloadApi>, Check>;

/// Serves what is published, and tokens of the CA.
pub struct WorkloadApi {
    secrets: SecretReader,
    ca: Arc<CaClient>,
    tokens: Mutex<Tokens>,
    minting: Semaphore,
    clock: Clock,
    metrics: Metrics,
    shutdown: Shutdown,
}

impl WorkloadApi {
    /// A service that ends its streams when shutdown begins.
    pub fn new(secrets: SecretReader, ca: Arc<CaClient>, clock: Clock, metrics: Metrics, shutdown: Shutdown) -> Self {
        let (tokens, minting) = (Mutex::default(), Semaphore::new(MINTING_MAX));
        Self { secrets, ca, tokens, minting, clock, metrics, shutdown }
    }

    /// The server of it: behind the security header, with its bound on messages.
    pub fn into_server(self) -> WorkloadApiServer {
        let server = SpiffeWorkloadApiServer::new(self).max_decoding_message_size(MESSAGE_MAX_BYTES);
        InterceptedService::new(server, gate::check)
    }

    fn follow<T: Send + 'static>(&self, method: &'static str, view: fn(&Snapshot) -> Option<View<T>>) -> Messages<T> {
        let (secrets, shutdown) = (self.secrets.clone(), self.shutdown.clone());
        let follower = Follower { secrets, shutdown, metrics: self.metrics.clone(), method, view, sent: None };
        Box::pin(unfold(Some(follower), |follower| async move {
            let mut follower = follower?;
            match follower.next().await {
                Ok(message) => Some((Ok(message), Some(follower))),
                Err(status) => Some((Err(status), None)),
            }
        }))
    }

    /// The identity, for which a call may wait a little.
    async fn identity(&self) -> Result<Versioned<Svid>, Status> {
        let mut secrets = self.secrets.clone();
        match timeout(FIRST_WAIT, secrets.identity()).await {
            Ok(Ok(identity)) => Ok(identity),
            Ok(Err(_)) | Err(_) => Err(Status::unavailable(NO_IDENTITY)),
        }
    }

    async fn mint(&self, request: &JwtsvidRequest) -> Result<Minted, Status> {
        if request.audience.is_empty() || request.audience.iter().any(String::is_empty) {
            return Err(Status::invalid_argument("audience must be specified"));
        }
        let wanted: Option<SpiffeId> = match request.spiffe_id.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| Status::invalid_argument("spiffe_id is not a SPIFFE id"))?),
        };
        let identity = self.identity().await?;
        let held = identity.content();
        let id = held.id().clone();
        if wanted.is_some_and(|wanted| wanted != id) {
            return Err(Status::permission_denied("the caller has no such identity"));
        }
        let _turn = self.minting.acquire().await.map_err(|_| Status::unavailable("agent is stopping"))?;
        let now = Timestamp::from(self.clock.now());
        if let Some(kept) = self.tokens().fresh(&id, &request.audience, now) {
            return Ok(kept);
        }
        let minted = self.ca.mint(&id, &request.audience, Some(held)).await.map_err(|error| refused(&error))?;
        let minted = Minted { id, token: minted.token, minted_at: now, expires_at: minted.expires_at };
        self.tokens().keep(&request.audience, minted.clone(), now);
        Ok(minted)
    }

    fn tokens(&self) -> std::sync::MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counted<T>(&self, method: &'static str, answer: Result<T, Status>) -> Result<T, Status> {
        let code = answer.as_ref().map_or_else(Status::code, |_| Code::Ok);
        self.metrics.workload_call(method, code);
        if let Err(status) = &answer {
            tracing::info!(method, ?code, reason = status.message(), "program refused");
        }
        answer
    }
}

type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl SpiffeWorkloadApi for WorkloadApi {
    type FetchX509SVIDStream = Messages<X509svidResponse>;
    type FetchX509BundlesStream = Messages<X509BundlesResponse>;
    type FetchJWTBundlesStream = Messages<JwtBundlesResponse>;

    async fn fetch_x509svid(&self, _: Request<X509svidRequest>) -> Result<Response<Self::FetchX509SVIDStream>, Status> {
        Ok(Response::new(self.follow("FetchX509SVID", |snapshot| {
            let (svid, bundle) = (snapshot.svid.clone()?, snapshot.bundle.clone()?);
            let version = Version::of([svid.version(), bundle.version()].map(|version| version.as_str().as_bytes()));
            Some(View { version, message: Box::new(move || message::svid(svid.content(), bundle.content())) })
        })))
    }

    async fn fetch_x509_bundles(
        &self,
        _: Request<X509BundlesRequest>,
    ) -> Result<Response<Self::FetchX509BundlesStream>, Status> {
        Ok(Response::new(self.follow("FetchX509Bundles", |snapshot| {
            let bundle = snapshot.bundle.clone()?;
            let version = bundle.version().clone();
            Some(View { version, message: Box::new(move || message::bundles(bundle.content())) })
        })))
    }

    async fn fetch_jwtsvid(&self, call: Request<JwtsvidRequest>) -> Result<Response<JwtsvidResponse>, Status> {
        let minted = self.counted("FetchJWTSVID", self.mint(call.get_ref()).await)?;
        let (spiffe_id, svid) = (minted.id.as_str().to_owned(), minted.token.to_string());
        Ok(Response::new(JwtsvidResponse { svids: vec![Jwtsvid { spiffe_id, svid, hint: String::new() }] }))
    }

    async fn fetch_jwt_bundles(
        &self,
        _: Request<JwtBundlesRequest>,
    ) -> Result<Response<Self::FetchJWTBundlesStream>, Status> {
        self.counted("FetchJWTBundles", Err(Status::unimplemented(NO_KEYS)))
    }

    async fn validate_jwtsvid(
        &self,
        _: Request<ValidateJwtsvidRequest>,
    ) -> Result<Response<ValidateJwtsvidResponse>, Status> {
        self.counted("ValidateJWTSVID", Err(Status::unimplemented(NO_KEYS)))
    }
}

const NO_IDENTITY: &str = "no identity has come yet";

/// Why tokens cannot be judged here.
const NO_KEYS: &str = "keys of JWT-SVIDs are not known here, read them from the issuer's OpenID Connect endpoint";

/// What the CA's refusal is to a program: final where the CA has decided, to be tried again where it could not.
fn refused(error: &RequestError) -> Status {
    tracing::warn!(reason = error.reason(), error = chain(error), "token was not minted");
    match error {
        RequestError::Refused { code: Code::PermissionDenied, .. } => Status::permission_denied("the CA refused"),
        RequestError::Refused { code: Code::InvalidArgument, message, .. } => Status::invalid_argument(message.clone()),
        RequestError::Refused { code: Code::Unimplemented, .. } => Status::unimplemented("the CA mints no tokens"),
        _ => Status::unavailable("no token could be had from the CA now, try again"),
    }
}

/// What one kind of stream sends of what is published.
struct View<T> {
    /// Of the content: the same is not sent twice.
    version: Version,
    message: Box<dyn FnOnce() -> T + Send>,
}

struct Follower<T> {
    secrets: SecretReader,
    shutdown: Shutdown,
    metrics: Metrics,
    method: &'static str,
    view: fn(&Snapshot) -> Option<View<T>>,
    sent: Option<Version>,
}

impl<T> Follower<T> {
    async fn next(&mut self) -> Result<T, Status> {
        let (first, shutdown) = (self.sent.is_none(), self.shutdown.clone());
        let answer = tokio::select! {
            // Only states are waited for.
            answer = self.changed() => answer,
            () = shutdown.begun() => Err(Status::unavailable("agent is stopping")),
        };
        if first || answer.is_err() {
            let code = answer.as_ref().map_or_else(Status::code, |_| Code::Ok);
            self.metrics.workload_call(self.method, code);
        }
        answer
    }

    async fn changed(&mut self) -> Result<T, Status> {
        let news = async {
            loop {
                let view = (self.view)(&self.secrets.seen());
                match (view, &self.sent) {
                    (Some(view), sent) if sent.as_ref() != Some(&view.version) => return Ok(view),
                    // The standard wants a stream to end when all that it gave is withdrawn.
                    (None, Some(_)) => return Err(Status::permission_denied("the identity has expired")),
                    _ => {}
                }
                self.secrets.changed().await.map_err(|gone| Status::unavailable(gone.to_string()))?;
            }
        };
        let view = match &self.sent {
            Some(_) => news.await?,
            None => timeout(FIRST_WAIT, news).await.map_err(|_| Status::unavailable(NO_IDENTITY))??,
        };
        self.sent = Some(view.version);
        Ok((view.message)())
    }
}
