//! Admission: how many certificates are made at once, who waits, and who is turned away.
//!
//! Comes after the caller was identified, since only then it is known whose share is used up: places are shared fairly
//! between nodes, and on a node between identities, and nobody gets one identity again and again. Before that, `server::peers` bounds what an address may do.
//!
//! What decides is pure (`gate`, `queue`, `round`, `recent`, `pace`); this file adds the lock, the clock and the
//! waiting. The lock is held for less than a microsecond and never while anything is awaited.

mod gate;
mod pace;
mod queue;
mod recent;
mod round;

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::metrics::AdmissionMetrics;
use gate::{Arrival, Gate};
use pace::Pace;
pub use pace::PaceConfig;
use queue::{Class, Key, Ticket};
use recent::Recent;

/// Bounds of the time after which a caller that was turned away should try again.
const RETRY_AFTER_MIN: Duration = Duration::from_millis(100);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);

/// How much may be under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmissionConfig {
    /// Most certificates being made at once, recording included; at least one.
    pub in_flight: usize,
    /// Most requests of identified callers that wait.
    pub waiting: usize,
    /// How long a request may wait.
    pub wait_max: Duration,
    /// How often one holder gets one identity.
    pub pace: PaceConfig,
}

/// Why a request was turned away by a server that is busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShedError {
    /// No place to wait, and nobody takes more than this caller.
    #[error("no place is left to wait")]
    Full {
        /// When to try again.
        retry_after: Duration,
    },
    /// The place went to a caller that takes less.
    #[error("place in the queue went to a caller that takes less")]
    PushedOut {
        /// When to try again.
        retry_after: Duration,
    },
    /// Waited for as long as the operator lets anybody wait.
    #[error("request waited for too long")]
    WaitedTooLong {
        /// When to try again.
        retry_after: Duration,
    },
    /// This holder got this identity too often.
    #[error("holder got this identity too often")]
    TooOften {
        /// When to try again.
        retry_after: Duration,
    },
    /// The caller does not wait for the answer any more.
    #[error("caller's deadline has passed")]
    Late,
}

impl ShedError {
    /// A stable word for logs and metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Full { .. } => "queue_full",
            Self::PushedOut { .. } => "pushed_out",
            Self::WaitedTooLong { .. } => "waited_too_long",
            Self::TooOften { .. } => "holder_rate",
            Self::Late => "deadline",
        }
    }

    /// When to try again, if that makes sense.
    pub fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Full { retry_after }
            | Self::PushedOut { retry_after }
            | Self::WaitedTooLong { retry_after }
            | Self::TooOften { retry_after } => Some(retry_after),
            Self::Late => None,
        }
    }
}

/// Who wants to be admitted.
#[derive(Debug, Clone, Copy)]
pub struct Applicant<'a> {
    /// What gets the certificate, by something that it never shares nor changes: its pod's UID as a rule.
    pub holder: &'a str,
    /// What vouches for it, by something that others of its kind do not have: its pod's UID, or its token's id.
    pub voucher: &'a str,
    /// What kind of thing it wants.
    pub kind: &'static str,
    /// The cluster whose names these are.
    pub cluster: Option<&'a str>,
    /// The node that it lives on.
    pub node: Option<&'a str>,
    /// Whom the certificate will name.
    pub id: &'a str,
    /// Where the request comes from; stands for the node where the token names none.
    pub peer: Option<IpAddr>,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
}

/// The gate of a server.
#[derive(Debug)]
pub struct Admission {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    wait_max: Duration,
    hashes: RandomState,
    metrics: AdmissionMetrics,
}

type Waiter = oneshot::Sender<Result<Permit, ShedError>>;

#[derive(Debug)]
struct State {
    gate: Gate<Waiter>,
    recent: Recent,
    pace: Pace,
    /// How long the last one waited that was let in.
    last_wait: Duration,
    turned_away: u64,
}

impl Admission {
    /// An open gate.
    pub fn new(config: &AdmissionConfig, metrics: AdmissionMetrics) -> Self {
        let gate = Gate::new(config.in_flight, config.waiting);
        let pace = Pace::new(config.pace);
        let state = State { gate, recent: Recent::default(), pace, last_wait: Duration::ZERO, turned_away: 0 };
        let wait_max = config.wait_max;
        let shared = Shared { state: Mutex::new(state), wait_max, hashes: RandomState::new(), metrics };
        Self { shared: Arc::new(shared) }
    }

    /// Lets `applicant` in when it is its turn. Dropping the future gives its place in the queue back.
    ///
    /// # Errors
    /// Every variant of [`ShedError`].
    pub async fn enter(&self, applicant: &Applicant<'_>) -> Result<Permit, ShedError> {
        let came = Instant::now();
        if applicant.deadline.is_some_and(|deadline| deadline <= came) {
            return Err(self.shared.shed(ShedError::Late));
        }
        let (hash, taken) = (self.shared.hash_of(applicant), self.shared.hash_of_pace(applicant));
        let (waiting, turn) = {
            let mut state = self.shared.lock();
            if let Err(retry_after) = state.pace.take(taken, came) {
                drop(state);
                return Err(self.shared.shed(ShedError::TooOften { retry_after }));
            }
            let key = self.shared.key(applicant, state.recent.knows(hash));
            let mut turn = None;
            let arrival = state.gate.arrive(key, || {
                let (waiter, its_turn) = oneshot::channel();
                turn = Some(its_turn);
                waiter
            });
            self.shared.tell(&state);
            let ticket = match arrival {
                Arrival::Enters => return Ok(Permit::new(&self.shared, hash)),
                Arrival::Waits(ticket) => ticket,
                Arrival::WaitsInsteadOf(ticket, other) => {
                    let error = ShedError::PushedOut { retry_after: self.shared.retry_after(&mut state) };
                    // It may have gone away just now.
                    let _ = other.send(Err(error));
                    ticket
                }
                Arrival::TurnedAway => {
                    let error = ShedError::Full { retry_after: self.shared.retry_after(&mut state) };
                    state.pace.give_back(taken);
                    drop(state);
                    return Err(self.shared.shed(error));
                }
            };
            (Waiting { shared: &self.shared, ticket }, turn)
        };
        let permit = self.turn(applicant.deadline, came, turn).await;
        drop(waiting);
        permit.map(|permit| permit.of(hash)).map_err(|error| {
            self.shared.lock().pace.give_back(taken);
            self.shared.shed(error)
        })
    }

    /// Waits for the turn, at most until the caller or the operator has waited enough.
    async fn turn(
        &self,
        deadline: Option<Instant>,
        came: Instant,
        turn: Option<oneshot::Receiver<Result<Permit, ShedError>>>,
    ) -> Result<Permit, ShedError> {
        let longest = came + self.shared.wait_max;
        let until = deadline.map_or(longest, |deadline| deadline.min(longest));
        let came_up = match turn {
            Some(turn) => timeout_at(until, turn).await,
            None => return Err(ShedError::Late),
        };
        let now = Instant::now();
        let mut state = self.shared.lock();
        match came_up {
            // The turn came, but so late that the answer is of no use: the place goes on to the next.
            Ok(Ok(Ok(permit))) if now < until => {
                state.last_wait = now.duration_since(came);
                drop(state);
                self.shared.metrics.waited(now.duration_since(came));
                Ok(permit)
            }
            Ok(Ok(Err(error))) => Err(error),
            late => {
                let error = if deadline.is_some_and(|deadline| deadline <= now) {
                    ShedError::Late
                } else {
                    ShedError::WaitedTooLong { retry_after: self.shared.retry_after(&mut state) }
                };
                drop(state);
                drop(late);
                Err(error)
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, state: &State) {
        self.metrics.load(state.gate.inside(), state.gate.waiting());
    }

    fn shed(&self, error: ShedError) -> ShedError {
        self.metrics.shed(error.reason());
        error
    }

    /// Stands for one workload that gets certificates of one identity.
    fn hash_of(&self, applicant: &Applicant<'_>) -> u64 {
        self.hashes.hash_one((applicant.cluster, applicant.holder, applicant.id))
    }

    /// Stands for one holder of one identity, as whose certificates and tokens are counted, each kind for itself.
    fn hash_of_pace(&self, applicant: &Applicant<'_>) -> u64 {
        self.hashes.hash_one((applicant.cluster, applicant.voucher, applicant.id, applicant.kind))
    }

    fn key(&self, applicant: &Applicant<'_>, served_before: bool) -> Key {
        let node = match (applicant.node, applicant.peer) {
            (Some(node), _) => self.hashes.hash_one((applicant.cluster, node)),
            (None, Some(peer)) => self.hashes.hash_one(peer),
            (None, None) => 0,
        };
        let class = if served_before { Class::Renewal } else { Class::First };
        Key { node, identity: self.hashes.hash_one(applicant.id), class }
    }

    /// Twice as long as others wait now, give or take a half, so that those who are turned away together do not come
    /// back together.
    fn retry_after(&self, state: &mut State) -> Duration {
        state.turned_away += 1;
        let longest = (2 * state.last_wait).clamp(2 * RETRY_AFTER_MIN, RETRY_AFTER_MAX);
        let thousandths = u32::try_from(500 + self.hashes.hash_one(state.turned_away) % 501).unwrap_or(500);
        (longest * thousandths) / 1000
    }

    /// Whose turn it is after somebody left.
    fn next(&self) -> Option<Waiter> {
        let mut state = self.lock();
        let next = state.gate.leave();
        self.tell(&state);
        next
    }

    /// A place became free.
    fn leave(self: &Arc<Self>) {
        let mut next = self.next();
        while let Some(waiter) = next {
            match waiter.send(Ok(Permit { shared: Some(self.clone()), hash: None })) {
                Ok(()) => return,
                // It went away just now, so the place is free again.
                Err(back) => {
                    back.map(Permit::disarm).ok();
                    next = self.next();
                }
            }
        }
    }
}

/// Somebody in the queue; gives the place back when it goes away.
struct Waiting<'a> {
    shared: &'a Shared,
    ticket: Ticket,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let given_up = state.gate.give_up(self.ticket);
        self.shared.tell(&state);
        drop(state);
        // It holds nothing that would come back here, but that is not for the lock to know.
        drop(given_up);
    }
}

/// The right to have a certificate made. Its end lets the next one in.
#[derive(Debug)]
pub struct Permit {
    shared: Option<Arc<Shared>>,
    /// Whose it is, once that is known.
    hash: Option<u64>,
}

impl Permit {
    fn new(shared: &Arc<Shared>, hash: u64) -> Self {
        Self { shared: Some(shared.clone()), hash: Some(hash) }
    }

    fn of(mut self, hash: u64) -> Self {
        self.hash = Some(hash);
        self
    }

    /// The certificate was made: the next one is a renewal.
    pub fn served(self) {
        if let (Some(shared), Some(hash)) = (&self.shared, self.hash) {
            shared.lock().recent.remember(hash);
        }
    }

    /// Ends without letting anybody in.
    fn disarm(mut self) {
        self.shared = None;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            shared.leave();
        }
    }
}

#[cfg(test)]
mod tests;
