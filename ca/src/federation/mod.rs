//! Federation: what this trust domain publishes for others, and what others publish for it.
//!
//! Bundles of two domains are never merged: a domain's roots vouch for that domain alone. `relation` judges what comes
//! from a peer and `publish` numbers what goes out; both are pure. `fetch` and `peers` do the asking, `store` keeps the
//! last good bundle of each peer.

mod fetch;
mod peers;
mod publish;
mod relation;
mod store;

pub use fetch::{FetchError, Profile};
pub use peers::PeerConfig;
pub use relation::Rejection;
pub use store::StoreError;

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::server::ResolvesServerCert;
use signet_identity::TrustDomain;
use signet_runtime::{Clock, Health, Shutdown};
use tokio::sync::watch;

use crate::authority::Authority;
use crate::config::FederationConfig;
use crate::jwt::KeyRing;
use crate::metrics::{Metrics, WebEndpoint};
use crate::serving::{ServingError, ServingKeeper};
use crate::web::{Endpoint, EndpointError, WebError};
use peers::Peers;
use publish::Publisher;

/// Why federation cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum FederationError {
    /// Where the own bundle is published.
    #[error("own bundle cannot be published")]
    Endpoint(#[from] EndpointError),
    /// The SVID that is presented there.
    #[error("SVID of the bundle endpoint cannot be issued")]
    Svid(#[from] ServingError),
    /// What is kept of a peer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What federation needs of the rest of the process.
pub(crate) struct Surroundings<'a> {
    pub(crate) trust_domain: TrustDomain,
    pub(crate) clock: Clock,
    pub(crate) authority: watch::Receiver<Arc<Authority>>,
    /// Whether other replicas have the same one.
    pub(crate) is_shared: bool,
    /// Keys of tokens, where they are minted.
    pub(crate) token_keys: Option<watch::Receiver<Arc<KeyRing>>>,
    /// Presented where the own bundle is published and no other certificate is named.
    pub(crate) own: Arc<dyn ResolvesServerCert>,
    pub(crate) metrics: &'a Metrics,
    pub(crate) health: &'a Health,
}

/// Both directions, ready to run.
pub(crate) struct Federation {
    endpoint: Option<Endpoint>,
    /// Keeps the SVID that the endpoint presents, where it presents one.
    svid: Option<ServingKeeper>,
    peers: Peers,
}

impl Federation {
    /// Binds the endpoint and reads what is kept of peers.
    ///
    /// # Errors
    /// [`FederationError`].
    pub(crate) async fn open(config: FederationConfig, around: Surroundings<'_>) -> Result<Self, FederationError> {
        let FederationConfig { endpoint, refresh_hint, state_dir, roots_file, peers } = config;
        let Surroundings { trust_domain, clock, authority, is_shared, token_keys, own, metrics, health } = around;
        let peers = Peers::open(peers, &state_dir, &roots_file, &clock, metrics, health)?;
        let Some(endpoint) = endpoint else { return Ok(Self { endpoint: None, svid: None, peers }) };
        let svid = match endpoint.svid {
            Some((names, ttl)) => Some(ServingKeeper::new(names, ttl, authority.clone(), clock.clone()).await?),
            None => None,
        };
        let own: Arc<dyn ResolvesServerCert> = match &svid {
            Some(svid) => svid.certificate(),
            None => own,
        };
        let numbers = (!is_shared).then_some(state_dir.as_path());
        let publisher = Publisher::new(trust_domain, authority, token_keys, refresh_hint, numbers, clock.clone());
        let (metrics, part) = (metrics.web(), health.part("bundle endpoint"));
        let site = publisher.site();
        let endpoint = Endpoint::open(WebEndpoint::Bundle, endpoint.web, own, site, clock, metrics, part).await?;
        Ok(Self { endpoint: Some(endpoint), svid, peers })
    }

    /// Where the own bundle is published.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.endpoint.as_ref().map(Endpoint::address)
    }

    /// Publishes and asks until shutdown begins.
    ///
    /// # Errors
    /// [`WebError`].
    pub(crate) async fn run(self, shutdown: Shutdown) -> Result<(), WebError> {
        let published = async {
            match self.endpoint {
                Some(endpoint) => endpoint.run(shutdown.clone()).await,
                None => Ok(()),
            }
        };
        let renewed = async {
            if let Some(svid) = self.svid {
                // It has no way to fail.
                let Ok(()) = svid.run(shutdown.clone()).await;
            }
        };
        // Where nothing is published and nobody is asked, there is nothing to do until then.
        let idle = async { shutdown.begun().await };
        let (published, (), (), ()) = tokio::join!(published, renewed, self.peers.run(&shutdown), idle);
        published
    }
}
