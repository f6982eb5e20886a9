//! The thread that owns the end of the chain: takes records from the queue, writes as many as wait in one go, tells
//! each that it counts, and goes on trying while that fails.

use std::borrow::Cow;
use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use signet_identity::Timestamp;
use signet_runtime::tasks::chain;
use signet_runtime::{Backoff, Clock};

use super::prune::Kept;
use super::record::{Body, Note};
use super::state::State;
use super::store::{Store, WriteError};
use super::{LedgerError, SyncPolicy, prune};
use crate::metrics::LedgerMetrics;

/// Most records in one group.
const GROUP_RECORDS_MAX: usize = 1024;

/// Bytes of records after which no more join a group.
const GROUP_BYTES_MAX: usize = 1024 * 1024;

/// Records that came together after which the next are let come together too, and for how long. Each wait for the disk
/// costs the processor about as much as a signature, and two switches of threads, however many records it is for.
const CROWD: usize = 8;
const LINGER: Duration = Duration::from_millis(3);

/// Time between two attempts to write again: the first, and the longest.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
const RETRY_JITTER: f64 = 0.2;

/// Time between two looks at what is old, while nothing is issued.
const PRUNE_INTERVAL: Duration = Duration::from_secs(3600);

/// What is done with the answer to an order.
pub(super) type Done = Box<dyn FnOnce(Result<(), LedgerError>) + Send>;

/// A record that waits to be written, and who waits for it.
pub(super) struct Order {
    pub(super) body: Body,
    pub(super) done: Done,
}

/// Since when writing fails, and when it is tried next.
#[derive(Debug)]
struct Trouble {
    since: Timestamp,
    why: String,
    attempt: u32,
    next_try: Instant,
}

/// What the thread works with.
pub(super) struct Writer {
    pub(super) store: Store,
    pub(super) dir: std::path::PathBuf,
    pub(super) policy: SyncPolicy,
    pub(super) clock: Clock,
    pub(super) state: Arc<State>,
    pub(super) metrics: LedgerMetrics,
    trouble: Option<Trouble>,
    /// Failures since the last group of records that was written.
    failures: u32,
    backoff: Backoff,
    /// How long those who come next wait for others.
    linger: Duration,
    /// When the oldest record that may not be on the disk was written.
    unsynced_since: Option<Instant>,
    pruned: Instant,
}

impl Writer {
    pub(super) fn new(
        store: Store,
        dir: std::path::PathBuf,
        policy: SyncPolicy,
        clock: Clock,
        state: Arc<State>,
        metrics: LedgerMetrics,
    ) -> Self {
        let backoff = Backoff::new(RETRY_FIRST, RETRY_MAX, RETRY_JITTER);
        let (trouble, failures, linger, unsynced_since, pruned) = (None, 0, Duration::ZERO, None, Instant::now());
        Self { store, dir, policy, clock, state, metrics, trouble, failures, backoff, linger, unsynced_since, pruned }
    }

    /// Notes that a process begins to write. A disk that is full at the start is no reason not to start.
    pub(super) fn begin(&mut self, torn_bytes: u64) {
        let version = Cow::Borrowed(env!("CARGO_PKG_VERSION"));
        let written = self.note(&Note::Started { time: self.now(), version, torn_bytes });
        if let Err(error) = written {
            self.fail(&error);
        }
        self.prune();
    }

    /// Writes until nobody can send orders any more, and all are done.
    pub(super) fn run(mut self, orders: &Receiver<Order>) {
        let mut group = Vec::new();
        loop {
            match orders.recv_timeout(self.time_to_wait()) {
                Ok(first) => {
                    thread::sleep(mem::take(&mut self.linger));
                    gather(first, orders, &mut group);
                    self.metrics.taken(group.len());
                    self.write(&mut group);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.look_after();
        }
        if let Err(error) = self.sync() {
            tracing::error!(error = chain(&error), "ledger's last records may not be on the disk");
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from(self.clock.now())
    }

    fn time_to_wait(&self) -> Duration {
        let sync_due = match (self.policy, self.unsynced_since) {
            (SyncPolicy::Within(bound), Some(since)) => Some(since + bound),
            _ => None,
        };
        let retry_due = self.trouble.as_ref().map(|trouble| trouble.next_try);
        let due = sync_due.into_iter().chain(retry_due).min().unwrap_or(self.pruned + PRUNE_INTERVAL);
        due.saturating_duration_since(Instant::now())
    }

    /// What is due beside writing.
    fn look_after(&mut self) {
        let now = Instant::now();
        if self.trouble.as_ref().is_some_and(|trouble| trouble.next_try <= now) {
            self.retry();
        }
        if let (SyncPolicy::Within(bound), Some(since), None) = (self.policy, self.unsynced_since, &self.trouble)
            && since + bound <= now
            && let Err(error) = self.sync()
        {
            self.fail(&error);
        }
        if self.pruned + PRUNE_INTERVAL <= now {
            self.prune();
        }
    }

    fn write(&mut self, group: &mut Vec<Order>) {
        if self.trouble.is_some() {
            return group.drain(..).for_each(|order| order.answer(Err(LedgerError::Unavailable)));
        }
        let now = self.now();
        let (state, store, sync) = (&self.state, &mut self.store, self.policy == SyncPolicy::Always);
        let began = Instant::now();
        match state.on_disk(|| store.append(group.iter().map(|order| &order.body), sync, now)) {
            Ok((bytes, began_segment)) => {
                self.metrics.group(group.len(), bytes, began.elapsed());
                self.linger = if sync { linger(group.len()) } else { Duration::ZERO };
                self.unsynced_since = self.unsynced_since.or((!sync).then_some(began));
                self.failures = 0;
                group.drain(..).for_each(|order| order.answer(Ok(())));
                if began_segment {
                    self.prune();
                }
            }
            Err(error) => {
                self.fail(&error);
                group.drain(..).for_each(|order| order.answer(Err(LedgerError::Unavailable)));
            }
        }
    }

    fn sync(&mut self) -> Result<(), WriteError> {
        let (state, store) = (&self.state, &mut self.store);
        state.on_disk(|| store.sync())?;
        self.unsynced_since = None;
        Ok(())
    }

    fn note(&mut self, note: &Note<'_>) -> Result<(), WriteError> {
        // A note is never too long: the one text in it is cut.
        let Ok(body) = Body::note(note) else { return Ok(()) };
        let now = self.now();
        let (state, store) = (&self.state, &mut self.store);
        let (bytes, _) = state.on_disk(|| store.append(std::iter::once(&body), true, now))?;
        self.metrics.noted(bytes);
        Ok(())
    }

    /// Tells once what is wrong, however many wait.
    fn fail(&mut self, error: &WriteError) {
        let why: String = chain(error).chars().take(WHY_MAX_CHARS).collect();
        self.metrics.failed();
        let wait = self.backoff.wait(self.failures);
        self.failures = self.failures.saturating_add(1);
        let next_try = Instant::now() + wait;
        match &mut self.trouble {
            None => {
                tracing::error!(error = why, "ledger cannot be written, so nothing is issued");
                let since = self.now();
                self.trouble = Some(Trouble { since, why: why.clone(), attempt: 1, next_try });
            }
            Some(trouble) => {
                (trouble.why, trouble.next_try) = (why.clone(), next_try);
                trouble.attempt = trouble.attempt.saturating_add(1);
            }
        }
        self.state.fails(why);
    }

    fn retry(&mut self) {
        let Some(Trouble { since, why, attempt, .. }) = &self.trouble else { return };
        let (since, why, attempt) = (*since, why.clone(), *attempt);
        let now = self.now();
        let (state, store) = (&self.state, &mut self.store);
        let repaired = state.on_disk(|| store.repair(now));
        let noted = repaired.and_then(|()| self.note(&Note::Resumed { time: now, since, why: Cow::Borrowed(&why) }));
        match noted {
            Ok(()) => {
                self.trouble = None;
                self.unsynced_since = None;
                self.state.works();
                tracing::info!(%since, attempt, "ledger can be written again");
            }
            Err(error) => self.fail(&error),
        }
    }

    /// What is kept, and whether too little is.
    fn tell(&self, kept: Kept) {
        self.metrics.kept(kept.segments, kept.bytes, kept.oldest);
        self.metrics.removed_early(kept.removed_early);
        self.state.remarks(kept.oldest.filter(|_| kept.is_short).map(|oldest| {
            format!(
                "records of certificates that may still be valid were removed, as `ledger.keep_max` is too small: the \
                 oldest that is kept is of {oldest}"
            )
        }));
    }

    fn prune(&mut self) {
        self.pruned = Instant::now();
        match prune::prune(&self.store.chain, &self.dir, &self.store.keeping, self.now()) {
            Ok(kept) => self.tell(kept),
            Err(error) => tracing::warn!(%error, "ledger's oldest segments cannot be removed"),
        }
    }
}

/// Longest reason that is kept, in characters.
const WHY_MAX_CHARS: usize = 500;

impl Order {
    fn answer(self, answer: Result<(), LedgerError>) {
        (self.done)(answer);
    }
}

/// How long the next are let come together, after so many did.
fn linger(records: usize) -> Duration {
    if records < CROWD { Duration::ZERO } else { LINGER }
}

/// Takes `first` and what else waits.
fn gather(first: Order, orders: &Receiver<Order>, group: &mut Vec<Order>) {
    let mut bytes = first.body.members().len();
    group.push(first);
    while group.len() < GROUP_RECORDS_MAX && bytes < GROUP_BYTES_MAX {
        let Ok(order) = orders.try_recv() else { break };
        bytes += order.body.members().len();
        group.push(order);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_wait_for_each_other_only_where_they_come_in_crowds() {
        let check = |records, wanted| assert_eq!(linger(records), wanted, "{records} records");
        check(1, Duration::ZERO);
        check(CROWD - 1, Duration::ZERO);
        check(CROWD, LINGER);
        check(GROUP_RECORDS_MAX, LINGER);
    }
}
