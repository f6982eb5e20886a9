//! Who may call: every configured cluster put together with the keys of its issuer and with what watches it.

use std::collections::HashMap;
use std::sync::Arc;

use signet_runtime::Health;
use tokio::sync::watch;

use crate::authenticate::{
    Authenticator, Cluster, ClusterMeans, Clusters, Granted, JwksSource, KeyKeeper, MeasuredReviews, MissingMeans,
    NameTaken, OidcIssuer, Renewal, TokenMode, TokenReviews,
};
use crate::authority::Authority;
use crate::config::{CallersConfig, ClusterConfig};
use crate::kubernetes::{ClusterView, IssuerDocuments, Knowledge, LiveObjects};
use crate::metrics::Metrics;
use crate::voice::{Crowd, Voice};

/// What the connection to one cluster's API server offers.
#[derive(Debug, Clone, Default)]
pub struct ClusterLink {
    /// Its live objects, as a watch brings them.
    pub view: Option<ClusterView>,
    /// Its live objects, one at a time.
    pub live: Option<Arc<dyn LiveObjects>>,
    /// Its reviews of tokens.
    pub reviews: Option<Arc<dyn TokenReviews>>,
    /// In which trust domain its identities are granted, if that is not for ever its own.
    pub granted: Option<Granted>,
    /// What it publishes about its tokens.
    pub documents: Option<IssuerDocuments>,
}

/// Connections by the clusters' own names.
pub type ClusterLinks = HashMap<String, ClusterLink>;

/// Why callers could not be identified as configured.
#[derive(Debug, thiserror::Error)]
pub enum CallersError {
    /// Two clusters have one name.
    #[error(transparent)]
    Name(#[from] NameTaken),
    /// A cluster's tokens cannot be proved in its mode.
    #[error(transparent)]
    Means(#[from] MissingMeans),
}

/// What identifies callers, and the tasks that keep it able to.
#[derive(Debug)]
pub struct Callers {
    /// Identifies.
    pub authenticator: Authenticator,
    /// The clusters that it knows.
    pub clusters: Arc<Clusters>,
    /// Each to be run until shutdown.
    pub keepers: Vec<KeyKeeper>,
}

impl Callers {
    /// Puts together what `config` asks for, with the connections in `links`; certificates are judged by the
    /// roots of `authority`. Files with keys are read at once.
    ///
    /// # Errors
    /// Every variant of [`CallersError`].
    pub async fn new(
        config: CallersConfig,
        mut links: ClusterLinks,
        authority: watch::Receiver<Arc<Authority>>,
        metrics: &Metrics,
        health: &Health,
    ) -> Result<Self, CallersError> {
        let mut keepers = Vec::new();
        // Without the keys of its own cluster a server is of no use; one that lacks another's still is.
        let own = Healths {
            keys: config.primary.keys.is_some().then(|| Voice::Own(health.part("issuer keys"))),
            reviews: (config.primary.rules.mode == TokenMode::Review).then(|| Voice::Own(health.part("token reviews"))),
        };
        let primary = cluster(config.primary, &mut links, metrics, own, &mut keepers).await?;
        let (keys, reviews) =
            (Crowd::new(health.part("other issuers' keys")), Crowd::new(health.part("other clusters' token reviews")));
        let mut others = Vec::with_capacity(config.others.len());
        for other in config.others {
            let name = || other.rules.id.clone();
            let reviews = (other.rules.mode == TokenMode::Review).then(|| reviews.of(name()));
            let healths = Healths { keys: Some(keys.of(name())), reviews };
            others.push(cluster(other, &mut links, metrics, healths, &mut keepers).await?);
        }
        let mut oidc = Vec::with_capacity(config.oidc.len());
        for issuer in config.oidc {
            let voice = keys.of(issuer.told_by);
            let (keeper, keys) = KeyKeeper::new(issuer.keys, issuer.refresh, metrics.clone(), voice).await;
            keepers.push(keeper);
            oidc.push(OidcIssuer::new(issuer.rules, keys));
        }
        let clusters = Arc::new(Clusters::new(primary, others)?);
        let renewal = config.renewal_max_age.map(|max_age| Renewal::new(authority, clusters.clone(), max_age));
        let authenticator = Authenticator::new(config.methods, clusters.clone(), oidc, renewal, metrics.clone());
        Ok(Self { authenticator, clusters, keepers })
    }
}

/// Where it is told what a cluster lacks.
struct Healths {
    keys: Option<Voice>,
    reviews: Option<Voice>,
}

async fn cluster(
    config: ClusterConfig,
    links: &mut ClusterLinks,
    metrics: &Metrics,
    Healths { keys: health, reviews: reviews_health }: Healths,
    keepers: &mut Vec<KeyKeeper>,
) -> Result<Cluster, MissingMeans> {
    let ClusterLink { view, live, reviews, granted, documents } = links.remove(&config.rules.id).unwrap_or_default();
    let knowledge = view.map(|view| Knowledge::new(view, live, config.stale_after));
    let reviews = reviews
        .map(|reviews| -> Arc<dyn TokenReviews> { Arc::new(MeasuredReviews::new(reviews, metrics.reviews().clone())) });
    let mut means = ClusterMeans { reviews, knowledge, granted, reviews_health, ..ClusterMeans::default() };
    let issuer = config.rules.tokens.issuer.clone();
    let api_server = documents.zip(issuer).map(|(documents, issuer)| JwksSource::ApiServer { documents, issuer });
    let source = config.keys.and_then(|keys| Some((keys.place.or(api_server)?, keys.refresh)));
    if let Some(((place, refresh), health)) = source.zip(health) {
        let (keeper, keys) = KeyKeeper::new(place, refresh, metrics.clone(), health).await;
        keepers.push(keeper);
        means.keys = Some(keys);
    }
    Cluster::new(config.rules, means)
}
