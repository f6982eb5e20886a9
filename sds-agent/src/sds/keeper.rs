//! The task that makes what can be told: takes what was published, reads what was asked for, keeps the last good of each.
//!
//! Files are looked at again on a timer, whatever told of a change or did not. Each is read apart from the others and
//! from the identity: one on a disk that hangs holds up nothing but itself.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use signet_identity::Timestamp;
use signet_runtime::tasks::chain;
use signet_runtime::{Clock, HealthHandle, Shutdown};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::config::SdsFilesConfig;
use crate::metrics::Metrics;
use crate::sds::ResourceName;
use crate::sds::demands::{Asked, DEMANDS_MAX, Demands};
use crate::sds::reading::{self, ReadError, Reading, Stamp};
use crate::sds::secret::Held;
use crate::sds::view::{Policy, Shelf, View};
use crate::secrets::{SecretReader, Snapshot, WriterGone};

/// Time between two looks at files that are asked for.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Time after which a file is read although it looks unchanged.
const READ_EVERY: Duration = Duration::from_secs(60);

/// How long what nobody asks for is kept: a proxy that comes back finds its last good secret.
const IDLE_MAX: Duration = Duration::from_secs(3600);

/// Most names kept, asked for or not.
const KEPT_MAX: usize = 2 * DEMANDS_MAX;

/// What can be told, always the newest. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ViewReader {
    views: watch::Receiver<Arc<View>>,
}

impl ViewReader {
    /// What can be told now; marks it as seen.
    pub fn seen(&mut self) -> Arc<View> {
        self.views.borrow_and_update().clone()
    }

    /// What can be told now.
    pub fn current(&self) -> Arc<View> {
        self.views.borrow().clone()
    }

    /// Waits for something that was not seen. Losing this future loses nothing.
    ///
    /// # Errors
    /// [`WriterGone`].
    pub async fn changed(&mut self) -> Result<(), WriterGone> {
        self.views.changed().await.map_err(|_| WriterGone)
    }
}

/// Makes what can be told.
#[derive(Debug)]
pub struct Keeper {
    policy: Arc<Policy>,
    files: Arc<SdsFilesConfig>,
    own: SecretReader,
    asked: Asked,
    views: watch::Sender<Arc<View>>,
    clock: Clock,
    health: HealthHandle,
    metrics: Metrics,
    kept: BTreeMap<ResourceName, Kept>,
    reading: JoinSet<(ResourceName, Result<Option<Reading>, ReadError>)>,
}

/// One name that is looked for.
#[derive(Debug)]
struct Kept {
    held: Option<Held>,
    stamps: Vec<Stamp>,
    /// When it was last read whole.
    read_at: Instant,
    /// What is wrong with the newest state of its files.
    trouble: Option<String>,
    is_reading: bool,
    idle_since: Option<Instant>,
}

impl Keeper {
    /// A keeper of `own` and of what is asked for by `demands`.
    pub fn new(
        policy: Policy,
        files: SdsFilesConfig,
        own: SecretReader,
        demands: &Demands,
        clock: Clock,
        health: HealthHandle,
        metrics: Metrics,
    ) -> (Self, ViewReader) {
        health.ready();
        let policy = Arc::new(policy);
        let (views, reader) = watch::channel(Arc::new(View::new(policy.clone(), Snapshot::default(), Shelf::new())));
        let (kept, reading) = (BTreeMap::new(), JoinSet::new());
        let (files, asked) = (Arc::new(files), demands.asked());
        let keeper = Self { policy, files, own, asked, views, clock, health, metrics, kept, reading };
        (keeper, ViewReader { views: reader })
    }

    /// Runs until shutdown.
    ///
    /// # Errors
    /// None: whatever fails is tried again.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), Infallible> {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.publish();
        loop {
            tokio::select! {
                // Each arm waits for a state that lasts, or for a read whose outcome stays in the set.
                changed = self.own.changed() => if changed.is_err() {
                    shutdown.begun().await;
                    return Ok(());
                } else {
                    self.publish();
                },
                () = self.asked.changed() => self.follow(),
                Some(done) = self.reading.join_next() => self.take(done),
                _ = look.tick(), if !self.kept.is_empty() => self.look(),
                () = shutdown.begun() => return Ok(()),
            }
        }
    }

    fn publish(&mut self) {
        let shelf = self.kept.iter().filter_map(|(name, kept)| Some((name.clone(), kept.held.clone()?))).collect();
        self.views.send_replace(Arc::new(View::new(self.policy.clone(), self.own.seen(), shelf)));
    }

    /// Takes in what is asked for now.
    fn follow(&mut self) {
        let mut wanted = self.asked.names();
        wanted.extend(self.policy.federated.iter().cloned().map(ResourceName::TrustDomain));
        let now = Instant::now();
        for (name, kept) in &mut self.kept {
            kept.idle_since = if wanted.contains(name) { None } else { kept.idle_since.or(Some(now)) };
        }
        let new: BTreeSet<_> = wanted.into_iter().filter(|name| !self.kept.contains_key(name)).collect();
        self.forget(now, new.len());
        for name in new {
            let kept = Kept {
                held: None,
                stamps: Vec::new(),
                read_at: now,
                trouble: None,
                is_reading: false,
                idle_since: None,
            };
            self.kept.insert(name, kept);
        }
        self.look();
    }

    /// Makes room: what nobody has asked for in a long time goes, and when room is short what was longest not asked for.
    fn forget(&mut self, now: Instant, room: usize) {
        let mut idle: Vec<_> =
            self.kept.iter().filter_map(|(name, kept)| Some((kept.idle_since?, name.clone()))).collect();
        idle.sort();
        let mut surplus = (self.kept.len() + room).saturating_sub(KEPT_MAX);
        for (since, name) in idle {
            if surplus == 0 && now < since + IDLE_MAX {
                break;
            }
            surplus = surplus.saturating_sub(1);
            self.kept.remove(&name);
            self.metrics.resource_forgotten(&name);
        }
        self.report();
    }

    /// Begins to read everything that is asked for and not being read.
    fn look(&mut self) {
        let now = Instant::now();
        self.forget(now, 0);
        for (name, kept) in self.kept.iter_mut().filter(|(_, kept)| !kept.is_reading && kept.idle_since.is_none()) {
            kept.is_reading = true;
            let before = if now < kept.read_at + READ_EVERY { kept.stamps.clone() } else { Vec::new() };
            let (name, files, at) = (name.clone(), self.files.clone(), Timestamp::from(self.clock.now()));
            self.reading.spawn_blocking(move || {
                let read = reading::read(&name, &files, &before, at);
                (name, read)
            });
        }
    }

    fn take(&mut self, done: Result<(ResourceName, Result<Option<Reading>, ReadError>), JoinError>) {
        let (name, read) = match done {
            Ok(done) => done,
            Err(error) => {
                // A bug of ours: the name stays marked as being read, and is not read again.
                tracing::error!(%error, "reading of a secret was broken off");
                return;
            }
        };
        let Some(kept) = self.kept.get_mut(&name) else { return };
        kept.is_reading = false;
        match read {
            Ok(None) => {}
            Ok(Some(reading)) => self.succeeded(&name, reading),
            Err(error) => self.failed(&name, &error),
        }
    }

    fn succeeded(&mut self, name: &ResourceName, reading: Reading) {
        let Some(kept) = self.kept.get_mut(name) else { return };
        let is_new = kept.held.as_ref().is_none_or(|held| held.version != reading.held.version);
        let was_troubled = kept.trouble.take().is_some();
        (kept.stamps, kept.read_at) = (reading.stamps, Instant::now());
        self.metrics.resource_ends(name, reading.ends);
        if is_new {
            kept.held = Some(reading.held);
            match reading.remark {
                None => tracing::info!(%name, "secret taken up"),
                Some(remark) => tracing::warn!(%name, remark, "secret taken up, but something is odd"),
            }
            self.publish();
        } else if was_troubled {
            tracing::info!(%name, "secret is as it was");
        }
        self.report();
    }

    fn failed(&mut self, name: &ResourceName, error: &ReadError) {
        let Some(kept) = self.kept.get_mut(name) else { return };
        let trouble = chain(error);
        // Whatever comes next is read whole.
        kept.stamps.clear();
        if kept.trouble.as_ref() == Some(&trouble) {
            return;
        }
        self.metrics.resource_fault(name);
        match &kept.held {
            Some(_) => tracing::warn!(%name, reason = trouble, "secret cannot be taken up, the last good one stays"),
            None => tracing::warn!(%name, reason = trouble, "secret cannot be served yet"),
        }
        kept.trouble = Some(trouble);
        self.report();
    }

    /// Tells metrics and readiness how all names stand.
    fn report(&self) {
        self.metrics.resources(self.kept.iter().map(|(name, kept)| {
            let state = match (&kept.held, &kept.trouble) {
                (Some(_), None) => "ready",
                (Some(_), Some(_)) => "stale",
                (None, _) => "absent",
            };
            (name, state)
        }));
        let mut troubles = self.kept.iter().filter_map(|(name, kept)| Some((name, kept.trouble.as_ref()?)));
        match troubles.next() {
            None => self.health.ready(),
            Some((name, trouble)) => {
                let more = match troubles.count() {
                    0 => String::new(),
                    count => format!(", and {count} more"),
                };
                let name = name.to_string().escape_debug().to_string();
                self.health.degraded(format!("secret `{name}`: {trouble}{more}"));
            }
        }
    }
}

#[cfg(test)]
mod tests;
