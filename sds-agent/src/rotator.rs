//! The task that owns one identity's schedule: waits, feeds the rotation, performs what it says.
//!
//! It alone publishes: identities with the roots that belong to them, and roots that the CA tells in between.
//! Decides nothing about time; that is the rotation's business. One key serves all requests of one rotation and is
//! replaced by a fresh one for the next.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use signet_identity::PrivateKey;
use signet_runtime::tasks::chain;
use signet_runtime::{Clock, HealthHandle, Shutdown};
use tokio::time::sleep;

use crate::ca_client::{CaClient, Issued, RequestError};
use crate::metrics::Metrics;
use crate::roots::{RootsListener, Told};
use crate::rotation::{Effect, Event, Moment, Policy, Rotation, Standing};
use crate::secrets::{SecretWriter, Versioned};

/// Least wait before an identity is replaced that was condemned as it came: it has a spare life only when the CA's
/// replicas agree again.
const CONDEMNED_AT_BIRTH_WAIT: Duration = Duration::from_secs(60);

type Answer = Result<Issued, RequestError>;
type Request = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Keeps one identity fresh.
#[derive(Debug)]
pub struct Rotator {
    ca: Arc<CaClient>,
    writer: SecretWriter,
    roots: RootsListener,
    clock: Clock,
    health: HealthHandle,
    metrics: Metrics,
    /// This rotation's key, kept while its requests fail.
    key: Option<Arc<PrivateKey>>,
    /// Uptime when it was made; taken when the first identity is served.
    begun: Option<Duration>,
    /// What was last told loudly, so that repetitions are told softly.
    told: Option<(&'static str, Standing)>,
}

impl Rotator {
    /// A rotator that asks `ca`, hears of roots from `roots` and publishes through `writer`.
    pub fn new(
        ca: Arc<CaClient>,
        writer: SecretWriter,
        roots: RootsListener,
        clock: Clock,
        health: HealthHandle,
        metrics: Metrics,
    ) -> Self {
        Self { ca, writer, roots, clock, health, metrics, key: None, begun: Some(uptime()), told: None }
    }

    /// Runs until shutdown.
    ///
    /// # Errors
    /// None: whatever fails is tried again.
    pub async fn run(mut self, policy: Policy, shutdown: Shutdown) -> Result<(), Infallible> {
        let mut rotation = Rotation::new(policy, self.now(), fastrand::Rng::new());
        let mut request: Option<Request> = None;
        let mut event = Event::Tick;
        let mut issued = None;
        loop {
            for effect in rotation.step(event, self.now()) {
                match effect {
                    Effect::Request => request = Some(self.request()),
                    Effect::Publish => {
                        self.publish(issued.take());
                        self.hasten(&mut rotation, CONDEMNED_AT_BIRTH_WAIT);
                    }
                    Effect::Withdraw => self.withdraw(),
                }
            }
            self.metrics.standing(rotation.standing(self.now()));
            let wait = rotation.wake_in(self.now());
            event = tokio::select! {
                // The request lives outside the arm, so losing the arm does not lose the request.
                answer = answered(&mut request) => {
                    request = None;
                    match answer {
                        Ok(answer) => {
                            let not_after = answer.svid.lifetime().not_after();
                            self.succeeded(&answer, rotation.failures());
                            issued = Some(answer);
                            Event::Issued { not_after }
                        }
                        Err(error) => {
                            self.failed(&error, rotation.standing(self.now()));
                            Event::Failed { retry_after: error.retry_after() }
                        }
                    }
                }
                () = self.roots.changed() => {
                    self.publish_roots();
                    self.hasten(&mut rotation, Duration::ZERO);
                    Event::Tick
                }
                // A lost sleep is begun anew from what the clocks say then.
                () = sleep(wait) => Event::Tick,
                () = shutdown.begun() => return Ok(()),
            };
        }
    }

    fn request(&mut self) -> Request {
        let key = match &self.key {
            Some(key) => Ok(key.clone()),
            None => PrivateKey::generate_p256().map(Arc::new),
        };
        self.key = key.as_ref().ok().cloned();
        let ca = self.ca.clone();
        let held = self.writer.current().svid;
        Box::pin(async move { ca.request(key?.as_ref(), held.as_ref().map(Versioned::content)).await })
    }

    fn publish(&mut self, issued: Option<Issued>) {
        if let Some(Issued { svid, bundle, token_trouble }) = issued {
            let bundle = self.roots.told().beside(&svid, bundle, self.now().wall);
            self.metrics.published(&svid, &bundle);
            self.writer.publish(svid, bundle);
            self.key = None;
            match token_trouble {
                None => self.health.ready(),
                Some(trouble) => {
                    tracing::warn!(trouble, "the token is good for nothing, the certificate held was shown instead");
                    self.health.degraded(format!("renewed with the certificate held, for want of a token: {trouble}"));
                }
            }
            if let Some(begun) = self.begun.take() {
                self.metrics.started_up(uptime().saturating_sub(begun));
            }
        }
    }

    fn publish_roots(&mut self) {
        let Told { announced: Some(announced), is_watched: true } = self.roots.heard() else { return };
        if self.writer.publish_roots(announced.bundle().clone()) {
            tracing::info!(
                generation = announced.generation(),
                roots = announced.bundle().roots().len(),
                "roots published"
            );
        }
        self.metrics.roots_published(announced.bundle());
        self.roots.in_force(announced);
    }

    /// Has the identity replaced before its time if the CA has condemned it.
    fn hasten(&self, rotation: &mut Rotation, earliest: Duration) {
        let Told { announced: Some(announced), is_watched: true } = self.roots.told() else { return };
        let (now, svid) = (self.now(), self.writer.current().svid);
        let Some(reason) = svid.and_then(|svid| announced.condemns(svid.content(), now.wall)) else { return };
        let spread = announced.spread(reason);
        tracing::warn!(?reason, ?earliest, ?spread, "identity will be replaced before its time");
        self.metrics.renewal_hastened();
        rotation.hasten(earliest, spread, now);
    }

    fn withdraw(&mut self) {
        tracing::error!("the identity has expired and is no longer handed out; the roots still are");
        self.told = Some(("expired", Standing::Absent));
        self.health.not_ready("the identity has expired and no other has come");
        self.writer.withdraw();
    }

    fn succeeded(&mut self, issued: &Issued, failures: u32) {
        self.metrics.renewal_succeeded();
        if self.told.take().is_some() {
            tracing::info!(failures, "renewal works again");
        }
        let svid = &issued.svid;
        tracing::info!(
            id = %svid.id(),
            serial = %svid.leaf().serial(),
            not_after = %svid.lifetime().not_after(),
            roots = issued.bundle.roots().len(),
            "identity issued"
        );
    }

    fn failed(&mut self, error: &RequestError, standing: Standing) {
        let reason = error.reason();
        self.metrics.renewal_failed(reason);
        // What was current until now is overdue from now on.
        let standing = if standing == Standing::Current { Standing::Overdue } else { standing };
        match standing {
            Standing::Absent => self.health.not_ready(format!("no identity: {}", chain(error))),
            Standing::Urgent => {
                self.health.not_ready(format!("the identity ends soon, renewal fails: {}", chain(error)));
            }
            // The identity serves as well as ever, so no pod should be drained for it.
            Standing::Overdue | Standing::Current => self.health.degraded(format!("renewal fails: {}", chain(error))),
        }
        let error = chain(error);
        let standing_name = standing.name();
        if self.told.replace((reason, standing)) == Some((reason, standing)) {
            tracing::debug!(reason, error, standing = standing_name, "renewal is still failing");
        } else if standing == Standing::Urgent {
            tracing::error!(reason, error, standing = standing_name, "renewal failed and time is short, trying again");
        } else {
            tracing::warn!(reason, error, standing = standing_name, "renewal failed, trying again");
        }
    }

    fn now(&self) -> Moment {
        Moment { wall: self.clock.now().into(), uptime: uptime() }
    }
}

async fn answered(request: &mut Option<Request>) -> Answer {
    match request {
        Some(request) => request.await,
        None => pending().await,
    }
}

/// Time since the machine started, suspension included.
fn uptime() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
