//! Which Secret Istio's own root is in, where it may be `cacerts`: the usual one if it is there, and never one that an
//! operator made.

use std::time::Duration;

use kube::core::params::GetParams;
use signet_kubernetes::{ApiClient, ApiError, Collection};
use tokio::time::{Instant, sleep};

use super::CORE;
use super::object::Secret;
use crate::shared::{Entries, Snapshot};

/// Where Istio keeps its root.
pub(in crate::kubernetes) const USUAL: &str = "istio-ca-secret";

/// The entry by which Istio says that it made `cacerts` itself.
pub(in crate::kubernetes) const GENERATED: &str = "istio-generated";

/// The entries of an authority, by Istio's names and by those of a TLS Secret.
const AUTHORITY: [&str; 4] = ["ca-cert.pem", "ca-key.pem", "tls.crt", "tls.key"];

/// How long a start waits for the API server, and how often it asks.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(500);

/// Why it is not known where the authority is.
#[derive(Debug, thiserror::Error)]
pub enum CacertsError {
    /// No answer.
    #[error("where the authority is kept cannot be asked")]
    Api(#[from] ApiError),
    /// An operator's.
    #[error(
        "secret {namespace}/{name} was not made by Istio or here, as it has no `istio-generated`: mount it and set \
         `authority.plugged_in_dir`, or leave out `authority.use_cacerts`"
    )]
    PluggedIn {
        /// The Secret's namespace.
        namespace: String,
        /// The Secret's name.
        name: String,
    },
}

/// The name of the Secret that holds the authority, or is to: `cacerts` unless the usual one is there.
pub(in crate::kubernetes) async fn settle(
    client: &ApiClient,
    namespace: &str,
    cacerts: &str,
) -> Result<String, CacertsError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look(client, namespace, cacerts).await {
            Err(CacertsError::Api(error)) if Instant::now() < deadline => {
                tracing::debug!(%error, "where the authority is kept cannot be asked yet");
                sleep(POLL).await;
            }
            settled => return settled,
        }
    }
}

async fn look(client: &ApiClient, namespace: &str, cacerts: &str) -> Result<String, CacertsError> {
    // An empty one stands there so that it can be written to, and holds nothing.
    if read(client, namespace, USUAL).await?.is_some_and(|entries| !entries.is_empty()) {
        tracing::info!(secret = USUAL, "the authority is there, and not in the other Secret");
        return Ok(USUAL.to_owned());
    }
    let found = read(client, namespace, cacerts).await?.unwrap_or_default();
    let holds_authority = AUTHORITY.iter().any(|name| found.get(*name).is_some_and(|text| !text.is_empty()));
    if holds_authority && !found.contains_key(GENERATED) {
        return Err(CacertsError::PluggedIn { namespace: namespace.to_owned(), name: cacerts.to_owned() });
    }
    Ok(cacerts.to_owned())
}

async fn read(client: &ApiClient, namespace: &str, name: &str) -> Result<Option<Entries>, ApiError> {
    let request = Collection::within(CORE, namespace, "secrets").request().get(name, &GetParams::default());
    let secret: Option<Secret> = client.find(request).await?;
    Ok(secret.map(|secret| Snapshot::from(secret).entries))
}
