//! A Secret as the object that replicas share: read and changed by single requests, followed by a watch.
//!
//! Changes are merge patches that name the version which was read (`metadata.resourceVersion`), so that the API server
//! refuses them when somebody else wrote meanwhile. What is not ours in the Secret stays.

mod cacerts;
mod object;
mod watched;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use kube::core::params::{GetParams, Patch, PatchParams, PostParams};
use serde::Deserialize;
use signet_kubernetes::{ApiClient, ApiError, Collection, Follower, Pace};
use signet_runtime::{Clock, Shutdown};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use zeroize::Zeroizing;

use super::Leadership;
use crate::metrics::WatchMetrics;
use crate::shared::{Changes, Entries, Seen, SharedError, SharedObject, Snapshot, Witness};
pub(super) use cacerts::CacertsError;
pub(super) use cacerts::{GENERATED, settle};
pub(super) use object::{Body, Secret};
use watched::{Heard, Secrets};

const CORE: &str = "api/v1";

/// The key of a ConfigMap with roots.
const ROOTS_KEY: &str = "root-cert.pem";

/// Where a Secret is, and how it is made.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) namespace: String,
    pub(super) name: String,
    /// Its type, when it is made here.
    pub(super) kind: &'static str,
    /// An entry without a text that says who made it.
    pub(super) mark: Option<&'static str>,
    /// The ConfigMap beside it that says, once it holds roots, that there was a Secret.
    pub(super) witness: Option<String>,
}

/// One Secret.
pub(super) struct SharedSecret {
    client: ApiClient,
    place: Place,
    leadership: Leadership,
    seen: watch::Receiver<Seen>,
    heard: Heard,
    bell: Arc<Notify>,
    /// Where requests run, for whoever waits for them does not.
    runtime: Handle,
}

/// The watch that tells of it.
pub(super) struct SecretWatch(Follower<Secrets>);

impl SecretWatch {
    /// Follows until shutdown begins.
    pub(super) async fn run(self, shutdown: Shutdown) -> Result<(), Infallible> {
        self.0.run(shutdown).await
    }
}

/// The Secret at `place`, written by whoever leads. Must be called where requests can run.
pub(super) fn share(
    client: &ApiClient,
    place: Place,
    leadership: Leadership,
    clock: &Clock,
    metrics: WatchMetrics,
) -> (Arc<dyn SharedObject>, SecretWatch) {
    let (told, seen) = watch::channel(Seen::Unheard);
    let bell = Arc::new(Notify::new());
    let heard = Heard::new(clock.clone());
    let secrets = Secrets::new(&place, told, heard.clone(), bell.clone());
    let follower = Follower::new(client.clone(), secrets, clock.clone(), Pace::default(), metrics);
    let runtime = Handle::current();
    let secret = SharedSecret { client: client.clone(), place, leadership, seen, heard, bell, runtime };
    (Arc::new(secret), SecretWatch(follower))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RootsMap {
    data: BTreeMap<String, String>,
}

impl SharedSecret {
    fn secrets(&self) -> kube::core::Request {
        Collection::within(CORE, &self.place.namespace, "secrets").request()
    }

    /// What an answer is worth: nothing, unless it is about this Secret and names its version.
    fn snapshot(&self, secret: Secret) -> Result<Snapshot, SharedError> {
        if secret.name() != self.place.name || secret.version().is_empty() {
            let reason = "the answer is not the Secret that was asked for".to_owned();
            return Err(SharedError::Unreachable { place: self.place(), reason });
        }
        self.heard.now();
        Ok(secret.into())
    }

    fn failed(&self, error: &ApiError) -> SharedError {
        let place = self.place();
        if error.is("Conflict") || error.is("AlreadyExists") {
            SharedError::Conflict { place }
        } else {
            SharedError::Unreachable { place, reason: error.to_string() }
        }
    }
}

impl SharedObject for SharedSecret {
    fn leads(&self) -> bool {
        self.leadership.holds()
    }

    fn time(&self) -> Option<i64> {
        self.client.server_time()
    }

    fn silence(&self) -> Duration {
        self.heard.silence()
    }

    fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    fn read(&self) -> Result<Option<Snapshot>, SharedError> {
        let request = self.secrets().get(&self.place.name, &GetParams::default());
        let found = self.runtime.block_on(self.client.find::<Secret>(request));
        match found.map_err(|error| self.failed(&error))? {
            Some(secret) => self.snapshot(secret).map(Some),
            None => {
                self.heard.now();
                Ok(None)
            }
        }
    }

    fn create(&self, entries: &Entries) -> Result<Snapshot, SharedError> {
        let mut entries = entries.clone();
        entries.extend(self.place.mark.map(|mark| (mark.to_owned(), Zeroizing::default())));
        let body = Body::new(&self.place, &entries).json();
        let made = body.and_then(|body| {
            let request = self.secrets().create(&PostParams::default(), body);
            self.runtime.block_on(self.client.read::<Secret>(request))
        });
        made.map_err(|error| self.failed(&error)).and_then(|secret| self.snapshot(secret))
    }

    fn change(&self, version: &str, changes: &Changes) -> Result<Snapshot, SharedError> {
        let patch = Body::change(version, changes);
        let request = self.secrets().patch(&self.place.name, &PatchParams::default(), &Patch::Merge(&patch));
        let changed = self.runtime.block_on(self.client.read::<Secret>(request));
        changed.map_err(|error| self.failed(&error)).and_then(|secret| self.snapshot(secret))
    }

    fn witness(&self) -> Result<Option<Witness>, SharedError> {
        let Some(name) = &self.place.witness else { return Ok(None) };
        let maps = Collection::within(CORE, &self.place.namespace, "configmaps").request();
        let read = self.client.find::<RootsMap>(maps.get(name, &GetParams::default()));
        let map = self.runtime.block_on(read).map_err(|error| self.failed(&error))?;
        let roots = map.and_then(|mut map| map.data.remove(ROOTS_KEY)).filter(|roots| !roots.trim().is_empty());
        Ok(roots.map(|text| Witness { name: format!("configmap {}/{name}", self.place.namespace), text }))
    }

    fn place(&self) -> String {
        format!("secret {}/{}", self.place.namespace, self.place.name)
    }

    fn bell(&self) -> Arc<Notify> {
        self.bell.clone()
    }
}

#[cfg(test)]
mod tests;
