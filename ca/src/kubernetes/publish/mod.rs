//! Publishing the roots where Kubernetes workloads look for them.
//!
//! In every enabled namespace a ConfigMap, kept by a loop that compares what is wanted with what is seen and is never
//! done: an edit, a deletion, a new namespace and new roots are all the same to it. One replica writes; all watch, so
//! that each can tell how far the roots have spread.

mod board;
mod objects;
mod policy;
mod roots;
mod write;

pub use board::Spread;
pub use policy::Policy;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use signet_runtime::{Clock, HealthHandle, Shutdown};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Leadership;
use super::api::ApiClient;
use super::watching::{Follower, Pace};
use crate::authority::Authority;
use crate::metrics::{KubernetesMetrics, PublishMetrics};
use board::{Outcome, Trouble};
use objects::{ConfigMaps, Namespaces, Shape, SharedBoard};
use roots::Wanted;
use write::Writer;

/// Most writes under way at once.
const WRITES_MAX: usize = 8;

/// Least and most time between two looks at the whole board.
const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(50);
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(5);

/// How long roots may be behind somewhere before that is told as a remark.
const BEHIND_REMARK_AFTER: Duration = Duration::from_secs(60);

/// What is published where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigMapsConfig {
    /// The ConfigMaps' name.
    pub name: String,
    /// Namespaces that do not get one.
    pub excluded: Vec<String>,
    /// Labels of those that do, if not all.
    pub selector: Option<String>,
    /// Whose fields may be overwritten.
    pub policy: Policy,
}

/// The task that keeps the ConfigMaps, and the watches that it lives on.
pub struct Publisher {
    namespaces: Follower<Namespaces>,
    maps: Follower<ConfigMaps>,
    keeper: Keeper,
}

struct Keeper {
    board: SharedBoard,
    writer: Writer,
    roots: watch::Receiver<Arc<Authority>>,
    leadership: Leadership,
    health: HealthHandle,
    metrics: PublishMetrics,
    told: watch::Sender<Spread>,
    /// The number of the bundle that is wanted, and the latest that stood everywhere.
    bundle: u64,
    everywhere: watch::Sender<u64>,
    under_way: JoinSet<(Box<str>, Outcome)>,
    behind_since: Option<Instant>,
}

impl Publisher {
    /// Publishes the roots of `authority` while this replica leads. Gives how far they have spread.
    pub fn new(
        client: &ApiClient,
        config: ConfigMapsConfig,
        authority: watch::Receiver<Arc<Authority>>,
        leadership: Leadership,
        around: Around<'_>,
    ) -> (Self, watch::Receiver<Spread>) {
        let Around { cluster, clock, pace, metrics, health } = around;
        let claim = config.policy.share.then(|| format!("signet.dev/roots-of-{}", config.policy.manager));
        let shape = Shape { name: config.name, claim };
        let board = SharedBoard::new();
        let namespaces = Namespaces { board: board.clone(), excluded: config.excluded, selector: config.selector };
        let maps = ConfigMaps::new(board.clone(), shape.clone());
        let (told, spread) = watch::channel(Spread::default());
        let (everywhere, _) = watch::channel(0);
        let keeper = Keeper {
            board,
            writer: Writer { client: client.clone(), shape, policy: config.policy },
            roots: authority,
            leadership,
            health,
            metrics: metrics.publish(),
            told,
            bundle: 0,
            everywhere,
            under_way: JoinSet::new(),
            behind_since: None,
        };
        let (names, maps_told) = (metrics.watch(cluster, "namespaces"), metrics.watch(cluster, "configmaps"));
        let namespaces = Follower::new(client.clone(), namespaces, clock.clone(), pace, names);
        let maps = Follower::new(client.clone(), maps, clock.clone(), pace, maps_told);
        (Self { namespaces, maps, keeper }, spread)
    }

    /// The number of the latest bundle that was seen in every namespace; zero before the first.
    pub fn everywhere(&self) -> watch::Receiver<u64> {
        self.keeper.everywhere.subscribe()
    }

    /// Publishes until shutdown begins.
    ///
    /// # Errors
    /// None.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), Infallible> {
        let (namespaces, maps) = (self.namespaces.run(shutdown.clone()), self.maps.run(shutdown.clone()));
        let (first, second, third) = tokio::join!(namespaces, maps, self.keeper.run(shutdown));
        first.and(second).and(third)
    }
}

/// What surrounds a part of the process.
pub struct Around<'a> {
    /// The cluster's name in metrics.
    pub cluster: &'a str,
    /// Tells the time.
    pub clock: &'a Clock,
    /// How patiently objects are followed.
    pub pace: Pace,
    /// What is told.
    pub metrics: &'a KubernetesMetrics,
    /// The part's voice in readiness.
    pub health: HealthHandle,
}

impl Keeper {
    async fn run(mut self, shutdown: Shutdown) -> Result<(), Infallible> {
        self.want();
        // Roots that lag behind are no reason to take an authority out of service that can issue.
        self.health.ready();
        loop {
            self.start_due();
            self.tell();
            let wake = self.board.lock().next_due().unwrap_or_else(Instant::now).max(Instant::now());
            let wake = wake.min(Instant::now() + LOOK_INTERVAL_MAX);
            let is_idle = self.under_way.is_empty();
            let bell = self.board.bell.clone();
            tokio::select! {
                // A write that is cut off is seen by the next process, as any other state.
                () = shutdown.begun() => return Ok(()),
                Some(ended) = self.under_way.join_next(), if !is_idle => self.ended(ended.ok()),
                // The other arms tell of states that last.
                changed = self.roots.changed() => if changed.is_ok() { self.want() } else { return Ok(()) },
                () = self.leadership.changed() => {}
                () = bell.notified() => {}
                () = tokio::time::sleep_until(wake.max(Instant::now() + LOOK_INTERVAL_MIN)) => {}
            }
        }
    }

    fn want(&mut self) {
        let authority = self.roots.borrow_and_update().clone();
        self.bundle = authority.published().generation;
        self.board.lock().want(Wanted::new(authority.roots_pem()));
    }

    fn start_due(&mut self) {
        if !self.leadership.holds() {
            return;
        }
        let free = WRITES_MAX.saturating_sub(self.under_way.len());
        let mut board = self.board.lock();
        let Some(wanted) = board.wanted().cloned() else { return };
        for (namespace, was_ours) in board.take_due(Instant::now(), free) {
            self.under_way.spawn(self.writer.clone().write(namespace, wanted.clone(), was_ours));
        }
    }

    fn ended(&mut self, ended: Option<(Box<str>, Outcome)>) {
        // A write that panicked is a bug that its own message told of; its namespace is written to by the next process.
        let Some((namespace, outcome)) = ended else { return };
        self.metrics.wrote(match &outcome {
            Outcome::Written(_) => "written",
            Outcome::Healed(..) => "healed",
            Outcome::Leaving => "leaving",
            Outcome::Not(Trouble::Owned(_) | Trouble::Contested(_), _) => "refused",
            Outcome::Not(..) => "failed",
        });
        if let Outcome::Healed(_, by) = &outcome {
            tracing::warn!(%namespace, by = by.join(", "), "published roots had been changed and were put right");
        }
        let trouble = self.board.lock().ended(&namespace, outcome, Instant::now());
        match trouble {
            None => {}
            Some(Trouble::Failed(error)) => {
                tracing::warn!(%namespace, error, "roots cannot be published, it is tried again");
            }
            Some(Trouble::Owned(by)) => {
                tracing::warn!(%namespace, by = by.join(", "), "roots are not published: another manager owns them");
            }
            Some(Trouble::Contested(by)) => {
                tracing::error!(%namespace, by = by.join(", "), "another manager keeps changing the published roots");
            }
            Some(Trouble::Altered) => {
                tracing::warn!(%namespace, "roots were published and came back changed");
            }
        }
    }

    fn tell(&mut self) {
        let (spread, is_known) = {
            let board = self.board.lock();
            (board.spread(), board.is_known())
        };
        self.metrics.spread(spread);
        if is_known && spread.behind == 0 {
            self.everywhere.send_if_modified(|bundle| std::mem::replace(bundle, self.bundle) != self.bundle);
            if let Some(since) = self.behind_since.take() {
                let took_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
                tracing::info!(namespaces = spread.total, took_ms, "roots are published in all namespaces");
            }
            self.health.ready();
        } else {
            let since = *self.behind_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= BEHIND_REMARK_AFTER {
                self.health.degraded(remark(spread, is_known));
            }
        }
        self.told.send_if_modified(|told| std::mem::replace(told, spread) != spread);
    }
}

fn remark(spread: Spread, is_known: bool) -> String {
    if !is_known {
        return "namespaces and ConfigMaps have not been listed".to_owned();
    }
    let Spread { total, behind, refused } = spread;
    format!("roots are not published in {behind} of {total} namespaces, in {refused} because of another manager")
}

#[cfg(test)]
mod tests;
