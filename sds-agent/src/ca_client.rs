//! The CA client: one key and one token out, one verified identity back.
//!
//! Every call stands alone: the token, the roots and the connection are fresh, so a rotated root file or token is in
//! force at the next call and no dead connection is ever met. Calls are hours apart; a handshake each is the price.
//! Transient refusals are tried again within the same request, a few times and briefly; when to ask again after that
//! is the rotation's business. The token is sent over TLS only: there is no other way out of this module.

use std::time::Duration;

use signet_identity::{PrivateKey, SpiffeId, Timestamp, WorkloadName, csr};
use signet_proto::istio_ca::IstioCertificateRequest;
use signet_proto::istio_ca::istio_certificate_service_client::IstioCertificateServiceClient;
use signet_runtime::{Backoff, Clock};
use tokio::time::{Instant, sleep, timeout};
use tonic::metadata::{AsciiMetadataValue, MetadataMap};

use crate::config::{CaConfig, Config, IdentityConfig, TokenConfig};
use crate::metrics::Metrics;
use crate::token::{Token, TokenError};

mod channel;
mod error;
mod roots;
mod verify;

pub use channel::{ChannelError, RootsError};
pub use error::RequestError;
pub use verify::{AnswerError, Issued};

/// Calls made for one request before it is given up.
pub const TRIES_MAX: u32 = 5;

/// Wait after the first failed call; it doubles each time.
const RETRY_FIRST: Duration = Duration::from_millis(100);

/// Longest wait between two calls.
const RETRY_MAX: Duration = Duration::from_millis(800);

/// Share of each wait that is random.
const RETRY_JITTER: f64 = 0.1;

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
}

impl CaClient {
    /// A client by `config`.
    pub fn new(config: &Config, clock: Clock, metrics: Metrics) -> Self {
        let (ca, token, identity) = (config.ca.clone(), config.token.clone(), config.identity.clone());
        Self { ca, token, identity, clock, metrics }
    }

    /// Obtains an identity for `key`, calling up to [`TRIES_MAX`] times. A call that took its whole deadline is not
    /// repeated here: whoever waits is told first.
    ///
    /// # Errors
    /// The last call's, every variant of [`RequestError`].
    pub async fn request(&self, key: &PrivateKey) -> Result<Issued, RequestError> {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX, RETRY_JITTER);
        let mut attempt = 0;
        loop {
            let error = match self.call(key).await {
                Ok(issued) => return Ok(issued),
                Err(error) => error,
            };
            let silent = matches!(error, RequestError::Deadline { .. });
            if silent || !error.is_transient() || attempt + 1 == TRIES_MAX {
                return Err(error);
            }
            tracing::debug!(
                attempt,
                error = signet_runtime::tasks::chain(&error),
                "call to the CA failed, trying again"
            );
            sleep(backoff.wait(attempt)).await;
            self.metrics.outgoing_retry();
            attempt += 1;
        }
    }

    async fn call(&self, key: &PrivateKey) -> Result<Issued, RequestError> {
        let token = self.token()?;
        let id = self.wanted(&token)?;
        let roots = channel::Roots::read(&self.ca.root_file)?;
        let request = self.message(key, &id, &token)?;
        let deadline = self.ca.deadline;
        let begun = Instant::now();
        let answer = timeout(deadline, self.exchange(&roots, request)).await;
        let answer = answer.unwrap_or(Err(RequestError::Deadline { deadline }));
        self.metrics.outgoing_request(begun.elapsed(), answer.is_ok());
        Ok(verify::verify(&answer?, key, &id, self.now())?)
    }

    fn token(&self) -> Result<Token, TokenError> {
        let token = Token::read(&self.token, self.now());
        match &token {
            Ok(token) => self.metrics.token_expires_at(token.expires_at()),
            Err(TokenError::Expired { at }) => self.metrics.token_expires_at(*at),
            Err(_) => {}
        }
        token
    }

    async fn exchange(
        &self,
        roots: &channel::Roots,
        request: tonic::Request<IstioCertificateRequest>,
    ) -> Result<Vec<String>, RequestError> {
        let channel = channel::connect(&self.ca, roots).await?;
        let mut client = IstioCertificateServiceClient::new(channel).max_decoding_message_size(ANSWER_MAX_BYTES);
        let answer = client.create_certificate(request).await.map_err(|status| RequestError::refused(&status))?;
        Ok(answer.into_inner().cert_chain)
    }

    fn message(
        &self,
        key: &PrivateKey,
        id: &SpiffeId,
        token: &Token,
    ) -> Result<tonic::Request<IstioCertificateRequest>, RequestError> {
        let mut request = tonic::Request::new(IstioCertificateRequest {
            csr: csr::create(key, id)?,
            validity_duration: i64::try_from(self.identity.ttl.as_secs()).unwrap_or(i64::MAX),
            metadata: None,
        });
        self.write_headers(request.metadata_mut(), token)?;
        Ok(request)
    }

    fn write_headers(&self, headers: &mut MetadataMap, token: &Token) -> Result<(), RequestError> {
        for header in &self.ca.headers {
            headers.insert(header.name.clone(), header.value.clone());
        }
        if let Some(id) = &self.ca.cluster_id {
            let id = AsciiMetadataValue::try_from(id.as_str()).map_err(|_| TokenError::Claims)?;
            headers.insert("clusterid", id);
        }
        let bearer = zeroize::Zeroizing::new(format!("Bearer {}", token.expose()));
        let mut bearer = AsciiMetadataValue::try_from(bearer.as_str()).map_err(|_| TokenError::Claims)?;
        bearer.set_sensitive(true);
        headers.insert("authorization", bearer);
        Ok(())
    }

    /// Whose identity to ask for: what is configured, and the token's own names where nothing is.
    fn wanted(&self, token: &Token) -> Result<SpiffeId, RequestError> {
        let found = token.workload();
        let namespace = self.identity.namespace.as_ref().or(found.map(|name| &name.namespace));
        let account = self.identity.service_account.as_ref().or(found.map(|name| &name.service_account));
        let (Some(namespace), Some(account)) = (namespace, account) else { return Err(RequestError::NoWorkload) };
        let wanted = WorkloadName { namespace: namespace.clone(), service_account: account.clone() };
        match found {
            Some(found) if *found != wanted => Err(RequestError::OtherWorkload { found: found.clone(), wanted }),
            _ => Ok(wanted.spiffe_id(&self.identity.trust_domain)),
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now().into()
    }
}
