//! The keys of a token issuer: kept in memory, refreshed in the background, never given up for a failed refresh.
//!
//! Two halves. [`IssuerKeys`] is what requests hold: it reads the current set and, when a token names a key that is not
//! in it, asks for a refresh and waits a bounded time. [`KeyKeeper`] is one task that owns the schedule, so a flood of
//! tokens with invented key names costs at most one fetch in [`ASKED_INTERVAL_MIN`].

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use signet_identity::{JwkSet, Timestamp, UnverifiedJws};
use signet_runtime::tasks::chain;
use signet_runtime::{Backoff, Shutdown};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::claims::issued_at;
pub use super::jwks_source::{FetchError, JwksSource};
use super::token::CLOCK_SKEW_MAX;
use crate::metrics::Metrics;
use crate::voice::Voice;

/// Least time between two refreshes that unknown key names asked for.
const ASKED_INTERVAL_MIN: Duration = Duration::from_secs(10);

/// How long a request waits for the refresh that its token asked for.
const ASKED_WAIT_MAX: Duration = Duration::from_secs(3);

/// Most time between two looks at a file; reading it costs next to nothing.
const FILE_INTERVAL_MAX: Duration = Duration::from_secs(5);

const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);
const RETRY_JITTER: f64 = 0.2;

/// Why nothing can be said about a token's signature yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// No key set was obtained since the start.
    #[error("no key set was obtained yet")]
    NeverObtained,
    /// The token names a key that is not known, and the issuer could not be asked for newer ones.
    #[error("token names an unknown key, and the key set could not be refreshed")]
    NotRefreshed,
}

impl KeysError {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::NeverObtained => "keys_never_obtained",
            Self::NotRefreshed => "keys_not_refreshed",
        }
    }
}

/// One attempt to refresh, as those who wait for it see it.
#[derive(Debug, Clone, Copy, Default)]
struct Round {
    /// Whether the newest attempt succeeded.
    succeeded: bool,
    /// When the newest attempt began that an unknown key name had asked for.
    asked_at: Option<Instant>,
    /// When the newest attempt began that succeeded.
    read_at: Option<Instant>,
}

impl Round {
    /// Whether asking for another refresh would be too soon.
    fn is_quiet(&self, now: Instant) -> bool {
        self.asked_at.is_some_and(|at| now.duration_since(at) < ASKED_INTERVAL_MIN)
    }
}

#[derive(Debug, Default)]
struct Shared {
    current: ArcSwapOption<JwkSet>,
    rounds: watch::Sender<Round>,
    asked: Notify,
}

/// The keys as requests see them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct IssuerKeys {
    shared: Arc<Shared>,
}

impl IssuerKeys {
    /// The set to verify `token` with. It need not hold the key that the token names: then the issuer does not have it.
    ///
    /// # Errors
    /// [`KeysError`]: whether the issuer has that key could not be found out.
    pub async fn for_token(&self, token: &UnverifiedJws<'_>, now: Timestamp) -> Result<Arc<JwkSet>, KeysError> {
        let age = if self.knows(token.kid()) { None } else { age(token, now) };
        self.for_kid(token.kid(), age).await
    }

    /// As [`IssuerKeys::for_token`], for a token that names `kid` and says that it is of this `age`, if it says so.
    async fn for_kid(&self, kid: Option<&str>, age: Option<Duration>) -> Result<Arc<JwkSet>, KeysError> {
        let keys = self.current()?;
        match kid {
            Some(kid) if !keys.knows(kid) => self.refreshed(age).await,
            _ => Ok(keys),
        }
    }

    /// Whether the set at hand holds the key that a token names; a token that names none needs only a set.
    pub fn knows(&self, kid: Option<&str>) -> bool {
        let keys = self.shared.current.load();
        keys.as_ref().is_some_and(|keys| kid.is_none_or(|kid| keys.knows(kid)))
    }

    /// The set as it is, if there is one.
    pub fn at_hand(&self) -> Option<Arc<JwkSet>> {
        self.shared.current.load_full()
    }

    fn current(&self) -> Result<Arc<JwkSet>, KeysError> {
        self.at_hand().ok_or(KeysError::NeverObtained)
    }

    async fn refreshed(&self, age: Option<Duration>) -> Result<Arc<JwkSet>, KeysError> {
        let now = Instant::now();
        let mut rounds = self.shared.rounds.subscribe();
        if !rounds.borrow_and_update().is_quiet(now) {
            self.shared.asked.notify_one();
            // The sender lives in `shared`, so the only way to hear nothing is that it takes too long.
            let waited = tokio::time::timeout(ASKED_WAIT_MAX, rounds.changed()).await;
            waited.map_err(|_| KeysError::NotRefreshed)?.map_err(|_| KeysError::NotRefreshed)?;
        }
        let round = *rounds.borrow();
        // A set that was read before the token was made says nothing about its key; the next refresh will.
        let is_told = match (round.read_at, age) {
            (Some(read_at), Some(age)) => now.saturating_duration_since(read_at) < age || read_at >= now,
            (_, None) => true,
            (None, _) => false,
        };
        if round.succeeded && is_told { self.current() } else { Err(KeysError::NotRefreshed) }
    }
}

/// How long ago a token was made at least, by what it says, proven or not, and by clocks that do not agree. Nothing where
/// it does not say so, or names a time that has not come, so that it will be refused in any case.
fn age(token: &UnverifiedJws<'_>, now: Timestamp) -> Option<Duration> {
    let issued_at = issued_at(&token.unproven_payload().ok()?)?;
    (issued_at <= now.plus(CLOCK_SKEW_MAX)).then(|| now.since(issued_at.plus(CLOCK_SKEW_MAX)))
}

/// The task that keeps an issuer's keys fresh.
#[derive(Debug)]
pub struct KeyKeeper {
    shared: Arc<Shared>,
    source: JwksSource,
    interval: Duration,
    retry: Backoff,
    /// Failures in a row.
    failures: u32,
    next_at: Instant,
    /// What the current set was read from.
    seen: Vec<u8>,
    metrics: Metrics,
    health: Voice,
}

impl KeyKeeper {
    /// Both halves for `source`, read anew every `refresh`, a file at least every few seconds. A file is read at once.
    /// `health` is told while there are none.
    pub async fn new(source: JwksSource, refresh: Duration, metrics: Metrics, health: Voice) -> (Self, IssuerKeys) {
        let shared = Arc::new(Shared::default());
        let interval = if source.is_file() { refresh.min(FILE_INTERVAL_MAX) } else { refresh };
        let mut keeper = Self {
            shared: shared.clone(),
            interval,
            retry: Backoff::new(RETRY_FIRST, RETRY_MAX.min(refresh), RETRY_JITTER),
            failures: 0,
            next_at: Instant::now(),
            seen: Vec::new(),
            source,
            metrics,
            health,
        };
        if keeper.source.is_file() {
            keeper.refresh(false).await;
        }
        (keeper, IssuerKeys { shared })
    }

    /// Refreshes until shutdown begins.
    ///
    /// # Errors
    /// None.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), Infallible> {
        loop {
            let shared = self.shared.clone();
            let asked = tokio::select! {
                // Losing a request to refresh with the process about to end loses nothing; losing the sleep neither,
                // since its end is an instant that stays.
                () = shutdown.begun() => return Ok(()),
                () = tokio::time::sleep_until(self.next_at) => false,
                () = shared.asked.notified() => true,
            };
            if asked && shared.rounds.borrow().is_quiet(Instant::now()) {
                continue;
            }
            tokio::select! {
                // A refresh cut short has changed nothing yet.
                () = shutdown.begun() => return Ok(()),
                () = self.refresh(asked) => {}
            }
        }
    }

    async fn refresh(&mut self, asked: bool) {
        let (began, before) = (Instant::now(), *self.shared.rounds.borrow());
        let result = self.obtain().await;
        self.metrics.key_refresh(result.is_ok());
        let succeeded = result.is_ok();
        match result {
            Ok(()) => self.note_success(),
            Err(error) => self.note_failure(&error),
        }
        let asked_at = if asked { Some(began) } else { before.asked_at };
        let read_at = if succeeded { Some(began) } else { before.read_at };
        self.shared.rounds.send_replace(Round { succeeded, asked_at, read_at });
    }

    async fn obtain(&mut self) -> Result<(), FetchError> {
        let bytes = self.source.read().await?;
        if bytes == self.seen {
            return Ok(());
        }
        let keys = JwkSet::from_json(&bytes)?;
        tracing::info!(source = %self.source, keys = keys.len(), "issuer's key set loaded");
        self.shared.current.store(Some(Arc::new(keys)));
        self.seen = bytes;
        Ok(())
    }

    fn note_success(&mut self) {
        if self.failures > 0 {
            tracing::info!(source = %self.source, failures = self.failures, "issuer's key set can be read again");
        }
        self.failures = 0;
        self.next_at = Instant::now() + self.interval;
        self.health.ready();
    }

    fn note_failure(&mut self, error: &FetchError) {
        let error = chain(error);
        if self.failures == 0 {
            tracing::warn!(source = %self.source, %error, "issuer's key set cannot be read, what is known stays in use");
        } else {
            tracing::debug!(source = %self.source, %error, failures = self.failures, "issuer's key set still cannot be read");
        }
        self.next_at = Instant::now() + self.retry.wait(self.failures);
        self.failures = self.failures.saturating_add(1);
        if self.shared.current.load().is_none() {
            self.health.lacking("issuer's keys were never obtained");
        }
    }
}

#[cfg(test)]
mod tests;
