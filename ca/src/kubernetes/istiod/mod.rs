//! The certificate that istiod serves with while its own CA is off: a Secret that istiod watches, kept fresh by whoever
//! leads, by the rules by which roots are published.
//!
//! Server-side apply says whose the entries are: what was ours and has been changed is put right, what belongs to a
//! manager that the operator named is taken over, anybody else's is left alone and told.

mod content;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use kube::core::params::{GetParams, Patch, PatchParams};
use serde::Deserialize;
use signet_identity::der::AltName;
use signet_identity::{Certificate, Timestamp};
use signet_kubernetes::{ApiClient, ApiError, Collection, OBJECT_MAX_BYTES, parse};
use signet_runtime::tasks::chain;
use signet_runtime::{Clock, HealthHandle, Shutdown};
use tokio::sync::watch;
use tokio::time::Instant;

use super::publish::{Decision, Owned, is_owned};
use super::secret::{Body, Secret};
use super::{Leadership, Policy};
use crate::authority::Authority;
use crate::metrics::IstiodMetrics;
use crate::serving::ServingError;
use crate::shared::{Entries, Snapshot};

const CORE: &str = "api/v1";

/// The type of a Secret with a certificate, where it is made here.
const TLS: &str = "kubernetes.io/tls";

/// The entries that we own, as they stand in `fieldsV1`.
const FIELDS: &[&str] = &["/f:data/f:tls.crt", "/f:data/f:tls.key", "/f:data/f:ca.crt"];

/// Time between two looks at the Secret, and at who leads.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_secs(1);

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IstiodTlsConfig {
    /// Where the Secret is.
    pub namespace: String,
    /// The Secret's name.
    pub secret: String,
    /// istiod's names.
    pub names: Vec<AltName>,
    /// How long the certificate is valid; it is renewed when a third of that is left.
    pub ttl: Duration,
    /// Whose Secret may be overwritten.
    pub policy: Policy,
}

/// Why the Secret is not as it should be.
#[derive(Debug, thiserror::Error)]
enum IstiodTlsError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("certificate cannot be issued")]
    Issue(#[from] ServingError),
    #[error("another manager owns it: {}", by.join(", "))]
    Owned { by: Vec<String> },
    #[error("it was written and came back changed")]
    Altered,
}

/// The Secret as it was found.
struct Found {
    kind: String,
    snapshot: Snapshot,
    owned: Owned,
}

#[derive(Deserialize)]
struct Typed {
    #[serde(rename = "type", default)]
    kind: String,
}

/// The task that keeps it.
pub(super) struct IstiodTls {
    pub(super) client: ApiClient,
    pub(super) config: IstiodTlsConfig,
    pub(super) authority: watch::Receiver<Arc<Authority>>,
    pub(super) leadership: Leadership,
    pub(super) clock: Clock,
    pub(super) metrics: IstiodMetrics,
    pub(super) health: HealthHandle,
    /// Whether it was as wanted once, so that what changed it is an edit.
    pub(super) was_ours: bool,
    /// What was last complained about, so that it is logged once.
    pub(super) complaint: Option<String>,
}

impl IstiodTls {
    /// Keeps it until shutdown begins.
    ///
    /// # Errors
    /// None.
    pub(super) async fn run(mut self, shutdown: Shutdown) -> Result<(), Infallible> {
        // Without it istiod is the worse for it, and those who ask here are not.
        self.health.ready();
        let (mut due_at, mut led) = (Instant::now(), false);
        loop {
            let leads = self.leadership.holds();
            if Instant::now() >= due_at || (leads && !led) {
                let looked = self.look(leads).await;
                self.complain(looked.err().map(|error| chain(&error)));
                due_at = Instant::now() + LOOK_INTERVAL;
            }
            led = leads;
            tokio::select! {
                // A write that is cut off is seen by the next process; the other arms tell of states that last.
                () = shutdown.begun() => return Ok(()),
                changed = self.authority.changed() => if changed.is_ok() { due_at = Instant::now() } else { return Ok(()) },
                () = self.leadership.changed() => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    fn complain(&mut self, complaint: Option<String>) {
        match &complaint {
            Some(error) => {
                if self.complaint.as_ref() != Some(error) {
                    tracing::warn!(error, secret = self.config.secret, "istiod's serving certificate is not kept");
                }
                self.health.degraded(format!("istiod's serving certificate is not kept: {error}"));
            }
            None => self.health.ready(),
        }
        self.complaint = complaint;
    }

    /// Looks at what stands there, and writes what is missing if this replica `leads`.
    async fn look(&mut self, leads: bool) -> Result<(), IstiodTlsError> {
        let authority = self.authority.borrow_and_update().clone();
        let now = Timestamp::from(self.clock.now());
        let found = self.read().await?;
        if let Some(good) = found.as_ref().and_then(|found| self.good(&found.snapshot.entries, &authority, now)) {
            self.was_ours = true;
            self.metrics.ends(&self.config.secret, good.lifetime().not_after());
            return Ok(());
        }
        if !leads {
            return Ok(());
        }
        let (entries, not_after) = content::issue(&self.config, &authority, now).await?;
        let written = self.write(found, &entries).await;
        self.metrics.wrote(match &written {
            Ok(result) => result,
            Err(IstiodTlsError::Owned { .. }) => "refused",
            Err(_) => "failed",
        });
        written?;
        self.was_ours = true;
        self.metrics.ends(&self.config.secret, not_after);
        Ok(())
    }

    fn good(&self, entries: &Entries, authority: &Authority, now: Timestamp) -> Option<Certificate> {
        content::good(entries, &self.config, authority, now)
    }

    async fn read(&self) -> Result<Option<Found>, IstiodTlsError> {
        let request = self.secrets().request().get(&self.config.secret, &GetParams::default());
        let answer = match self.client.send(request, OBJECT_MAX_BYTES).await {
            Ok(answer) => answer,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Typed { kind } = parse(&answer)?;
        Ok(Some(Found { kind, snapshot: parse::<Secret>(&answer)?.into(), owned: parse(&answer)? }))
    }

    /// Writes `entries` over what was `found`, unless it changed meanwhile.
    async fn write(&self, found: Option<Found>, entries: &Entries) -> Result<&'static str, IstiodTlsError> {
        // The type of what is there cannot be changed.
        let kind = found.as_ref().map_or(TLS, |found| found.kind.as_str());
        let version = found.as_ref().map(|found| found.snapshot.version.as_str());
        let owned = match (self.apply(kind, version, entries, false).await, &found) {
            (Ok(()), _) => return Ok("written"),
            (Err(IstiodTlsError::Api(error)), Some(found)) if is_owned(&error) => &found.owned,
            (Err(error), _) => return Err(error),
        };
        let result = match self.config.policy.decide(owned, FIELDS, self.was_ours) {
            Decision::Refuse(by) => return Err(IstiodTlsError::Owned { by }),
            Decision::Heal(by) => {
                let (by, secret) = (by.join(", "), &self.config.secret);
                tracing::warn!(by, secret, "istiod's serving certificate had been changed and is put right");
                "healed"
            }
            Decision::TakeOver => "written",
        };
        self.apply(kind, version, entries, true).await?;
        Ok(result)
    }

    async fn apply(
        &self,
        kind: &str,
        version: Option<&str>,
        entries: &Entries,
        force: bool,
    ) -> Result<(), IstiodTlsError> {
        let mut params = PatchParams::apply(&self.config.policy.manager);
        params.force = force;
        let body = Body::applied((&self.config.secret, kind), version, entries);
        let request = self.secrets().request().patch(&self.config.secret, &params, &Patch::Apply(&body));
        let came_back: Snapshot = self.client.read::<Secret>(request).await?.into();
        let is_kept = entries.iter().all(|(name, text)| came_back.entries.get(name) == Some(text));
        if is_kept { Ok(()) } else { Err(IstiodTlsError::Altered) }
    }

    fn secrets(&self) -> Collection {
        Collection::within(CORE, &self.config.namespace, "secrets")
    }
}

#[cfg(test)]
mod tests;
