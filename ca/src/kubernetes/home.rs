//! The cluster that this process belongs to, connected before there is an authority: for the authority itself may be
//! kept there.

use std::sync::Arc;

use signet_kubernetes::ApiClient;
use signet_runtime::Clock;

use super::parts::KubernetesError;
use super::secret::{GENERATED, Place, SecretWatch, settle, share};
use super::{AGENT, Elector, Holder, Leadership, LeaseTimes};
use crate::config::{CACERTS, KubernetesConfig};
use crate::metrics::KubernetesMetrics;
use crate::shared::SharedObject;

/// The type of the Secret that Istio keeps its authority in.
const ISTIO_CA_ROOT: &str = "istio.io/ca-root";

const OPAQUE: &str = "Opaque";

/// The own cluster.
pub struct Home {
    pub(super) client: ApiClient,
    pub(super) config: KubernetesConfig,
    pub(super) leadership: Leadership,
    pub(super) elector: Option<Elector>,
    pub(super) secrets: Vec<SecretWatch>,
    cluster: String,
    clock: Clock,
    metrics: KubernetesMetrics,
}

impl Home {
    /// Makes a client, and a name to run for the lead with. Nothing is asked yet. `cluster` is its name in metrics.
    ///
    /// # Errors
    /// Every variant of [`KubernetesError`].
    pub async fn connect(
        config: KubernetesConfig,
        cluster: &str,
        clock: Clock,
        metrics: &KubernetesMetrics,
    ) -> Result<Self, KubernetesError> {
        let client = ApiClient::new(&config.connection, AGENT, config.request_timeout).await?;
        let (elector, leadership) = match &config.lease {
            None => (None, Leadership::alone()),
            Some(lease) => {
                let holder = Holder::new(&config.replica)?;
                let (namespace, times) = (&config.namespace, LeaseTimes::default());
                let (elector, leadership) =
                    Elector::new(client.clone(), namespace, lease, holder, times, clock.clone());
                (Some(elector), leadership)
            }
        };
        let (cluster, metrics) = (cluster.to_owned(), metrics.clone());
        Ok(Self { client, config, leadership, elector, secrets: Vec::new(), cluster, clock, metrics })
    }

    /// The Secret `name`, in which all replicas keep the authority. Where that `is_cacerts`, the usual one is preferred
    /// and an operator's is refused, which has to be asked first.
    ///
    /// # Errors
    /// [`KubernetesError::Cacerts`].
    pub(crate) async fn authority_secret(
        &mut self,
        name: &str,
        is_cacerts: bool,
    ) -> Result<Arc<dyn SharedObject>, KubernetesError> {
        let name = match is_cacerts {
            true => settle(&self.client, &self.config.namespace, name).await?,
            false => name.to_owned(),
        };
        let mark = (is_cacerts && name == CACERTS).then_some(GENERATED);
        let witness = Some(self.config.roots_map.clone());
        let place = Place { namespace: self.namespace(), name, kind: ISTIO_CA_ROOT, mark, witness };
        Ok(self.share(place, "authority secret"))
    }

    /// The Secret `name`, in which all replicas keep the keys of tokens.
    pub(crate) fn token_key_secret(&mut self, name: &str) -> Arc<dyn SharedObject> {
        let place =
            Place { namespace: self.namespace(), name: name.to_owned(), kind: OPAQUE, mark: None, witness: None };
        self.share(place, "token key secret")
    }

    fn share(&mut self, place: Place, kind: &'static str) -> Arc<dyn SharedObject> {
        let metrics = self.metrics.watch(&self.cluster, kind);
        let (shared, watch) = share(&self.client, place, self.leadership.clone(), &self.clock, metrics);
        self.secrets.push(watch);
        shared
    }

    fn namespace(&self) -> String {
        self.config.namespace.clone()
    }

    /// Runs for the lead until `work` has ended, which may need it.
    pub(crate) async fn run_while<T>(home: Option<&mut Self>, work: impl Future<Output = T>) -> T {
        match home.and_then(|home| home.elector.as_mut()) {
            Some(elector) => elector.run_while(work).await,
            None => work.await,
        }
    }
}
