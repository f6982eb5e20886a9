//! The CA client: one key and one token out, one verified identity back.
//!
//! Every call stands alone: the token, the roots and the connection are fresh, so a rotated root file or token is in
//! force at the next call and no dead connection is ever met. Calls are hours apart; a handshake each is the price.
//! Transient refusals are tried again within the same request, a few times and briefly; when to ask again after that
//! is the rotation's business. The token is sent over TLS only: there is no other way out of this module. It is always
//! tried first; the certificate held is shown only where the token is missing, looks bad, or was refused.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use signet_identity::{PrivateKey, Svid, Timestamp, csr};
use signet_proto::istio_ca::IstioCertificateRequest;
use signet_proto::istio_ca::istio_certificate_service_client::IstioCertificateServiceClient;
use signet_runtime::tasks::chain;
use signet_runtime::{Backoff, Clock};
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::config::{CaConfig, CaEndpoint, Config, IdentityConfig, TokenConfig};
use crate::metrics::Metrics;

mod channel;
mod error;
mod mint;
mod proof;
mod roots;
mod verify;

pub use channel::{ChannelError, RootsError};
pub use error::RequestError;
pub use mint::MintedToken;
use proof::Proof;
pub use verify::{AnswerError, Issued};

/// Calls made for one request before it is given up.
pub const TRIES_MAX: u32 = 5;

/// Wait after the first failed call; it doubles each time.
const RETRY_FIRST: Duration = Duration::from_millis(100);

/// Longest wait between two calls.
const RETRY_MAX: Duration = Duration::from_millis(800);

/// Share of each wait that is random.
const RETRY_JITTER: f64 = 0.1;

/// Longest wait that the CA may ask for within a request; a longer one is the rotation's.
const HINT_WAITED_MAX: Duration = Duration::from_secs(2);

/// Largest answer read, in bytes: a full trust bundle and a chain.
const ANSWER_MAX_BYTES: usize = 2 * 1024 * 1024;

/// Asks one CA for one workload's identity.
#[derive(Debug)]
pub struct CaClient {
    ca: CaConfig,
    token: TokenConfig,
    identity: IdentityConfig,
    clock: Clock,
    metrics: Metrics,
    /// How often it was moved on from one place to the next.
    moves: AtomicUsize,
}

impl CaClient {
    /// A client by `config`.
    pub fn new(config: &Config, clock: Clock, metrics: Metrics) -> Self {
        let (ca, token, identity) = (config.ca.clone(), config.token.clone(), config.identity.clone());
        Self { ca, token, identity, clock, metrics, moves: AtomicUsize::new(0) }
    }

    /// Obtains an identity for `key`, calling up to [`TRIES_MAX`] times: each place of the CA in turn, and only when none
    /// answers again after a wait. Who answered last is asked first the next time. A call that took its whole deadline
    /// is not repeated at the same place: whoever waits is told first. `held` is the identity held, which is shown
    /// where the token is good for nothing.
    ///
    /// # Errors
    /// The last call's, every variant of [`RequestError`].
    pub async fn request(&self, key: &PrivateKey, held: Option<&Svid>) -> Result<Issued, RequestError> {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX, RETRY_JITTER);
        let (mut attempt, mut waits, mut moves) = (1, 0, 0);
        loop {
            let error = match self.call(key, held).await {
                Ok(issued) => return Ok(issued),
                Err(error) => error,
            };
            let moved = error.is_the_places() && self.move_on();
            let elsewhere = moved && moves < self.ca.alternatives.len();
            let hint = error.retry_after().unwrap_or_default();
            let silent = matches!(error, RequestError::Deadline { .. });
            let again = elsewhere || (error.is_transient() && !silent && hint <= HINT_WAITED_MAX);
            if !again || attempt >= TRIES_MAX {
                return Err(error);
            }
            tracing::debug!(attempt, error = chain(&error), elsewhere, "call to the CA failed, trying again");
            if elsewhere {
                moves += 1;
            } else {
                sleep(backoff.wait(waits).max(hint)).await;
                (waits, moves) = (waits + 1, 0);
            }
            self.metrics.outgoing_retry();
            attempt += 1;
        }
    }

    async fn call(&self, key: &PrivateKey, held: Option<&Svid>) -> Result<Issued, RequestError> {
        let (issued, token_trouble) = self.prove(held, |proof| self.ask(proof, key)).await?;
        let Some(trouble) = token_trouble else { return Ok(issued) };
        self.metrics.proved_by_certificate();
        Ok(Issued { token_trouble: Some(chain(&trouble)), ..issued })
    }

    async fn ask(&self, proof: Proof<'_>, key: &PrivateKey) -> Result<Issued, RequestError> {
        let roots = channel::Roots::read(&self.ca.root_file)?;
        let request = self.with_headers(
            &proof,
            IstioCertificateRequest {
                csr: csr::create(key, &proof.id)?,
                validity_duration: i64::try_from(self.identity.ttl.as_secs()).unwrap_or(i64::MAX),
                metadata: None,
            },
        )?;
        let begun = Instant::now();
        let exchange = self.exchange(&roots, &proof, |channel| async move {
            let mut client = IstioCertificateServiceClient::new(channel).max_decoding_message_size(ANSWER_MAX_BYTES);
            client.create_certificate(request).await
        });
        let answer = exchange.await;
        self.metrics.outgoing_request(begun.elapsed(), answer.is_ok());
        Ok(verify::verify(&answer?.cert_chain, key, &proof.id, self.now())?)
    }

    /// One call within its deadline, over a connection of its own that shows what `proof` shows in a handshake.
    async fn exchange<T, F: Future<Output = Result<Response<T>, Status>>>(
        &self,
        roots: &channel::Roots,
        proof: &Proof<'_>,
        call: impl FnOnce(Channel) -> F,
    ) -> Result<T, RequestError> {
        let deadline = self.ca.deadline;
        let exchange = async {
            let channel = channel::connect(self.place(), roots, proof.certificate()).await?;
            call(channel).await.map(Response::into_inner).map_err(|status| RequestError::refused(&status))
        };
        timeout(deadline, exchange).await.unwrap_or(Err(RequestError::Deadline { deadline }))
    }

    fn place(&self) -> &CaEndpoint {
        self.ca.place(self.moves.load(Ordering::Relaxed))
    }

    /// Goes to the next place, for all who ask; `false` when there is none.
    fn move_on(&self) -> bool {
        self.moves.fetch_add(1, Ordering::Relaxed);
        !self.ca.alternatives.is_empty()
    }

    /// Goes to the next place if `error` is this one's; the call is not repeated.
    fn pass_over(&self, error: &RequestError) {
        if error.is_the_places() {
            self.move_on();
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now().into()
    }
}
