//! The ledger: whatever a caller gets is recorded before it leaves, in a chain that shows whether it was changed later.
//!
//! A ledger is a directory of chains (`segment`), each a sequence of JSON lines that hash the line before them
//! (`chain`). Requests hand their record over a bounded queue and wait; one thread (`writer`) writes all that wait
//! in one go, waits for the disk, and tells them. What is written, and how it is kept and pruned, is in `store` and
//! `prune`; reading, in [`walk`], needs no lock. Nothing here knows about gRPC or how a certificate is made.
//!
//! Invariant: [`Ledger::append`] returns `Ok` only for a record that is written, and on the disk where the policy says
//! so. A record without a certificate can exist; a caller's certificate without a record can not.

mod chain;
mod instant;
mod open;
mod prune;
mod reader;
mod record;
mod segment;
mod state;
mod store;
mod walk;
mod writer;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use signet_identity::Timestamp;
use signet_runtime::{Clock, Health, Shutdown};
use tokio::sync::oneshot;

pub use chain::Link;
pub(crate) use instant::parse as parse_instant;
pub use open::OpenError;
pub use reader::{Entry, Flaw, read_segment};
pub use record::{Head, Issued, RECORD_MAX_BYTES};
pub use segment::{CHAINS_MAX, Chain, SEGMENTS_MAX, Segment};
pub use store::Keeping;
pub use walk::{Break, Mark, Seen, Visitor, walk};

use crate::metrics::LedgerMetrics;
use record::Body;
use state::State;
use writer::{Done, Order, Writer};

/// Most records that wait to be taken by the writer.
const QUEUE_MAX: usize = 4096;

/// Longest wait for a record to be written.
const CONFIRM_MAX: Duration = Duration::from_secs(10);

/// Time between two looks whether the disk answers.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// When a record counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncPolicy {
    /// When it is on the disk.
    Always,
    /// When the operating system has it, which puts it on the disk within this time: what a machine that loses power
    /// may forget.
    Within(Duration),
}

/// Where the ledger is, and how it is written and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerConfig {
    /// The directory.
    pub dir: PathBuf,
    /// When a record counts as written.
    pub sync: SyncPolicy,
    /// How much is kept.
    pub keeping: Keeping,
}

/// Why a record was not written. No certificate may leave then; nothing is wrong with the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The disk refuses or does not answer. Readiness and log say why.
    #[error("ledger cannot be written")]
    Unavailable,
    /// More wait already than may.
    #[error("{QUEUE_MAX} records wait for the ledger already")]
    Full,
    /// It was not written in time; it may be later, but nobody waits for it.
    #[error("ledger did not confirm the record within {} s", CONFIRM_MAX.as_secs())]
    Slow,
    /// Names so long that no certificate could hold them.
    #[error("record would have more than {RECORD_MAX_BYTES} bytes")]
    TooLong,
}

impl LedgerError {
    /// A stable word for logs and metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Unavailable => "ledger_unavailable",
            Self::Full => "ledger_full",
            Self::Slow => "ledger_slow",
            Self::TooLong => "ledger_record",
        }
    }
}

/// Takes records. Cheap to clone; the writer ends when the last clone is gone.
#[derive(Debug, Clone)]
pub struct Ledger {
    to: Option<To>,
}

#[derive(Debug, Clone)]
struct To {
    orders: SyncSender<Order>,
    state: Arc<State>,
    metrics: LedgerMetrics,
}

/// Keeps the ledger written. Run it beside everything that records.
pub struct LedgerKeeper {
    work: Option<(Writer, Receiver<Order>)>,
}

impl Ledger {
    /// Takes up the ledger in `config.dir`, or begins one. With `None` nothing is recorded, and readiness says so.
    ///
    /// # Errors
    /// Every variant of [`OpenError`]. A disk that is full is none: the ledger then refuses records until it is not.
    pub fn open(
        config: Option<&LedgerConfig>,
        clock: Clock,
        metrics: &LedgerMetrics,
        health: &Health,
    ) -> Result<(Self, LedgerKeeper), OpenError> {
        let health = health.part("ledger");
        let Some(config) = config else {
            tracing::warn!("certificates are issued without a record, as `ledger.dir` is `none`");
            health.degraded("certificates are issued without a record, as `ledger.dir` is `none`");
            return Ok((Self { to: None }, LedgerKeeper { work: None }));
        };
        let (store, torn_bytes) = open::open(&config.dir, config.keeping, Timestamp::from(clock.now()))?;
        tracing::info!(chain = %store.chain.path.display(), next = store.next, hash = %store.link, "ledger opened");
        let state = Arc::new(State::new(health));
        let dir = config.dir.clone();
        let mut writer = Writer::new(store, dir, config.sync, clock, Arc::clone(&state), metrics.clone());
        writer.begin(torn_bytes);
        let (orders, taken) = sync_channel(QUEUE_MAX);
        let to = Some(To { orders, state, metrics: metrics.clone() });
        Ok((Self { to }, LedgerKeeper { work: Some((writer, taken)) }))
    }

    /// Whether a record would be taken now: asked before work is spent on what could not be recorded.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub fn check(&self) -> Result<(), LedgerError> {
        self.to.as_ref().map_or(Ok(()), |to| to.state.check())
    }

    /// Records a certificate. Returns when that counts as written, or will not be; never waits longer than ten seconds.
    /// Dropping the future does not take the record back; `held` is given back with the answer, and where nobody waits
    /// any more it ends when the record was written, not before.
    ///
    /// # Errors
    /// Every variant of [`LedgerError`].
    pub async fn append<H: Send + 'static>(&self, record: &Issued<'_>, held: H) -> Result<H, LedgerError> {
        let Some(to) = &self.to else { return Ok(held) };
        to.state.check()?;
        let body = Body::issued(record)?;
        let (done, confirmed) = oneshot::channel();
        let done: Done = Box::new(move |answer| {
            // Who does not wait any more needs no answer.
            let _ = done.send(answer.map(|()| held));
        });
        to.metrics.handed_over();
        if let Err(refused) = to.orders.try_send(Order { body, done }) {
            to.metrics.taken(1);
            return Err(match refused {
                TrySendError::Full(_) => LedgerError::Full,
                TrySendError::Disconnected(_) => LedgerError::Unavailable,
            });
        }
        match tokio::time::timeout(CONFIRM_MAX, confirmed).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(LedgerError::Unavailable),
            Err(_) => Err(LedgerError::Slow),
        }
    }
}

/// Why the ledger is not kept any more.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// No thread could be started.
    #[error("writer of the ledger cannot be started")]
    Start(#[from] std::io::Error),
    /// The writer ended by surprise: a bug in Signet.
    #[error("writer of the ledger ended by surprise")]
    Ended,
}

impl LedgerKeeper {
    /// Writes until shutdown has begun and the last [`Ledger`] is gone.
    ///
    /// # Errors
    /// Every variant of [`KeepError`].
    pub async fn run(self, shutdown: Shutdown) -> Result<(), KeepError> {
        let Some((writer, orders)) = self.work else {
            shutdown.begun().await;
            return Ok(());
        };
        let state = Arc::clone(&writer.state);
        let (done, mut ended) = oneshot::channel::<Infallible>();
        let thread = thread::Builder::new().name("ledger".to_owned()).spawn(move || {
            // Dropped when the thread ends, however it does.
            let _done = done;
            writer.run(&orders);
        })?;
        loop {
            tokio::select! {
                // Nothing is ever sent: this is the end of the thread.
                _ = &mut ended => break,
                // Losing this arm loses one look.
                () = tokio::time::sleep(LOOK_INTERVAL) => {
                    if state.look(Instant::now()) {
                        tracing::error!("disk of the ledger does not answer, so nothing is issued");
                    }
                }
            }
        }
        match thread.join() {
            Ok(()) if shutdown.has_begun() => Ok(()),
            Ok(()) | Err(_) => Err(KeepError::Ended),
        }
    }
}

#[cfg(test)]
mod tests;
