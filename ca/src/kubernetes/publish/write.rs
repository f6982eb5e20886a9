//! Writing the roots into one namespace: by server-side apply, and by force only where the policy says so.

use http::Request;
use kube::core::params::{GetParams, Patch, PatchParams};
use serde_json::{Map, Value, json};

use super::board::{Outcome, Trouble};
use super::objects::{CORE, ConfigMap, KEY, LABEL, Shape};
use super::policy::{Decision, Owned, Policy};
use super::roots::{Seen, Wanted};
use crate::kubernetes::api::{ApiClient, ApiError, Collection, parse};

/// Largest ConfigMap.
const MAP_MAX_BYTES: usize = 4 * 1024 * 1024;

/// The fields that we own, as they stand in `fieldsV1`.
const VALUE_FIELD: &str = "/f:data/f:root-cert.pem";
const LABEL_FIELD: &str = "/f:metadata/f:labels/f:istio.io~1config";

/// Everything that writing needs. Cheap to clone.
#[derive(Clone)]
pub(super) struct Writer {
    pub(super) client: ApiClient,
    pub(super) shape: Shape,
    pub(super) policy: Policy,
}

impl Writer {
    /// Makes `namespace` have `wanted`. `was_ours`: whether it had it once.
    pub(super) async fn write(self, namespace: Box<str>, wanted: Wanted, was_ours: bool) -> (Box<str>, Outcome) {
        let written = if self.shape.claim.is_some() {
            self.share(&namespace, &wanted).await
        } else {
            self.own(&namespace, &wanted, was_ours).await
        };
        let outcome = written.unwrap_or_else(|error| self.outcome(&error));
        (namespace, outcome)
    }

    /// Where nobody else publishes.
    async fn own(&self, namespace: &str, wanted: &Wanted, was_ours: bool) -> Result<Outcome, ApiError> {
        let body = self.body(wanted.pem(), None, None);
        let error = match self.apply(namespace, &body, false).await {
            Ok(map) => return Ok(self.verified(&map, wanted)),
            Err(error) if is_owned(&error) => error,
            Err(error) => return Err(error),
        };
        let owned: Owned = self.client.read(self.get(namespace)).await?;
        match self.policy.decide(&owned, &[VALUE_FIELD, LABEL_FIELD], was_ours) {
            Decision::Refuse(owners) => {
                tracing::debug!(namespace, %error, "roots are not published over another's");
                Ok(Outcome::Not(Trouble::Owned(owners), None))
            }
            Decision::TakeOver => {
                let map = self.apply(namespace, &body, true).await?;
                Ok(self.verified(&map, wanted))
            }
            Decision::Heal(by) => {
                let map = self.apply(namespace, &body, true).await?;
                Ok(match self.verified(&map, wanted) {
                    Outcome::Written(seen) => Outcome::Healed(seen, by),
                    other => other,
                })
            }
        }
    }

    /// Where control planes share: what others need stays in it.
    async fn share(&self, namespace: &str, wanted: &Wanted) -> Result<Outcome, ApiError> {
        let found = match self.client.read::<ConfigMap>(self.get(namespace)).await {
            Ok(map) => map,
            Err(error) if error.is_not_found() => ConfigMap::default(),
            Err(error) => return Err(error),
        };
        let joined = wanted.joined_with(self.shape.value(&found).unwrap_or_default(), self.shape.claimed(&found));
        // What was read must still stand when this is written, or another's new root would be lost.
        let body = self.body(&joined, Some(wanted), found.version());
        let map = self.apply(namespace, &body, true).await?;
        Ok(self.verified(&map, wanted))
    }

    fn verified(&self, map: &ConfigMap, wanted: &Wanted) -> Outcome {
        let seen: Seen = self.shape.see(map);
        if wanted.is_met_by(&seen) { Outcome::Written(seen) } else { Outcome::Not(Trouble::Altered, None) }
    }

    fn body(&self, pem: &str, claimed: Option<&Wanted>, version: Option<&str>) -> Value {
        let mut metadata = Map::new();
        metadata.insert("name".to_owned(), json!(self.shape.name));
        metadata.insert("labels".to_owned(), json!({ LABEL.0: LABEL.1 }));
        if let (Some(annotation), Some(wanted)) = (&self.shape.claim, claimed) {
            metadata.insert("annotations".to_owned(), json!({ annotation.as_str(): wanted.claim() }));
        }
        if let Some(version) = version {
            metadata.insert("resourceVersion".to_owned(), json!(version));
        }
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": { KEY: pem } })
    }

    async fn apply(&self, namespace: &str, body: &Value, force: bool) -> Result<ConfigMap, ApiError> {
        let mut params = PatchParams::apply(&self.policy.manager);
        params.force = force;
        let request = self.maps(namespace).request().patch(&self.shape.name, &params, &Patch::Apply(body));
        parse(&self.client.send(request, MAP_MAX_BYTES).await?)
    }

    fn get(&self, namespace: &str) -> Result<Request<Vec<u8>>, kube::core::request::Error> {
        self.maps(namespace).request().get(&self.shape.name, &GetParams::default())
    }

    fn maps(&self, namespace: &str) -> Collection {
        Collection::within(CORE, namespace, "configmaps")
    }

    fn outcome(&self, error: &ApiError) -> Outcome {
        let is_ending = error
            .refusal()
            .is_some_and(|refusal| refusal.causes.iter().any(|cause| cause.reason == "NamespaceTerminating"));
        if is_ending || error.is_without("namespaces") {
            Outcome::Leaving
        } else {
            Outcome::Not(Trouble::Failed(error.to_string()), error.retry_after())
        }
    }
}

/// Whether an apply was refused because of another's fields. A stale version is a conflict too, but nobody's.
fn is_owned(error: &ApiError) -> bool {
    error.is("Conflict")
        && error
            .refusal()
            .is_some_and(|refusal| refusal.causes.iter().any(|cause| cause.reason == "FieldManagerConflict"))
}
