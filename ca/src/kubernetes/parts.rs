//! Everything that talks to API servers, put together and started.

use std::sync::Arc;
use std::time::Duration;

use signet_identity::KeyError;
use signet_kubernetes::{ApiClient, ConnectError, Pace};
use signet_runtime::{Clock, Health, Shutdown, Tasks};
use tokio::sync::watch;

use super::events::{Announcer, Replica, Watched};
use super::home::Home;
use super::istiod::IstiodTls;
use super::mesh::{self, MeshWatch, Told};
use super::secret::{CacertsError, SecretWatch};
use super::{AGENT, Around, BundlePublisher, Elector, IssuerDocuments, Publisher, Watches, watch_views};
use crate::authenticate::{ClusterRules, Granted};
use crate::authority::{Authority, Overview};
use crate::callers::{ClusterLink, ClusterLinks};
use crate::config::{CallersConfig, ClusterConfig};
use crate::metrics::Metrics;
use crate::voice::{Crowd, Voice};

/// How long a request to another cluster may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no connection to the cluster.
#[derive(Debug, thiserror::Error)]
pub enum KubernetesError {
    /// The client.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A name for this replica.
    #[error(transparent)]
    Name(#[from] KeyError),
    /// Where the authority is.
    #[error(transparent)]
    Cacerts(#[from] CacertsError),
}

/// What talks to clusters; nothing where there are none.
#[derive(Default)]
pub struct Parts {
    elector: Option<Elector>,
    publisher: Option<Publisher>,
    bundle: Option<BundlePublisher>,
    istiod: Option<IstiodTls>,
    mesh: Option<MeshWatch>,
    announcer: Option<Announcer>,
    secrets: Vec<SecretWatch>,
    watches: Vec<Watches>,
    links: ClusterLinks,
}

/// What a part is made with.
pub struct Surroundings<'a> {
    /// Whose roots are published.
    pub authority: watch::Receiver<Arc<Authority>>,
    /// What becomes of its keys.
    pub overview: watch::Receiver<Arc<Overview>>,
    /// Tells the time.
    pub clock: &'a Clock,
    /// What is told.
    pub metrics: &'a Metrics,
    /// Who may be called ready.
    pub health: &'a Health,
}

impl Parts {
    /// Makes what is asked for in the own cluster, which is `home`, and by `callers` in all. Nothing is asked of API
    /// servers for it, so that they may be away.
    ///
    /// # Errors
    /// Every variant of [`KubernetesError`].
    pub async fn new(
        home: Option<Home>,
        callers: &CallersConfig,
        around: Surroundings<'_>,
    ) -> Result<Self, KubernetesError> {
        let mut parts = Self::default();
        let others = Crowd::new(around.health.part("other clusters' objects"));
        for other in &callers.others {
            if let Some(connection) = &other.connection {
                let client = ApiClient::new(connection, AGENT, REQUEST_TIMEOUT).await?;
                parts.link(&client, other, others.of(other.rules.id.clone()), &around);
            }
        }
        if let Some(home) = home {
            // Without the objects of its own cluster a server is of no use; one that lacks another's still is.
            let own = Voice::Own(around.health.part("cluster objects"));
            parts.link(&home.client, &callers.primary, own, &around);
            parts.watch_mesh(&home, &callers.primary.rules, &around);
            parts.publish(home, &callers.primary.rules.id, around);
        }
        Ok(parts)
    }

    /// The latest bundle that was seen in each place where bundles are published.
    pub(crate) fn published(&self) -> Vec<(&'static str, watch::Receiver<u64>)> {
        let maps = self.publisher.as_ref().map(|publisher| ("all namespaces", publisher.everywhere()));
        let bundle = self.bundle.as_ref().map(|publisher| ("the cluster trust bundle", publisher.everywhere()));
        maps.into_iter().chain(bundle).collect()
    }

    /// What identifying callers needs of each connected cluster, given away once.
    pub fn take_links(&mut self) -> ClusterLinks {
        std::mem::take(&mut self.links)
    }

    /// Starts all of it.
    pub fn start(self, tasks: &mut Tasks, shutdown: &Shutdown) {
        for watches in self.watches {
            tasks.start("cluster objects", watches.run(shutdown.clone()));
        }
        if let Some(elector) = self.elector {
            tasks.start("leader election", elector.run(shutdown.clone()));
        }
        for secret in self.secrets {
            tasks.start("shared secret", secret.run(shutdown.clone()));
        }
        if let Some(publisher) = self.publisher {
            tasks.start("publishing", publisher.run(shutdown.clone()));
        }
        if let Some(bundle) = self.bundle {
            tasks.start("publishing as a cluster trust bundle", bundle.run(shutdown.clone()));
        }
        if let Some(istiod) = self.istiod {
            tasks.start("istiod's certificate", istiod.run(shutdown.clone()));
        }
        if let Some(mesh) = self.mesh {
            tasks.start("mesh config", mesh.run(shutdown.clone()));
        }
        if let Some(announcer) = self.announcer {
            tasks.start("events", announcer.run(shutdown.clone()));
        }
    }

    fn link(&mut self, client: &ApiClient, cluster: &ClusterConfig, health: Voice, around: &Surroundings<'_>) {
        let (id, told) = (&cluster.rules.id, around.metrics.kubernetes());
        let (view, watches) = watch_views(client, id, around.clock, Pace::default(), told);
        self.watches.push(watches.told_by(health, view.clone(), around.clock.clone(), cluster.stale_after));
        let shared = Arc::new(client.clone());
        let link = ClusterLink {
            view: Some(view),
            live: Some(shared.clone()),
            reviews: Some(shared),
            granted: None,
            documents: Some(IssuerDocuments::new(client.clone())),
        };
        self.links.insert(id.clone(), link);
    }

    fn watch_mesh(&mut self, home: &Home, own: &ClusterRules, around: &Surroundings<'_>) {
        let metrics = around.metrics.kubernetes();
        self.mesh = home.config.mesh_config.clone().map(|place| {
            let granted = Granted::own(own.trust_domain.clone());
            if let Some(link) = self.links.get_mut(&own.id).filter(|_| place.follow.is_some()) {
                link.granted = Some(granted.clone());
            }
            let told = Told {
                granted,
                health: around.health.part("mesh config"),
                metrics: metrics.mesh(),
                watch: metrics.watch(&own.id, "mesh config"),
            };
            mesh::watch(&home.client, place, own.trust_domain.clone(), around.clock, Pace::default(), told)
        });
    }

    fn publish(&mut self, home: Home, cluster: &str, around: Surroundings<'_>) {
        let Surroundings { authority, overview, clock, metrics, health } = around;
        let Home { client, config, leadership, elector, secrets, .. } = home;
        (self.elector, self.secrets) = (elector, secrets);
        if config.events {
            let watched = Watched {
                overview,
                leadership: leadership.clone(),
                view: self.links.get(cluster).and_then(|link| link.view.clone()),
                clock: clock.clone(),
                metrics: metrics.clone(),
            };
            let replica = Replica { namespace: config.namespace.clone(), name: config.replica.clone() };
            self.announcer = Some(Announcer::new(client.clone(), replica, watched));
        }
        let around = |part: &'static str| Around {
            cluster,
            clock,
            pace: Pace::default(),
            metrics: metrics.kubernetes(),
            health: health.part(part),
        };
        self.publisher = config.config_maps.map(|maps| {
            let around = around("published roots");
            Publisher::new(&client, maps, authority.clone(), leadership.clone(), around).0
        });
        self.bundle = config.trust_bundle.map(|policy| {
            let around = around("cluster trust bundle");
            BundlePublisher::new(&client, policy, authority.clone(), leadership.clone(), around)
        });
        self.istiod = config.istiod_tls.map(|config| IstiodTls {
            client,
            config,
            authority,
            leadership,
            clock: clock.clone(),
            metrics: metrics.kubernetes().istiod(),
            health: health.part("istiod's certificate"),
            was_ours: false,
            complaint: None,
        });
    }
}
