//! JWT-SVIDs: tokens that name a workload, for those who cannot be met with a certificate.
//!
//! `schedule` decides when keys come and go and `mint` what a token says; both are pure. `keeper` is the task around the
//! first, `service` the wire around the second. Who may have which identity is decided where it is for certificates.

mod journal;
mod keeper;
mod mint;
mod oidc;
mod ring;
mod schedule;
mod service;
mod store;

pub use journal::JournalError;
pub use keeper::{KeysError, LookPanicked};
pub use mint::{AUDIENCE_MAX_BYTES, AUDIENCES_MAX, AudienceError, MintError, TokenProfile};
pub use schedule::Inconsistent;
pub use store::StoreError;

pub(crate) use ring::KeyRing;
pub(crate) use schedule::{Entry, Phase};

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::ResolvesServerCert;
use signet_identity::TrustDomain;
use signet_proto::signet_ca::identity_server::IdentityServer;
use signet_runtime::{Clock, Health, Shutdown};
use tokio::sync::watch;

use crate::config::JwtConfig;
use crate::issue::Issuer;
use crate::metrics::{JwtMetrics, Metrics, WebEndpoint};
use crate::shared::SharedObject;
use crate::web::{Endpoint, EndpointError, WebError};
use keeper::Keeper;
use mint::Minter;
use schedule::Policy;
use service::IdentityService;
use store::{SharedStore, StateDir, Store};

/// A new key is published for this many refresh intervals of its readers before it signs.
pub const LEAD_REFRESHES: u32 = 5;

/// How long a key is published before it signs, where readers look for changes every `refresh_hint`.
pub(crate) fn lead(refresh_hint: Duration) -> Duration {
    refresh_hint.saturating_mul(LEAD_REFRESHES)
}

/// Why tokens cannot be minted.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// Their keys.
    #[error("token keys cannot be used")]
    Keys(#[from] KeysError),
    /// A bug in Signet.
    #[error(transparent)]
    Panicked(#[from] LookPanicked),
    /// Where the keys are published.
    #[error("token keys cannot be published")]
    Endpoint(#[from] EndpointError),
}

/// A part of it ended.
#[derive(Debug, thiserror::Error)]
pub enum TokensEnded {
    /// The keeper of keys.
    #[error(transparent)]
    Keys(#[from] LookPanicked),
    /// The endpoint.
    #[error(transparent)]
    Endpoint(#[from] WebError),
}

/// Keys and rules, ready to mint, and where the keys are published.
pub(crate) struct Tokens {
    mints: bool,
    keeper: Keeper,
    trust_domain: TrustDomain,
    profile: TokenProfile,
    metrics: JwtMetrics,
    oidc: Option<Endpoint>,
}

impl Tokens {
    /// Opens the keys that `config` names, or begins with new ones. `own` is presented where keys are published and no
    /// other certificate is named.
    ///
    /// # Errors
    /// [`TokensError`].
    pub(crate) async fn open(
        config: JwtConfig,
        trust_domain: TrustDomain,
        shared: Option<Arc<dyn SharedObject>>,
        own: Arc<dyn ResolvesServerCert>,
        clock: Clock,
        metrics: &Metrics,
        health: &Health,
    ) -> Result<Self, TokensError> {
        let JwtConfig { mints, profile, key_ttl, refresh_hint, state_dir, away, oidc, .. } = config;
        let policy = Policy { mints, key_ttl, lead: lead(refresh_hint), token_ttl_max: profile.max_ttl, away };
        let (part, told) = (health.part("token keys"), metrics.jwt());
        let (keeps, times) = (trust_domain.clone(), clock.clone());
        let open = move || {
            let store: Box<dyn Store> = match shared {
                Some(shared) => Box::new(SharedStore::new(shared)),
                None => Box::new(StateDir::new(&state_dir)),
            };
            Keeper::open(store, policy, keeps, times, told, part)
        };
        let keeper = tokio::task::spawn_blocking(open).await.map_err(LookPanicked::from)??;
        let oidc = match (oidc, &profile.issuer) {
            (Some(oidc), Some(issuer)) => {
                let (site, part) = (oidc::site(issuer, keeper.ring(), refresh_hint), health.part("oidc"));
                Some(Endpoint::open(WebEndpoint::Oidc, oidc, own, site, clock, metrics.web(), part).await?)
            }
            _ => None,
        };
        Ok(Self { mints, keeper, trust_domain, profile, metrics: metrics.jwt(), oidc })
    }

    /// The keys in force.
    pub(crate) fn keys(&self) -> watch::Receiver<Arc<KeyRing>> {
        self.keeper.ring()
    }

    /// Where keys are published.
    pub(crate) fn oidc_address(&self) -> Option<SocketAddr> {
        self.oidc.as_ref().map(Endpoint::address)
    }

    /// The service that mints for whom `issuer` would issue, where tokens are minted.
    pub(crate) fn service(&self, issuer: Arc<Issuer>) -> Option<IdentityServer<IdentityService>> {
        if !self.mints {
            return None;
        }
        let (trust_domain, profile) = (self.trust_domain.clone(), self.profile.clone());
        let minter = Minter { issuer, trust_domain, profile, keys: self.keys() };
        Some(IdentityServer::new(IdentityService::new(minter, self.metrics.clone())))
    }

    /// Keeps and publishes the keys until shutdown begins.
    ///
    /// # Errors
    /// [`TokensEnded`].
    pub(crate) async fn run(self, shutdown: Shutdown) -> Result<(), TokensEnded> {
        let published = async {
            match self.oidc {
                Some(oidc) => Ok(oidc.run(shutdown.clone()).await?),
                None => Ok(()),
            }
        };
        let kept = async { Ok(self.keeper.run(shutdown.clone()).await?) };
        tokio::try_join!(kept, published).map(|_| ())
    }
}
