//! One leader among replicas, by a Lease (`coordination.k8s.io/v1`).
//!
//! Whoever holds the lease renews it; whoever does not takes it when it was not renewed for its whole duration, measured
//! by the taker's own monotonic clock, so that no wall clock has to be right. A holder stops counting on it a margin
//! before anybody else could take it, also when the API server is away and nothing can be asked.

mod record;

pub use record::Holder;
pub(super) use record::micro_time;

use std::convert::Infallible;
use std::time::Duration;

use kube::core::params::{GetParams, PostParams};
use signet_kubernetes::{ApiClient, ApiError, Collection, Outage};
use signet_runtime::{Backoff, Clock, Shutdown};
use tokio::sync::watch;
use tokio::time::Instant;

use record::Record;

const COORDINATION: &str = "apis/coordination.k8s.io/v1";

/// The times of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTimes {
    /// How long a lease is good for that is not renewed; whole seconds.
    pub duration: Duration,
    /// How long before that its holder stops counting on it.
    pub margin: Duration,
    /// Time between two renewals, and between two looks at somebody else's lease.
    pub look: Duration,
}

impl Default for LeaseTimes {
    fn default() -> Self {
        Self { duration: Duration::from_secs(15), margin: Duration::from_secs(5), look: Duration::from_secs(2) }
    }
}

/// Most that failures in a row make a replica wait.
const RETRY_MAX: Duration = Duration::from_secs(5);
const JITTER: f64 = 0.2;

/// How long giving the lease back may take at the end.
const RELEASE_DEADLINE: Duration = Duration::from_secs(2);

/// Whether this replica leads. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Leadership {
    /// Until when, if nothing else is heard; none when another leads.
    until: Option<watch::Receiver<Option<Instant>>>,
}

impl Leadership {
    /// Of a process that is alone.
    pub fn alone() -> Self {
        Self { until: None }
    }

    #[cfg(test)]
    pub(in crate::kubernetes) fn of(until: watch::Receiver<Option<Instant>>) -> Self {
        Self { until: Some(until) }
    }

    /// Whether this replica leads now.
    pub fn holds(&self) -> bool {
        self.until.as_ref().is_none_or(|until| until.borrow().is_some_and(|until| Instant::now() < until))
    }

    /// Waits until a renewal, a gain or a loss. Losing this future loses nothing, for [`Leadership::holds`] tells.
    pub async fn changed(&mut self) {
        let told = match &mut self.until {
            Some(until) => until.changed().await.is_ok(),
            None => false,
        };
        if !told {
            std::future::pending::<()>().await;
        }
    }
}

/// The task that runs for the lead.
pub struct Elector {
    client: ApiClient,
    leases: Collection,
    name: String,
    identity: Holder,
    times: LeaseTimes,
    clock: Clock,
    until: watch::Sender<Option<Instant>>,
    /// Another's record as it was last seen to change, and when.
    observed: Option<(Record, Instant)>,
    outage: Outage,
}

impl Elector {
    /// For the lease `name` in `namespace`, under the name `identity`, which no other replica may bear.
    pub fn new(
        client: ApiClient,
        namespace: &str,
        name: &str,
        identity: Holder,
        times: LeaseTimes,
        clock: Clock,
    ) -> (Self, Leadership) {
        let (until, receiver) = watch::channel(None);
        let retry = Backoff::new(times.look, RETRY_MAX.max(times.look), JITTER);
        let elector = Self {
            client,
            leases: Collection::within(COORDINATION, namespace, "leases"),
            name: name.to_owned(),
            identity,
            times,
            clock,
            until,
            observed: None,
            outage: Outage::new(retry, "lease"),
        };
        (elector, Leadership { until: Some(receiver) })
    }

    /// Runs until shutdown begins, then gives the lease back.
    ///
    /// # Errors
    /// None.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), Infallible> {
        loop {
            let wait = self.turn().await;
            tokio::select! {
                // The lease is as it was written; neither arm holds anything.
                () = shutdown.begun() => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
        // A successor that has to wait for the end is no worse than one that never heard of this.
        let _ = tokio::time::timeout(RELEASE_DEADLINE, self.release()).await;
        Ok(())
    }

    /// Runs for the lead until `work` has ended; what was gained stays.
    pub(super) async fn run_while<T>(&mut self, work: impl Future<Output = T>) -> T {
        let running = async {
            loop {
                let wait = self.turn().await;
                tokio::time::sleep(wait).await;
            }
        };
        tokio::select! {
            // A turn that is cut off may have written; the next one reads what.
            done = work => done,
            never = running => never,
        }
    }

    /// Looks once, and takes or renews the lease if that is due. Gives how long to wait.
    async fn turn(&mut self) -> Duration {
        // What is written counts from before it was sent.
        let began = Instant::now();
        match self.look(began).await {
            Ok(holds) => {
                self.outage.over();
                self.tell(holds.then(|| began + self.times.duration.saturating_sub(self.times.margin)));
                self.times.look
            }
            // Another replica was faster: what it wrote is looked at next.
            Err(error) if error.is("Conflict") || error.is("AlreadyExists") => {
                self.tell(None);
                self.times.look
            }
            // Until its time is over the lease is still ours.
            Err(error) => self.outage.failed("lease", &error),
        }
    }

    async fn look(&mut self, began: Instant) -> Result<bool, ApiError> {
        let found = self.client.find::<Record>(self.leases.request().get(&self.name, &GetParams::default())).await?;
        let Some(record) = found else {
            let fresh = Record::new(&self.name, &self.identity, self.times.duration, self.clock.now());
            self.client.send_object(self.leases.request().create(&PostParams::default(), fresh.json()?)).await?;
            return Ok(true);
        };
        if record.is_held_by(&self.identity) {
            self.observed = None;
            self.write(&record.renewed(self.times.duration, self.clock.now())).await?;
            return Ok(true);
        }
        if !self.is_over(&record, began) {
            return Ok(false);
        }
        self.write(&record.taken_by(&self.identity, self.times.duration, self.clock.now())).await?;
        self.observed = None;
        Ok(true)
    }

    /// Whether another's lease is free, or was watched not being renewed for its whole duration.
    fn is_over(&mut self, record: &Record, now: Instant) -> bool {
        if record.is_free() {
            return true;
        }
        match &self.observed {
            Some((known, since)) if known.is_same_as(record) => now.duration_since(*since) >= record.duration(),
            _ => {
                self.observed = Some((record.clone(), now));
                false
            }
        }
    }

    async fn write(&self, record: &Record) -> Result<(), ApiError> {
        let request = self.leases.request().replace(&self.name, &PostParams::default(), record.json()?);
        self.client.send_object(request).await
    }

    async fn release(&mut self) -> Result<(), ApiError> {
        self.until.send_replace(None);
        let record: Record = self.client.read(self.leases.request().get(&self.name, &GetParams::default())).await?;
        if record.is_held_by(&self.identity) { self.write(&record.released()).await } else { Ok(()) }
    }

    fn tell(&self, until: Option<Instant>) {
        let before = self.until.send_replace(until);
        match (before.is_some(), until.is_some()) {
            (false, true) => tracing::info!(lease = self.name, identity = %self.identity, "this replica leads"),
            (true, false) => tracing::info!(lease = self.name, identity = %self.identity, "another replica leads"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
