//! The task that keeps a watch on the CA's roots open, tells what it hears and acknowledges what was published.
//!
//! A CA that cannot tell its roots apart from certificates is asked again now and then, and nothing is wrong: roots then
//! come with certificates alone. The watch begins after the first identity, which it must not delay.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use signet_identity::{Timestamp, TrustDomain};
use signet_proto::signet_ca::WatchResponse;
use signet_runtime::tasks::chain;
use signet_runtime::{Backoff, Clock, HealthHandle, Shutdown};
use tokio::time::{Instant, sleep, sleep_until};
use tonic::{Code, Streaming};

use super::{Announced, RootsTeller};
use crate::ca_client::{CaClient, RequestError};
use crate::metrics::Metrics;
use crate::secrets::{SecretReader, Versioned};

/// Wait after the first failure; it doubles each time.
const RETRY_FIRST: Duration = Duration::from_millis(500);

/// Longest wait after a failure.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Share of each wait that is random.
const RETRY_JITTER: f64 = 0.3;

/// Longest wait that the CA may ask for.
const HINT_MAX: Duration = Duration::from_secs(10 * 60);

/// Wait before a CA is asked again that cannot tell its roots: it may have been replaced by one that can.
const UNSUPPORTED_RETRY: Duration = Duration::from_secs(15 * 60);

/// How long a generation older than the one in force is looked at before it is believed: a replica may lag behind, an
/// authority that was restored does not catch up.
pub const OLDER_HELD: Duration = Duration::from_secs(60);

/// Keeps the watch.
#[derive(Debug)]
pub struct RootsWatcher {
    ca: Arc<CaClient>,
    trust_domain: TrustDomain,
    teller: RootsTeller,
    secrets: SecretReader,
    clock: Clock,
    health: HealthHandle,
    metrics: Metrics,
    /// What was last told loudly, so that repetitions are told softly.
    told: Option<&'static str>,
    /// Failures since something was heard.
    failures: u32,
}

/// How a watch ended.
enum End {
    /// In peace, as every watch does after a while.
    Closed,
    /// The CA has no such service.
    Unsupported,
    Failed(RequestError),
}

impl From<RequestError> for End {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Refused { code: Code::Unimplemented, .. } => Self::Unsupported,
            error => Self::Failed(error),
        }
    }
}

/// A generation that is older than the one in force, and until when it is only looked at.
type Held = Option<(Arc<Announced>, Instant)>;

impl RootsWatcher {
    /// A watcher of `ca`'s roots of `trust_domain`, which begins once there is an identity in `secrets`.
    pub fn new(
        ca: Arc<CaClient>,
        trust_domain: TrustDomain,
        teller: RootsTeller,
        secrets: SecretReader,
        clock: Clock,
        health: HealthHandle,
        metrics: Metrics,
    ) -> Self {
        health.ready();
        Self { ca, trust_domain, teller, secrets, clock, health, metrics, told: None, failures: 0 }
    }

    /// Runs until shutdown.
    ///
    /// # Errors
    /// None: whatever fails is tried again.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), Infallible> {
        tokio::select! {
            // Both only wait for states that last, or begin anew what was lost.
            () = self.keep() => {}
            () = shutdown.begun() => {}
        }
        Ok(())
    }

    async fn keep(&mut self) {
        if self.secrets.identity().await.is_err() {
            std::future::pending::<()>().await;
        }
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX, RETRY_JITTER);
        loop {
            let end = self.watch().await;
            self.metrics.roots_watched(false);
            let wait = match end {
                End::Closed => backoff.wait(0),
                End::Unsupported => {
                    self.unsupported();
                    UNSUPPORTED_RETRY
                }
                End::Failed(error) => {
                    self.failed(&error);
                    self.failures = self.failures.saturating_add(1);
                    backoff.wait(self.failures - 1).max(error.retry_after().unwrap_or_default().min(HINT_MAX))
                }
            };
            sleep(wait).await;
        }
    }

    async fn watch(&mut self) -> End {
        let svid = self.secrets.current().svid;
        let mut watch = match self.ca.watch_roots(svid.as_ref().map(Versioned::content)).await {
            Ok(watch) => watch,
            Err(error) => return error.into(),
        };
        // Zero, whatever was acknowledged before: who answers may be another authority, whose numbers mean other roots.
        watch.acknowledge(0);
        let mut held: Held = None;
        let mut newest: Option<Arc<Announced>> = None;
        loop {
            let until = held.as_ref().map(|(_, until)| *until);
            tokio::select! {
                // A message that is half read stays in the stream; what is published stays marked as new.
                message = next(&mut watch.hears) => match message {
                    Ok(message) => newest = self.take(&message, &mut held).or(newest),
                    Err(end) => return end,
                },
                announced = self.teller.published() => {
                    if newest.as_ref().is_some_and(|newest| Arc::ptr_eq(newest, &announced)) {
                        self.metrics.roots_generation(announced.generation());
                        watch.acknowledge(announced.generation());
                    }
                }
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {
                    if let Some((older, _)) = held.take() {
                        tracing::warn!(generation = older.generation(), "the CA went back to an older generation of its roots");
                        newest = Some(self.tell(older));
                    }
                }
            }
        }
    }

    /// Takes in one message; says what was told on, if anything was.
    fn take(&mut self, message: &WatchResponse, held: &mut Held) -> Option<Arc<Announced>> {
        let announced = match Announced::judge(message, &self.trust_domain, Timestamp::from(self.clock.now())) {
            Ok(announced) => Arc::new(announced),
            Err(error) => {
                self.metrics.roots_refused();
                // Those that come with certificates may be better.
                self.teller.lost();
                let error = chain(&error);
                tracing::error!(error, generation = message.generation, "roots refused, those in force stay");
                self.health.degraded(format!("the CA's newest roots were refused: {error}"));
                return None;
            }
        };
        self.heard();
        let in_force = self.teller.announced();
        if in_force.as_ref().is_some_and(|in_force| announced.generation() < in_force.generation()) {
            tracing::info!(generation = announced.generation(), "the CA told older roots than are in force, waiting");
            *held = Some((announced, Instant::now() + OLDER_HELD));
            return None;
        }
        *held = None;
        Some(self.tell(announced))
    }

    fn tell(&self, announced: Arc<Announced>) -> Arc<Announced> {
        tracing::info!(generation = announced.generation(), roots = announced.bundle().roots().len(), "roots told");
        self.teller.announce(announced.clone());
        announced
    }

    fn heard(&mut self) {
        self.failures = 0;
        self.health.ready();
        self.metrics.roots_watched(true);
        if self.told.take().is_some() {
            tracing::info!("the CA tells its roots again");
        }
    }

    fn unsupported(&mut self) {
        self.failures = 0;
        self.teller.lost();
        self.health.ready();
        if self.told.replace("unsupported") != Some("unsupported") {
            tracing::info!("the CA does not tell its roots on their own, new ones will come with certificates");
        }
    }

    fn failed(&mut self, error: &RequestError) {
        self.teller.lost();
        let (reason, error) = (error.reason(), chain(error));
        self.health.degraded(format!("new roots would not be heard of: {error}"));
        if self.told.replace(reason) == Some(reason) {
            tracing::debug!(reason, error, "roots are still not watched");
        } else {
            tracing::warn!(reason, error, "roots are not watched, trying again");
        }
    }
}

async fn next(hears: &mut Streaming<WatchResponse>) -> Result<WatchResponse, End> {
    match hears.message().await {
        Ok(Some(message)) => Ok(message),
        Ok(None) => Err(End::Closed),
        Err(status) => Err(RequestError::refused(&status).into()),
    }
}
