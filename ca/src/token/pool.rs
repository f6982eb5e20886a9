//! The threads that ask the token, each with a session of its own, and the bounded queue before them.
//!
//! A call into a module cannot be taken back. What waits is therefore counted, what nobody waits for any more is not
//! begun, and a way into the token that was refused is not tried again at once.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use signet_identity::PublicKey;
use signet_runtime::Clock;

use super::TokenError;
use crate::metrics::TokenMetrics;

/// Most signatures that wait for the token: what is admitted at once by default, and some more.
const WAITING_MAX: usize = 256;

/// Least time between two attempts to enter the token after one that failed.
const ENTER_INTERVAL: Duration = Duration::from_secs(1);

/// A way into the token.
pub(super) trait Entrance: Send + Sync {
    /// Opens a session. Never called by two threads at once.
    fn enter(&self) -> Result<Box<dyn Session>, TokenError>;
}

/// An open way, used by one thread.
pub(super) trait Session {
    /// Signs with the key that belongs to `key`; the signature is verified.
    fn sign(&mut self, key: &PublicKey, message: &[u8]) -> Result<Vec<u8>, TokenError>;
}

/// Where an answer goes.
type Reply = Box<dyn FnOnce(Result<Vec<u8>, TokenError>) + Send>;

struct Job {
    key: Arc<PublicKey>,
    message: Vec<u8>,
    /// When nobody waits for it any more.
    until: Instant,
    reply: Reply,
}

/// Threads that end once this is dropped. One that a module never returns from is ended by the end of the process, so
/// that a token cannot keep the program from stopping.
pub(super) struct Pool {
    queue: SyncSender<Job>,
}

impl Pool {
    pub(super) fn start(entrance: Arc<dyn Entrance>, threads: usize, clock: Clock, metrics: TokenMetrics) -> Self {
        let (queue, waiting) = sync_channel(WAITING_MAX);
        let desk = Arc::new(Desk { waiting: Mutex::new(waiting), entrance, gate: Mutex::default(), clock, metrics });
        for _ in 0..threads {
            let desk = desk.clone();
            let started = thread::Builder::new().name("token".to_owned()).spawn(move || desk.work());
            if let Err(error) = started {
                tracing::error!(%error, "a thread that asks the token cannot be started");
            }
        }
        Self { queue }
    }

    /// Lets `message` be signed, and the answer given to `reply`, unless it would come later than after `timeout`.
    pub(super) fn ask(
        &self,
        key: &Arc<PublicKey>,
        message: &[u8],
        timeout: Duration,
        reply: Reply,
    ) -> Result<(), TokenError> {
        let until = Instant::now() + timeout;
        let job = Job { key: key.clone(), message: message.to_vec(), until, reply };
        self.queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => TokenError::Busy,
            TrySendError::Disconnected(_) => TokenError::Threads,
        })
    }
}

/// What the threads share.
struct Desk {
    waiting: Mutex<Receiver<Job>>,
    entrance: Arc<dyn Entrance>,
    gate: Mutex<Gate>,
    clock: Clock,
    metrics: TokenMetrics,
}

/// Lets one thread enter at a time, so that a wrong PIN is tried once and not by all of them.
#[derive(Default)]
struct Gate {
    /// When, by the steady clock, and why the last attempt failed.
    failed: Option<(Duration, TokenError)>,
}

impl Desk {
    fn work(&self) {
        let mut session = None;
        while let Some(job) = self.next() {
            let began = Instant::now();
            if began >= job.until {
                continue;
            }
            let signed = self.sign(&mut session, &job);
            let result = signed.as_ref().err().map_or("signed", TokenError::outcome);
            self.metrics.signed(result, Some(began.elapsed()));
            (job.reply)(signed);
        }
    }

    /// What comes next; `None` once nobody can ask any more.
    fn next(&self) -> Option<Job> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
    }

    /// A session that was lost is found out by using it, so once more with a fresh one.
    fn sign(&self, session: &mut Option<Box<dyn Session>>, job: &Job) -> Result<Vec<u8>, TokenError> {
        if let Some(open) = session {
            match open.sign(&job.key, &job.message) {
                Err(error) if ends_session(&error) => *session = None,
                signed => return signed,
            }
        }
        let mut fresh = self.enter()?;
        let signed = fresh.sign(&job.key, &job.message);
        if !signed.as_ref().is_err_and(ends_session) {
            *session = Some(fresh);
        }
        signed
    }

    fn enter(&self) -> Result<Box<dyn Session>, TokenError> {
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.steady();
        if let Some((at, why)) = gate.failed.as_ref().filter(|(at, _)| now < *at + ENTER_INTERVAL) {
            tracing::trace!(?at, "token was refused a moment ago");
            return Err(why.clone());
        }
        let entered = self.entrance.enter();
        gate.failed = entered.as_ref().err().map(|error| (self.clock.steady(), error.clone()));
        entered
    }
}

/// Whether nothing more comes of a session after `error`.
fn ends_session(error: &TokenError) -> bool {
    matches!(error, TokenError::Lost { .. } | TokenError::WrongSignature)
}

#[cfg(test)]
mod tests;
