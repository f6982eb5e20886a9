//! The task around rotation: looks every few seconds, and hands requests what is in force.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use signet_identity::{Timestamp, TrustDomain};
use signet_runtime::tasks::chain;
use signet_runtime::{Clock, Health, HealthHandle, Shutdown};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinError, spawn_blocking};

use super::conductor::Conductor;
use super::plugged_in::{Directory, Keys};
use super::rotation::{Policy, Watching};
use super::secret_store::{self, SecretStore};
use super::self_signed::OwnRoots;
use super::state_dir::StateDir;
use super::store::{Memory, Store};
use super::verbs::{Asked, AuthorityVerbs};
use super::{Authority, AuthorityError, Overview};
use crate::config::{AuthorityConfig, AuthoritySource};
use crate::metrics::AuthorityMetrics;
use crate::shared::SharedObject;
use crate::token::{TokenKeys, TokenWatch};
use crate::trust_bundle::Acknowledgements;

/// Time between two looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Most wishes that wait for the look before them.
const ASKED_MAX: usize = 8;

/// Why the keeper ended.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// A bug in Signet.
    #[error("a look at the authority panicked")]
    Panicked(#[from] JoinError),
}

/// Keeps the authority: rotates it, and gives its snapshots out.
pub struct Keeper {
    conductor: Conductor,
    clock: Clock,
    acknowledgements: Acknowledgements,
    health: HealthHandle,
    authority: watch::Sender<Arc<Authority>>,
    overview: watch::Sender<Arc<Overview>>,
    metrics: AuthorityMetrics,
    /// Operators' wishes, and where they come in.
    asked: mpsc::Receiver<Asked>,
    ear: mpsc::Sender<Asked>,
    /// Rung when something was heard of what is shared.
    bell: Arc<Notify>,
    /// The latest bundle that was seen in each place where bundles are published.
    published: Vec<(&'static str, watch::Receiver<u64>)>,
    looked_at: Timestamp,
    /// The same by the steady clock.
    looked_steady: Duration,
    /// What was last complained about, so that it is logged once.
    complaint: Option<String>,
}

impl Keeper {
    /// Opens the authority that `config` names, or makes it: in `shared` where the settings name a Secret. Reads and
    /// writes files, and waits for answers.
    ///
    /// # Errors
    /// Every variant of [`AuthorityError`].
    pub(crate) fn open(
        config: &AuthorityConfig,
        policy: Policy,
        trust_domain: &TrustDomain,
        clock: Clock,
        health: HealthHandle,
        shared: Option<Arc<dyn SharedObject>>,
    ) -> Result<Self, AuthorityError> {
        let (now, looked_steady) = (Timestamp::from(clock.now()), clock.steady());
        let bell = shared.as_ref().map_or_else(Arc::default, |shared| shared.bell());
        let tokens = config.pkcs11.as_ref().and_then(|token| TokenKeys::open(token, clock.clone()));
        let mut conductor = conductor(config, policy, trust_domain, shared, now);
        conductor.tokens = tokens;
        let authority = conductor.start(now)?;
        tracing::info!(
            generation = authority.generation(),
            serial = %authority.certificate().serial(),
            key = %authority.certificate().public_key().algorithm(),
            roots = authority.roots().roots().len(),
            not_after = %authority.certificate().lifetime().not_after(),
            "authority loaded"
        );
        let (authority, _) = watch::channel(authority);
        let (ear, asked) = mpsc::channel(ASKED_MAX);
        let acknowledgements = Acknowledgements::default();
        let (overview, _) = watch::channel(Arc::new(conductor.overview(now, &acknowledgements.watching())));
        let mut keeper = Self {
            conductor,
            clock,
            acknowledgements,
            health,
            authority,
            overview,
            metrics: AuthorityMetrics::default(),
            asked,
            ear,
            bell,
            published: Vec::new(),
            looked_at: now,
            looked_steady,
            complaint: None,
        };
        keeper.tell(now);
        Ok(keeper)
    }

    /// What is in force.
    pub fn authority(&self) -> watch::Receiver<Arc<Authority>> {
        self.authority.subscribe()
    }

    /// What an operator sees of it.
    pub(crate) fn overview(&self) -> watch::Receiver<Arc<Overview>> {
        self.overview.subscribe()
    }

    /// Who has which bundle.
    pub fn acknowledgements(&self) -> &Acknowledgements {
        &self.acknowledgements
    }

    /// Lets no root count as acknowledged before it was published: `published` tells of each place the latest bundle that
    /// was seen there.
    pub(crate) fn wait_for(&mut self, published: Vec<(&'static str, watch::Receiver<u64>)>) {
        self.published = published;
    }

    fn watching(&self) -> Watching {
        let add = |watching: Watching, (place, bundle): &(&'static str, watch::Receiver<u64>)| {
            watching.published(place, *bundle.borrow())
        };
        self.published.iter().fold(self.acknowledgements.watching(), add)
    }

    /// Shows in `registry` what there is to measure.
    pub fn register(&self, registry: &mut Registry) {
        let (overview, authority) = (self.overview.subscribe(), self.authority.subscribe());
        self.metrics.register(registry, overview, authority, self.acknowledgements.clone());
        if let Some(tokens) = &self.conductor.tokens {
            tokens.register(registry);
        }
    }

    /// What tells `health` whether a key in a token can be used, where there is one.
    pub(crate) fn token_watch(&self, health: &Health) -> Option<TokenWatch> {
        let tokens = self.conductor.tokens.as_ref()?;
        tokens.watch(self.authority(), health)
    }

    /// Where operators ask.
    pub(crate) fn verbs(&self) -> AuthorityVerbs {
        AuthorityVerbs { keeper: self.ear.clone() }
    }

    /// Looks until shutdown begins.
    ///
    /// # Errors
    /// [`KeeperError::Panicked`].
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), KeeperError> {
        loop {
            let asked = tokio::select! {
                // A wish that was taken is in the result; the other arms hold nothing, and each look sees everything.
                () = shutdown.begun() => return Ok(()),
                () = tokio::time::sleep(LOOK_INTERVAL) => None,
                () = self.bell.notified() => None,
                asked = self.asked.recv() => asked,
            };
            // A look reads and writes files, and waits for the disk.
            self = spawn_blocking(move || {
                self.look();
                if let Some(asked) = asked {
                    self.answer(asked);
                }
                self
            })
            .await?;
        }
    }

    fn look(&mut self) {
        let (now, steady) = (Timestamp::from(self.clock.now()), self.clock.steady());
        let served = steady.saturating_sub(self.looked_steady);
        (self.looked_at, self.looked_steady) = (now, steady);
        let looked = self.conductor.look(now, served, self.watching());
        self.complain(looked.err().map(|error| chain(&error)));
        self.tell(now);
    }

    fn answer(&mut self, asked: Asked) {
        let now = self.looked_at;
        let done = match asked.wish {
            Some(wish) => self.conductor.wish(wish, now, self.watching()),
            None => Ok(()),
        };
        if let (Some(wish), Err(error)) = (asked.wish, &done) {
            tracing::warn!(?wish, error = chain(error), "operator's wish was not done");
        }
        let overview = self.tell(now);
        // Whoever asked may have gone.
        let _ = asked.reply.send(done.map(|()| overview));
    }

    /// Tells everyone what is in force now.
    fn tell(&mut self, now: Timestamp) -> Arc<Overview> {
        self.give_out();
        self.tell_health(now);
        self.conductor.take_reloads().into_iter().for_each(|reload| self.metrics.reloaded(reload));
        let overview = Arc::new(self.conductor.overview(now, &self.watching()));
        self.overview.send_replace(overview.clone());
        overview
    }

    fn give_out(&self) {
        let Some(authority) = self.conductor.authority() else { return };
        self.authority.send_if_modified(|current| {
            let is_new = !Arc::ptr_eq(current, authority);
            if is_new {
                *current = authority.clone();
            }
            is_new
        });
    }

    fn complain(&mut self, complaint: Option<String>) {
        if let Some(error) = complaint.as_ref().filter(|_| complaint != self.complaint) {
            tracing::error!(error, "authority cannot be kept as it should be, what is in force stays");
        }
        self.complaint = complaint;
    }

    fn tell_health(&self, now: Timestamp) {
        match self.complaint.clone().or_else(|| self.conductor.remark(now)) {
            Some(remark) => self.health.degraded(remark),
            None => self.health.ready(),
        }
    }
}

/// The store and the sources that `config` names.
fn conductor(
    config: &AuthorityConfig,
    policy: Policy,
    trust_domain: &TrustDomain,
    shared: Option<Arc<dyn SharedObject>>,
    now: Timestamp,
) -> Conductor {
    let own_roots = OwnRoots { key: config.root_key, ttl: config.root_ttl };
    let (own_roots, dir) = match &config.source {
        AuthoritySource::SelfSigned { .. } => (Some(own_roots), None),
        AuthoritySource::PluggedIn { dir, .. } => (None, Some(dir)),
        AuthoritySource::PluggedInIfThere { dir, .. } => (Some(own_roots), Some(dir)),
    };
    let store: Box<dyn Store> = match (shared, config.source.state_dir()) {
        (Some(shared), _) => Box::new(SecretStore::new(shared, trust_domain.clone(), now, secret_store::PATIENCE)),
        (None, Some(state_dir)) => Box::new(StateDir::new(state_dir, trust_domain.clone())),
        (None, None) => {
            tracing::warn!(
                "`authority.state_dir` is `none`: a change of roots that is under way will not survive a restart"
            );
            Box::new(Memory::numbered_from(u64::try_from(now.unix_secs()).unwrap_or(0)))
        }
    };
    let keys = if config.pkcs11.is_some() { Keys::InToken } else { Keys::Beside };
    let directory = dir.map(|dir| Directory::new(dir, keys).where_generated(config.uses_cacerts));
    Conductor::new(store, trust_domain.clone(), policy, own_roots, directory)
}
