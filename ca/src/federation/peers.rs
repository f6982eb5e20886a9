//! The peers: one loop each, so that a slow or broken one stops no other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Uri;
use signet_identity::{SpiffeBundle, Timestamp, TrustDomain};
use signet_runtime::tasks::chain;
use signet_runtime::{Backoff, Clock, Health, HealthHandle, Shutdown, files};
use tokio::task::JoinSet;

use super::fetch::{self, FetchError, Profile, Trust};
use super::relation::{self, INTERVAL_MAX, News, Rejection};
use super::store::{self, StoreError};
use crate::metrics::{FederationMetrics, FetchOutcome, Metrics};

/// First wait of a peer that nothing was ever heard of. Any other waits for its interval, failed or not.
const FIRST_RETRY: Duration = Duration::from_secs(2);

/// Share of each wait that is random, so that many authorities do not ask at once.
const JITTER: f64 = 0.1;

/// A trust domain whose bundle is wanted. Nothing here is guessed from anything else.
#[derive(Debug, Clone)]
pub struct PeerConfig {
    /// Whose.
    pub trust_domain: TrustDomain,
    /// Where it is published: https, a host, no user.
    pub url: Uri,
    /// How the endpoint proves itself.
    pub profile: Profile,
    /// The bundle to begin with.
    pub bundle_file: Option<PathBuf>,
}

/// Why a question came to nothing.
#[derive(Debug, thiserror::Error)]
enum PollError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("bundle was refused")]
    Rejected(#[from] Rejection),
}

/// All peers.
pub(super) struct Peers {
    peers: Vec<Peer>,
}

struct Peer {
    config: PeerConfig,
    path: PathBuf,
    roots_file: PathBuf,
    held: Option<SpiffeBundle>,
    /// When the peer last confirmed what is held.
    confirmed_at: Option<Timestamp>,
    /// Whether the file holds it.
    is_kept: bool,
    failures: u32,
    is_stale: bool,
    retry: Backoff,
    clock: Clock,
    metrics: FederationMetrics,
    remarks: Remarks,
}

impl Peers {
    pub(super) fn open(
        peers: Vec<PeerConfig>,
        state_dir: &Path,
        roots_file: &Path,
        clock: &Clock,
        metrics: &Metrics,
        health: &Health,
    ) -> Result<Self, StoreError> {
        if peers.is_empty() {
            return Ok(Self { peers: Vec::new() });
        }
        let remarks = Remarks::new(health.part("federation"));
        let open = |config: PeerConfig| {
            let path = store::path(state_dir, &config.trust_domain);
            let (held, confirmed_at) = match store::load(&path, &config.trust_domain)? {
                Some((bundle, at)) => (Some(bundle), Some(at)),
                None => {
                    let given = config.bundle_file.as_deref().map(|file| store::given(file, &config.trust_domain));
                    (given.transpose()?, None)
                }
            };
            let peer = Peer {
                path,
                roots_file: roots_file.to_owned(),
                held,
                is_kept: confirmed_at.is_some(),
                confirmed_at,
                failures: 0,
                is_stale: false,
                retry: Backoff::new(FIRST_RETRY, INTERVAL_MAX, JITTER),
                clock: clock.clone(),
                metrics: metrics.federation(),
                remarks: remarks.clone(),
                config,
            };
            peer.show();
            Ok(peer)
        };
        Ok(Self { peers: peers.into_iter().map(open).collect::<Result<_, StoreError>>()? })
    }

    /// Asks all of them, again and again, until shutdown begins.
    pub(super) async fn run(self, shutdown: &Shutdown) {
        let mut loops = JoinSet::new();
        for peer in self.peers {
            loops.spawn(peer.run(shutdown.clone()));
        }
        loops.join_all().await;
    }
}

impl Peer {
    async fn run(mut self, shutdown: Shutdown) {
        loop {
            let polled = tokio::select! {
                // A question that is cut short has changed nothing.
                () = shutdown.begun() => return,
                polled = self.poll() => polled,
            };
            self.note(polled);
            tokio::select! {
                // Neither arm holds anything.
                () = shutdown.begun() => return,
                () = tokio::time::sleep(self.wait()) => {}
            }
        }
    }

    async fn poll(&self) -> Result<(SpiffeBundle, News), PollError> {
        let trust = match &self.config.profile {
            Profile::Web => Trust::Web { roots_file: &self.roots_file },
            Profile::Spiffe { endpoint_id } => {
                Trust::Spiffe { endpoint_id, bundle: self.held.as_ref().and_then(SpiffeBundle::trust_bundle) }
            }
        };
        let now = Timestamp::from(self.clock.now());
        let offered = fetch::fetch(&self.config.url, trust, &self.config.trust_domain, now).await?;
        let news = self.judge(&offered)?;
        Ok((offered, news))
    }

    fn judge(&self, offered: &SpiffeBundle) -> Result<News, Rejection> {
        // Who removes the file wants what the peer has now, whatever was held before.
        let is_forced = self.is_kept && files::is_absent(&self.path);
        relation::judge(self.held.as_ref().filter(|_| !is_forced), offered)
    }

    fn wait(&mut self) -> Duration {
        let interval = relation::interval(self.held.as_ref());
        match self.confirmed_at {
            None => self.retry.wait(self.failures.saturating_sub(1)).min(interval),
            Some(_) => Backoff::new(interval, interval, JITTER).wait(0),
        }
    }

    fn note(&mut self, polled: Result<(SpiffeBundle, News), PollError>) {
        match polled {
            Ok((bundle, news)) => self.take(bundle, news),
            Err(error) => self.complain(&error),
        }
        let now = Timestamp::from(self.clock.now());
        self.tell_staleness(relation::is_stale(self.held.as_ref(), self.confirmed_at, now));
        self.show();
    }

    fn take(&mut self, bundle: SpiffeBundle, news: News) {
        let now = Timestamp::from(self.clock.now());
        let domain = &self.config.trust_domain;
        self.metrics.fetched(domain, FetchOutcome::Ok);
        if self.failures > 0 {
            tracing::info!(trust_domain = %domain, failures = self.failures, "peer's bundle can be read again");
        }
        self.failures = 0;
        let (roots, token_keys, sequence) = (bundle.roots().len(), bundle.jwt_keys().len(), bundle.sequence());
        match news {
            News::Nothing => {}
            News::Changed => {
                tracing::info!(trust_domain = %domain, roots, token_keys, sequence, "peer's bundle has changed");
            }
            News::ChangedUnderSameSequence => {
                tracing::warn!(trust_domain = %domain, roots, token_keys, sequence, "peer's bundle has changed without a new sequence");
            }
        }
        let kept = store::save(&self.path, &bundle, now);
        self.is_kept = kept.is_ok();
        if let Err(error) = kept {
            tracing::error!(trust_domain = %domain, error = chain(&error), "peer's bundle cannot be kept");
        }
        self.held = Some(bundle);
        self.confirmed_at = Some(now);
    }

    /// Loud at first, soft later. A number that goes back is loud each time: it does not happen by itself.
    fn complain(&mut self, error: &PollError) {
        let (domain, text) = (&self.config.trust_domain, chain(error));
        match error {
            PollError::Rejected(_) => {
                self.metrics.fetched(domain, FetchOutcome::Rejected);
                tracing::error!(trust_domain = %domain, error = text, path = %self.path.display(), "peer's bundle went back, the one held stays; remove the file to accept it");
            }
            PollError::Fetch(_) => {
                self.metrics.fetched(domain, FetchOutcome::Failed);
                if self.failures == 0 {
                    tracing::warn!(trust_domain = %domain, error = text, "peer's bundle cannot be read, the one held stays");
                } else {
                    tracing::debug!(trust_domain = %domain, error = text, failures = self.failures, "peer's bundle still cannot be read");
                }
            }
        }
        self.failures = self.failures.saturating_add(1);
    }

    fn tell_staleness(&mut self, is_stale: bool) {
        let domain = &self.config.trust_domain;
        if is_stale && !self.is_stale {
            tracing::error!(trust_domain = %domain, confirmed_at = self.confirmed_at.map(tracing::field::display), "peer's bundle is stale");
        } else if !is_stale && self.is_stale {
            tracing::info!(trust_domain = %domain, "peer's bundle is fresh again");
        }
        self.is_stale = is_stale;
        let remark = is_stale.then(|| match self.confirmed_at {
            Some(at) => format!("bundle of {domain} was last confirmed at {at}"),
            None => format!("bundle of {domain} was never read"),
        });
        self.remarks.set(domain, remark);
    }

    fn show(&self) {
        let (roots, keys) = self.held.as_ref().map_or((0, 0), |held| (held.roots().len(), held.jwt_keys().len()));
        self.metrics.show(&self.config.trust_domain, roots, keys, self.confirmed_at, self.is_stale);
    }
}

/// What is wrong with which peer, told by readiness together.
#[derive(Clone)]
struct Remarks {
    told: Arc<Mutex<BTreeMap<TrustDomain, String>>>,
    health: HealthHandle,
}

impl Remarks {
    fn new(health: HealthHandle) -> Self {
        health.ready();
        Self { told: Arc::default(), health }
    }

    fn set(&self, trust_domain: &TrustDomain, remark: Option<String>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match remark {
            Some(remark) => drop(told.insert(trust_domain.clone(), remark)),
            None => drop(told.remove(trust_domain)),
        }
        if told.is_empty() {
            self.health.ready();
        } else {
            let all: Vec<&str> = told.values().map(String::as_str).collect();
            self.health.degraded(all.join("; "));
        }
    }
}

#[cfg(test)]
mod tests;
