//! The roots as a ClusterTrustBundle (`certificates.k8s.io`), where the cluster serves that API: one object for the
//! whole cluster, under the name and by the signer that Istio gives it.
//!
//! Whether the API is there is asked before the object is, and again when the object's place is gone. The object is read
//! every few seconds by every replica, which costs an API server next to nothing and needs no rights to list.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use http::Request;
use kube::core::params::GetParams;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use signet_identity::Certificate;
use signet_kubernetes::{ApiClient, ApiError, Collection, Outage, parse};
use signet_runtime::Shutdown;
use tokio::sync::watch;

use super::board::Spread;
use super::form::{Form, Found};
use super::objects::SharedBoard;
use super::roots::Wanted;
use crate::authority::Authority;

const GROUP: &str = "certificates.k8s.io";
const PLURAL: &str = "clustertrustbundles";

/// The versions that may serve it, newest first.
const VERSIONS: [&str; 3] = ["v1", "v1beta1", "v1alpha1"];

/// Istio's name for the roots of its authority, and whom they are by.
const NAME: &str = "istio.io:istiod-ca:root-cert";
const SIGNER: &str = "istio.io/istiod-ca";

/// The one place that the object is in.
const CLUSTER: &str = "";

/// Time between two looks at the object, and at a cluster that does not serve the API.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
const ABSENT_INTERVAL: Duration = Duration::from_secs(300);

/// Largest list of what a version serves.
const RESOURCES_MAX_BYTES: usize = 1024 * 1024;

/// One ClusterTrustBundle.
#[derive(Debug, Clone)]
pub(super) struct BundleForm {
    claim: Option<String>,
    /// The version that serves it.
    version: watch::Receiver<Option<&'static str>>,
}

/// What of it is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Bundle {
    metadata: Meta,
    spec: Spec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    resource_version: Box<str>,
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    signer_name: String,
    trust_bundle: String,
}

impl BundleForm {
    fn version(&self) -> &'static str {
        // Nothing is written before the version is known.
        self.version.borrow().unwrap_or("v1beta1")
    }
}

impl Form for BundleForm {
    type Object = Bundle;

    const FIELDS: &'static [&'static str] = &["/f:spec/f:trustBundle", "/f:spec/f:signerName"];

    /// Certificates and nothing between them, none twice: anything else is refused there.
    fn wanted(&self, authority: &Authority) -> Wanted {
        let roots: Vec<String> = authority.roots().roots().iter().map(Certificate::to_pem).collect();
        let mut once: Vec<&str> = Vec::with_capacity(roots.len());
        for pem in &roots {
            if !once.contains(&pem.as_str()) {
                once.push(pem);
            }
        }
        Wanted::new(&once.concat())
    }

    fn collection(&self, _: &str) -> Collection {
        collection(self.version())
    }

    fn name(&self) -> &str {
        NAME
    }

    fn claim(&self) -> Option<&str> {
        self.claim.as_deref()
    }

    fn body(&self, metadata: Map<String, Value>, pem: &str) -> Value {
        json!({
            "apiVersion": format!("{GROUP}/{}", self.version()),
            "kind": "ClusterTrustBundle",
            "metadata": metadata,
            "spec": { "signerName": SIGNER, "trustBundle": pem },
        })
    }

    fn found<'a>(&self, bundle: &'a Bundle) -> Found<'a> {
        let claim = self.claim.as_ref().and_then(|claim| bundle.metadata.annotations.get(claim));
        Found {
            version: Some(&*bundle.metadata.resource_version).filter(|version| !version.is_empty()),
            value: &bundle.spec.trust_bundle,
            claim: claim.map(String::as_str).unwrap_or_default(),
            is_whole: bundle.spec.signer_name == SIGNER,
        }
    }

    fn names(&self, _: &str) -> String {
        format!("cluster trust bundle {NAME}")
    }

    fn remark(&self, _: Spread, is_known: bool) -> String {
        if is_known {
            "roots are not published as a cluster trust bundle".to_owned()
        } else {
            "it is not known whether the cluster serves cluster trust bundles".to_owned()
        }
    }
}

fn collection(version: &str) -> Collection {
    Collection::all(&format!("apis/{GROUP}/{version}"), PLURAL)
}

#[derive(Deserialize)]
struct Resources {
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
}

/// Looks whether the API is there, and what stands in it.
pub(super) struct Looker {
    client: ApiClient,
    form: BundleForm,
    board: SharedBoard,
    version: watch::Sender<Option<&'static str>>,
    outage: Outage,
    /// Whether the absence of the API was told.
    is_absence_told: bool,
}

impl Looker {
    pub(super) fn new(
        client: ApiClient,
        board: SharedBoard,
        claim: Option<String>,
        outage: Outage,
    ) -> (Self, BundleForm) {
        let (version, receiver) = watch::channel(None);
        // Until the cluster was asked, it is taken for one that serves the API.
        board.change(|board| board.replace_spaces(vec![(CLUSTER.into(), true)]));
        let form = BundleForm { claim, version: receiver };
        (Self { client, form: form.clone(), board, version, outage, is_absence_told: false }, form)
    }

    /// Looks until shutdown begins.
    pub(super) async fn run(mut self, shutdown: Shutdown) -> Result<(), Infallible> {
        loop {
            let wait = match self.look().await {
                Ok(is_served) => {
                    self.outage.over();
                    if is_served { LOOK_INTERVAL } else { ABSENT_INTERVAL }
                }
                Err(error) => {
                    self.board.change(|board| board.blind(CLUSTER, error.to_string()));
                    self.outage.failed("get", &error).min(LOOK_INTERVAL)
                }
            };
            tokio::select! {
                // What was seen stands on the board; neither arm holds anything.
                () = shutdown.begun() => return Ok(()),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Puts on the board what there is. Gives whether the API is served.
    async fn look(&mut self) -> Result<bool, ApiError> {
        let known = *self.version.borrow();
        if let Some(version) = known
            && self.read(version).await?
        {
            return Ok(true);
        }
        let found = self.discover().await?;
        self.version.send_replace(found);
        match found {
            Some(version) => {
                tracing::info!(version, "roots are also published as a cluster trust bundle");
                self.is_absence_told = false;
                self.board.change(|board| board.replace_spaces(vec![(CLUSTER.into(), true)]));
                self.read(version).await
            }
            None => {
                if !std::mem::replace(&mut self.is_absence_told, true) {
                    tracing::info!("the cluster serves no cluster trust bundles, config maps alone have the roots");
                }
                self.board.change(|board| {
                    board.replace_spaces(Vec::new());
                    board.replace_maps(Vec::new());
                });
                Ok(false)
            }
        }
    }

    /// Reads the object; whether `version` still serves such.
    async fn read(&self, version: &str) -> Result<bool, ApiError> {
        let request = collection(version).request().get(NAME, &GetParams::default());
        match self.client.read::<Bundle>(request).await {
            Ok(bundle) => {
                let seen = self.form.see(&bundle);
                self.board.change(|board| board.saw(CLUSTER, Some(seen)));
                Ok(true)
            }
            Err(error) if error.is_without(PLURAL) => {
                self.board.change(|board| board.saw(CLUSTER, None));
                Ok(true)
            }
            // The path itself is gone.
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The newest version that serves it.
    async fn discover(&self) -> Result<Option<&'static str>, ApiError> {
        for version in VERSIONS {
            let request = Request::get(format!("/apis/{GROUP}/{version}"));
            let request = request.body(Vec::new()).map_err(kube::core::request::Error::BuildRequest);
            let served: Resources = match self.client.send(request, RESOURCES_MAX_BYTES).await {
                Ok(answer) => parse(&answer)?,
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error),
            };
            if served.resources.iter().any(|resource| resource.name == PLURAL) {
                return Ok(Some(version));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
