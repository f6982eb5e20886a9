//! The task around the schedule of token keys: looks every few seconds, makes keys, writes down what follows before it
//! takes effect, and hands requests what is in force.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use signet_identity::{JwtKey, KeyError, PrivateKey, Timestamp, TrustDomain, hex};
use signet_runtime::tasks::chain;
use signet_runtime::{Clock, HealthHandle, Shutdown};
use tokio::sync::watch;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::Instant;

use super::journal::{self, JournalError, Keys};
use super::ring::{KeyRing, SigningKey};
use super::schedule::{Due, Policy, Schedule};
use super::store::{Store, StoreError};
use crate::metrics::{JwtMetrics, KeyChange};

/// Time between two looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Most time of the steady clock that one look credits: a process that was stopped published nothing meanwhile.
const CREDIT_MAX: Duration = Duration::from_secs(10);

/// Most changes in one look; the first look at an empty store needs three.
const CHANGES_MAX: usize = 8;

/// Octets of a key's name: too many for two to meet, or for anyone to guess the next.
const KID_OCTETS: usize = 16;

/// Why token keys cannot be kept as they should be.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// What is kept is out of reach.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was kept cannot be used. It is left as it was.
    #[error("`{place}` cannot be used: {source}")]
    Journal {
        /// Where it is.
        place: PathBuf,
        /// Why.
        source: JournalError,
    },
    /// What was kept is gone, or older than what this process knows.
    #[error("`{place}` went back to an earlier state or is empty: restore it, or restart every replica")]
    WentBack {
        /// Where it is.
        place: PathBuf,
    },
    /// No key could be made.
    #[error("token key cannot be made: {0}")]
    Make(#[from] KeyError),
}

/// A look at the keys panicked: a bug in Signet.
#[derive(Debug, thiserror::Error)]
#[error("a look at the token keys panicked")]
pub struct LookPanicked(#[from] JoinError);

pub(crate) struct Keeper {
    store: Box<dyn Store>,
    policy: Policy,
    trust_domain: TrustDomain,
    clock: Clock,
    schedule: Schedule,
    keys: Keys,
    /// Whether `schedule` is this process's to change.
    led: bool,
    looked_at: Instant,
    ring: watch::Sender<Arc<KeyRing>>,
    failures: u32,
    metrics: JwtMetrics,
    health: HealthHandle,
}

impl Keeper {
    /// Opens what `store` keeps, or begins with a new key. What cannot be written now is tried again later, and no token
    /// is minted until then.
    ///
    /// # Errors
    /// [`KeysError::Journal`]: what is kept cannot be used.
    pub(crate) fn open(
        store: Box<dyn Store>,
        policy: Policy,
        trust_domain: TrustDomain,
        clock: Clock,
        metrics: JwtMetrics,
        health: HealthHandle,
    ) -> Result<Self, KeysError> {
        let schedule = Schedule::new(Timestamp::from(clock.now()));
        let (ring, _) = watch::channel(Arc::new(KeyRing::default()));
        let mut keeper = Self {
            store,
            policy,
            trust_domain,
            clock,
            schedule,
            keys: Keys::new(),
            led: false,
            looked_at: Instant::now(),
            ring,
            failures: 0,
            metrics,
            health,
        };
        match keeper.look() {
            Err(error @ KeysError::Journal { .. }) => return Err(error),
            looked => keeper.tell(looked),
        }
        Ok(keeper)
    }

    /// What is in force.
    pub(crate) fn ring(&self) -> watch::Receiver<Arc<KeyRing>> {
        self.ring.subscribe()
    }

    /// Looks until shutdown begins.
    ///
    /// # Errors
    /// [`LookPanicked`].
    pub(crate) async fn run(mut self, shutdown: Shutdown) -> Result<(), LookPanicked> {
        loop {
            tokio::select! {
                // Neither arm holds anything.
                () = shutdown.begun() => return Ok(()),
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
            // A look reads and writes files, and waits for the disk.
            self = spawn_blocking(move || {
                let looked = self.look();
                self.tell(looked);
                self
            })
            .await?;
        }
    }

    fn look(&mut self) -> Result<(), KeysError> {
        let passed = self.looked_at.elapsed().min(CREDIT_MAX);
        self.looked_at = Instant::now();
        if !self.store.leads()? {
            self.led = false;
            return self.take_over_what_is_kept().map(|_| ());
        }
        if self.store.has_changed() || !self.led {
            // Until it was read, nothing is written over it.
            self.led = false;
            self.take_over_what_is_kept()?;
            self.led = true;
        }
        self.schedule.credit(passed);
        let now = Timestamp::from(self.clock.now());
        for _ in 0..CHANGES_MAX {
            match self.schedule.due(&self.policy, now) {
                Some(due) => self.carry_out(&due, now)?,
                None => break,
            }
        }
        Ok(())
    }

    /// Puts into force what the store keeps, if it keeps anything.
    fn take_over_what_is_kept(&mut self) -> Result<(), KeysError> {
        let place = || self.store.place();
        let is_known = !self.schedule.entries().is_empty();
        let Some(text) = self.store.load()? else {
            return if is_known { Err(KeysError::WentBack { place: place() }) } else { Ok(()) };
        };
        let unusable = |source| KeysError::Journal { place: place(), source };
        let (schedule, keys) = journal::read(&text, &self.trust_domain).map_err(unusable)?;
        if is_known && schedule.version() < self.schedule.version() {
            return Err(KeysError::WentBack { place: place() });
        }
        (self.schedule, self.keys) = (schedule, keys);
        self.give_out()
    }

    /// Writes down what `due` leads to; only then it is so.
    fn carry_out(&mut self, due: &Due, now: Timestamp) -> Result<(), KeysError> {
        let mut next = self.schedule.clone();
        match due {
            Due::Publish => {
                let kid = self.new_kid()?;
                self.keys.insert(kid.clone(), PrivateKey::generate_p256()?);
                next.publish(kid, now);
            }
            Due::Activate => next.activate(&self.policy, now),
            Due::Extend => next.extend(&self.policy, now),
            Due::Drop { kid } => next.drop(kid),
            Due::Remember => {}
        }
        next.saved();
        let saved = self.store.save(&journal::write(&next, &self.keys, &self.trust_domain));
        if saved.is_ok() {
            self.schedule = next;
        }
        // Either the new key was not kept, or the old one is not needed any more.
        self.keys.retain(|kid, _| self.schedule.entries().iter().any(|entry| entry.kid == *kid));
        saved?;
        self.note(due);
        self.give_out()
    }

    fn new_kid(&self) -> Result<String, KeyError> {
        let mut octets = [0u8; KID_OCTETS];
        SystemRandom::new().fill(&mut octets).map_err(|_| KeyError::Randomness)?;
        Ok(hex(&octets))
    }

    fn give_out(&self) -> Result<(), KeysError> {
        let entries = self.schedule.entries();
        let published = entries.iter().filter_map(|entry| {
            let key = self.keys.get(&entry.kid)?.public().clone();
            Some(JwtKey { kid: entry.kid.clone(), key })
        });
        let active = self.schedule.active().and_then(|entry| Some((entry, self.keys.get(&entry.kid)?)));
        let signing = match active {
            Some((entry, key)) => {
                Some(SigningKey { kid: entry.kid.clone(), signer: key.signer()?, horizon: entry.horizon })
            }
            None => None,
        };
        let ring = KeyRing { signing, published: published.collect(), version: self.schedule.version() };
        self.ring.send_replace(Arc::new(ring));
        self.metrics.show_keys(entries);
        Ok(())
    }

    fn note(&self, due: &Due) {
        let active = self.schedule.active().map(|entry| entry.kid.as_str());
        match due {
            Due::Publish => {
                self.metrics.key_changed(KeyChange::Published);
                let kid = self.schedule.entries().last().map(|entry| entry.kid.as_str());
                tracing::info!(kid, "token key published");
            }
            Due::Activate => {
                self.metrics.key_changed(KeyChange::Activated);
                tracing::info!(kid = active, "token key signs from now on");
            }
            Due::Drop { kid } => {
                self.metrics.key_changed(KeyChange::Dropped);
                tracing::info!(kid, "token key dropped, its last token has ended");
            }
            Due::Extend | Due::Remember => {}
        }
    }

    /// Loud at first, soft later, and once when it is over.
    fn tell(&mut self, looked: Result<(), KeysError>) {
        match looked {
            Err(error) => {
                let error = chain(&error);
                self.metrics.key_failed();
                if self.failures == 0 {
                    tracing::error!(error, "token keys cannot be kept as they should be, what is in force stays");
                } else {
                    tracing::debug!(error, failures = self.failures, "token keys still cannot be kept");
                }
                self.failures = self.failures.saturating_add(1);
                self.health.degraded(format!("token keys cannot be kept: {error}"));
            }
            Ok(()) => {
                if self.failures > 0 {
                    tracing::info!(failures = self.failures, "token keys are kept again");
                }
                self.failures = 0;
                self.tell_health();
            }
        }
    }

    fn tell_health(&self) {
        if !self.policy.mints {
            self.health.ready();
        } else if self.schedule.active().is_none() {
            self.health.degraded("there is no token key yet, another process makes it");
        } else if self.led && self.schedule.is_overdue(&self.policy) {
            self.health.degraded("the token key is in use for longer than it should be");
        } else {
            self.health.ready();
        }
    }
}

#[cfg(test)]
mod tests;
