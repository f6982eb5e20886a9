//! The task that compares what is wanted with what is seen, and writes the difference while this replica leads.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use signet_kubernetes::ApiClient;
use signet_runtime::{HealthHandle, Shutdown};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::board::{Outcome, Spread, Trouble};
use super::form::Form;
use super::objects::SharedBoard;
use super::policy::Policy;
use super::write::Writer;
use crate::authority::Authority;
use crate::kubernetes::Leadership;
use crate::metrics::PublishMetrics;

/// Most writes under way at once.
const WRITES_MAX: usize = 8;

/// Least and most time between two looks at the whole board.
const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(50);
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(5);

/// How long roots may be behind somewhere before that is told as a remark.
const BEHIND_REMARK_AFTER: Duration = Duration::from_secs(60);

pub(super) struct Keeper<F> {
    board: SharedBoard,
    writer: Writer<F>,
    roots: watch::Receiver<Arc<Authority>>,
    leadership: Leadership,
    health: HealthHandle,
    metrics: PublishMetrics,
    told: watch::Sender<Spread>,
    /// The number of the bundle that is wanted, and the latest that stood everywhere.
    bundle: u64,
    /// Whether another process may know later roots.
    is_followed: bool,
    everywhere: watch::Sender<u64>,
    under_way: JoinSet<(Box<str>, Outcome)>,
    behind_since: Option<Instant>,
}

/// Who publishes, for whom, and whom it tells.
pub(super) struct Publishing {
    pub(super) client: ApiClient,
    pub(super) policy: Policy,
    pub(super) roots: watch::Receiver<Arc<Authority>>,
    pub(super) leadership: Leadership,
    pub(super) health: HealthHandle,
    pub(super) metrics: PublishMetrics,
}

impl<F: Form> Keeper<F> {
    pub(super) fn new(form: F, board: SharedBoard, publishing: Publishing) -> Self {
        let Publishing { client, policy, roots, leadership, health, metrics } = publishing;
        let ((told, _), (everywhere, _)) = (watch::channel(Spread::default()), watch::channel(0));
        Self {
            board,
            writer: Writer { client, form, policy },
            roots,
            leadership,
            health,
            metrics,
            told,
            bundle: 0,
            is_followed: true,
            everywhere,
            under_way: JoinSet::new(),
            behind_since: None,
        }
    }

    /// How far the roots have spread.
    pub(super) fn spread(&self) -> watch::Receiver<Spread> {
        self.told.subscribe()
    }

    /// The number of the latest bundle that was seen everywhere; zero before the first.
    pub(super) fn everywhere(&self) -> watch::Receiver<u64> {
        self.everywhere.subscribe()
    }

    pub(super) async fn run(mut self, shutdown: Shutdown) -> Result<(), Infallible> {
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
        (self.bundle, self.is_followed) = (authority.published().generation, authority.is_followed());
        self.board.lock().want(self.writer.form.wanted(&authority));
    }

    fn start_due(&mut self) {
        // Who begins to lead publishes nothing before it has read what whoever led before wrote.
        if !self.leadership.holds() || self.is_followed {
            return;
        }
        let free = WRITES_MAX.saturating_sub(self.under_way.len());
        let mut board = self.board.lock();
        let Some(wanted) = board.wanted().cloned() else { return };
        for (place, was_ours) in board.take_due(Instant::now(), free) {
            self.under_way.spawn(self.writer.clone().write(place, wanted.clone(), was_ours));
        }
    }

    fn ended(&mut self, ended: Option<(Box<str>, Outcome)>) {
        // A write that panicked is a bug that its own message told of; its namespace is written to by the next process.
        let Some((place, outcome)) = ended else { return };
        self.metrics.wrote(match &outcome {
            Outcome::Written(_) => "written",
            Outcome::Healed(..) => "healed",
            Outcome::Leaving => "leaving",
            Outcome::Not(Trouble::Owned(_) | Trouble::Contested(_), _) => "refused",
            Outcome::Not(..) => "failed",
        });
        let at = self.writer.form.names(&place);
        if let Outcome::Healed(_, by) = &outcome {
            tracing::warn!(at, by = by.join(", "), "published roots had been changed and were put right");
        }
        let trouble = self.board.lock().ended(&place, outcome, Instant::now());
        match trouble {
            None => {}
            Some(Trouble::Failed(error)) => {
                tracing::warn!(at, error, "roots cannot be published, it is tried again");
            }
            Some(Trouble::Owned(by)) => {
                tracing::warn!(at, by = by.join(", "), "roots are not published: another manager owns them");
            }
            Some(Trouble::Contested(by)) => {
                tracing::error!(at, by = by.join(", "), "another manager keeps changing the published roots");
            }
            Some(Trouble::Altered) => {
                tracing::warn!(at, "roots were published and came back changed");
            }
        }
    }

    fn tell(&mut self) {
        let (spread, is_known, example) = {
            let board = self.board.lock();
            (board.spread(), board.is_known(), board.example())
        };
        self.metrics.spread(spread);
        if is_known && spread.behind == 0 {
            self.everywhere.send_if_modified(|bundle| std::mem::replace(bundle, self.bundle) != self.bundle);
            if let Some(since) = self.behind_since.take().filter(|_| spread.total > 0) {
                let took_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
                tracing::info!(places = spread.total, took_ms, what = self.metrics.what(), "roots are published");
            }
            self.health.ready();
        } else {
            let since = *self.behind_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= BEHIND_REMARK_AFTER {
                let mut remark = self.writer.form.remark(spread, is_known);
                if let Some((place, trouble)) = example {
                    let _ = write!(remark, "; {}: {trouble}", self.writer.form.names(&place));
                }
                self.health.degraded(remark);
            }
        }
        self.told.send_if_modified(|told| std::mem::replace(told, spread) != spread);
    }
}
