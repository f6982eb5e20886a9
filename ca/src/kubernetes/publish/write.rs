//! Writing the roots into one place: by server-side apply, and by force only where the policy says so.

use http::Request;
use kube::core::params::{GetParams, Patch, PatchParams};
use serde_json::{Map, Value, json};
use signet_kubernetes::{ApiClient, ApiError};

use super::board::{Outcome, Trouble};
use super::form::{Form, Found};
use super::policy::{Decision, Owned, Policy};
use super::roots::{Seen, Wanted};

/// Everything that writing needs. Cheap to clone.
#[derive(Clone)]
pub(super) struct Writer<F> {
    pub(super) client: ApiClient,
    pub(super) form: F,
    pub(super) policy: Policy,
}

impl<F: Form> Writer<F> {
    /// Makes `place` have `wanted`. `was_ours`: whether it had it once.
    pub(super) async fn write(self, place: Box<str>, wanted: Wanted, was_ours: bool) -> (Box<str>, Outcome) {
        let written = if self.form.claim().is_some() {
            self.share(&place, &wanted).await
        } else {
            self.own(&place, &wanted, was_ours).await
        };
        let outcome = written.unwrap_or_else(|error| outcome(&error));
        (place, outcome)
    }

    /// Where nobody else publishes.
    async fn own(&self, place: &str, wanted: &Wanted, was_ours: bool) -> Result<Outcome, ApiError> {
        let body = self.body(wanted.pem(), None);
        let error = match self.apply(place, &body, false).await {
            Ok(map) => return Ok(self.verified(&map, wanted)),
            Err(error) if is_owned(&error) => error,
            Err(error) => return Err(error),
        };
        let owned: Owned = self.client.read(self.get(place)).await?;
        match self.policy.decide(&owned, F::FIELDS, was_ours) {
            Decision::Refuse(owners) => {
                tracing::debug!(place, %error, "roots are not published over another's");
                Ok(Outcome::Not(Trouble::Owned(owners), None))
            }
            Decision::TakeOver => {
                let map = self.apply(place, &body, true).await?;
                Ok(self.verified(&map, wanted))
            }
            Decision::Heal(by) => {
                let map = self.apply(place, &body, true).await?;
                Ok(match self.verified(&map, wanted) {
                    Outcome::Written(seen) => Outcome::Healed(seen, by),
                    other => other,
                })
            }
        }
    }

    /// Where control planes share: what others need stays in it.
    async fn share(&self, place: &str, wanted: &Wanted) -> Result<Outcome, ApiError> {
        let object: F::Object = self.client.find(self.get(place)).await?.unwrap_or_default();
        let found = self.form.found(&object);
        let joined = wanted.joined_with(found.value, found.claim);
        // What was read must still stand when this is written, or another's new root would be lost.
        let body = self.body(&joined, Some((wanted, found)));
        let object = self.apply(place, &body, true).await?;
        Ok(self.verified(&object, wanted))
    }

    fn verified(&self, object: &F::Object, wanted: &Wanted) -> Outcome {
        let seen: Seen = self.form.see(object);
        if wanted.is_met_by(&seen) { Outcome::Written(seen) } else { Outcome::Not(Trouble::Altered, None) }
    }

    /// `over`: whose roots are claimed over what was found, where control planes share.
    fn body(&self, pem: &str, over: Option<(&Wanted, Found<'_>)>) -> Value {
        let mut metadata = Map::new();
        metadata.insert("name".to_owned(), json!(self.form.name()));
        if let (Some(annotation), Some((wanted, found))) = (self.form.claim(), over) {
            metadata.insert("annotations".to_owned(), json!({ annotation: wanted.claim() }));
            metadata.extend(found.version.map(|version| ("resourceVersion".to_owned(), json!(version))));
        }
        self.form.body(metadata, pem)
    }

    async fn apply(&self, place: &str, body: &Value, force: bool) -> Result<F::Object, ApiError> {
        let mut params = PatchParams::apply(&self.policy.manager);
        params.force = force;
        let request = self.form.collection(place).request().patch(self.form.name(), &params, &Patch::Apply(body));
        self.client.read(request).await
    }

    fn get(&self, place: &str) -> Result<Request<Vec<u8>>, kube::core::request::Error> {
        self.form.collection(place).request().get(self.form.name(), &GetParams::default())
    }
}

fn outcome(error: &ApiError) -> Outcome {
    let is_ending = error
        .refusal()
        .is_some_and(|refusal| refusal.causes.iter().any(|cause| cause.reason == "NamespaceTerminating"));
    if is_ending || error.is_without("namespaces") {
        Outcome::Leaving
    } else {
        Outcome::Not(Trouble::Failed(error.to_string()), error.retry_after())
    }
}

/// Whether an apply was refused because of another's fields. A stale version is a conflict too, but nobody's.
pub(in crate::kubernetes) fn is_owned(error: &ApiError) -> bool {
    error.is("Conflict")
        && error
            .refusal()
            .is_some_and(|refusal| refusal.causes.iter().any(|cause| cause.reason == "FieldManagerConflict"))
}
