//! Events (`events.k8s.io/v1`) about this replica's pod, so that what an operator should see stands where operators of a
//! cluster look first: bursts of refusals, each step of rotation, an end that comes near.
//!
//! They are a comfort. The log has the same, nothing waits for them, and one that could not be sent is not sent again.

mod watchman;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use kube::core::params::PostParams;
use serde_json::json;
use signet_identity::Timestamp;
use signet_kubernetes::{ApiClient, ApiError, Collection};
use signet_runtime::{Clock, Shutdown};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::lease::micro_time;
use super::{ClusterView, Leadership};
use crate::authority::Overview;
use crate::metrics::Metrics;
use watchman::{Happening, Watchman};

const EVENTS: &str = "apis/events.k8s.io/v1";

/// Who reports.
const CONTROLLER: &str = "signet-ca";

/// Time between two looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Events that may be sent at once, and how long it takes until there may be one more.
const AT_ONCE: u32 = 10;
const ONE_MORE_AFTER: Duration = Duration::from_secs(60);

/// Most bytes of a pod's name that go into an event's; the name of an object has 253.
const PREFIX_MAX_BYTES: usize = 200;

/// Most bytes of `reportingInstance`.
const INSTANCE_MAX_BYTES: usize = 128;

/// Whom events are about.
#[derive(Debug, Clone)]
pub(super) struct Replica {
    pub(super) namespace: String,
    pub(super) name: String,
}

/// What the task looks at.
pub(super) struct Watched {
    pub(super) overview: watch::Receiver<Arc<Overview>>,
    pub(super) leadership: Leadership,
    /// Knows the replica's pod.
    pub(super) view: Option<ClusterView>,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
}

/// The task that tells.
pub(super) struct Announcer {
    client: ApiClient,
    replica: Replica,
    watched: Watched,
    watchman: Watchman,
    left: u32,
    refilled_at: Instant,
    /// Whether the last one could not be sent, which is logged once.
    fails: bool,
}

impl Announcer {
    pub(super) fn new(client: ApiClient, replica: Replica, watched: Watched) -> Self {
        let (watchman, refilled_at) = (Watchman::default(), Instant::now());
        Self { client, replica, watched, watchman, left: AT_ONCE, refilled_at, fails: false }
    }

    /// Looks until shutdown begins.
    ///
    /// # Errors
    /// None.
    pub(super) async fn run(mut self, shutdown: Shutdown) -> Result<(), Infallible> {
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // Nothing is held between looks; an event that is being sent may be lost.
                () = shutdown.begun() => return Ok(()),
                () = self.turn(&mut looks) => {}
            }
        }
    }

    async fn turn(&mut self, looks: &mut tokio::time::Interval) {
        tokio::select! {
            // Either way everything is looked at.
            _ = looks.tick() => {}
            Ok(()) = self.watched.overview.changed() => {}
        }
        for happening in self.look() {
            self.tell(&happening).await;
        }
    }

    fn look(&mut self) -> Vec<Happening> {
        let now = Timestamp::from(self.watched.clock.now());
        let overview = self.watched.overview.borrow_and_update().clone();
        let mut told = self.watchman.rotation(&overview);
        told.extend(overview.ending.and_then(|ending| self.watchman.end(ending, now)));
        // What happens to all replicas alike is told by one.
        if !self.watched.leadership.holds() {
            told.clear();
        }
        told.extend(self.watchman.refusals(&self.watched.metrics.refused_by_reason(), Instant::now()));
        told
    }

    async fn tell(&mut self, happening: &Happening) {
        if !self.may() {
            self.watched.metrics.events().held_back();
            return;
        }
        match self.send(happening).await {
            Ok(()) => {
                self.fails = false;
                self.watched.metrics.events().sent();
            }
            Err(error) => {
                if !std::mem::replace(&mut self.fails, true) {
                    tracing::warn!(%error, reason = happening.reason, "event cannot be sent");
                }
                self.watched.metrics.events().failed();
            }
        }
    }

    /// Whether one more may be sent now, which it then counts as.
    fn may(&mut self) -> bool {
        let now = Instant::now();
        let more = now.duration_since(self.refilled_at).as_secs() / ONE_MORE_AFTER.as_secs();
        if let Ok(more @ 1..) = u32::try_from(more) {
            self.left = self.left.saturating_add(more).min(AT_ONCE);
            self.refilled_at = now;
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }

    async fn send(&self, happening: &Happening) -> Result<(), ApiError> {
        let Replica { namespace, name } = &self.replica;
        let pod = self.watched.view.as_ref().and_then(|view| view.pod(namespace, name));
        let uid = pod.map(|pod| pod.uid.to_string());
        // Names of objects are ASCII.
        let cut = |max| name.get(..max).unwrap_or(name).trim_end_matches(['-', '.']);
        let prefix = cut(PREFIX_MAX_BYTES);
        let event = json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": { "name": format!("{prefix}.{:016x}", fastrand::u64(..)), "namespace": namespace },
            "eventTime": micro_time(self.watched.clock.now()),
            "reportingController": CONTROLLER,
            "reportingInstance": cut(INSTANCE_MAX_BYTES),
            "type": if happening.is_warning { "Warning" } else { "Normal" },
            "reason": happening.reason,
            "action": happening.action,
            "note": happening.note,
            "regarding": { "apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": name, "uid": uid },
        });
        let body = serde_json::to_vec(&event).map_err(|error| ApiError::Request(error.to_string()))?;
        let events = Collection::within(EVENTS, namespace, "events");
        self.client.send_object(events.request().create(&PostParams::default(), body)).await
    }
}
