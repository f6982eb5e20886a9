//! `signet.ca.v1.TrustBundle` on the wire.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use signet_identity::Timestamp;
use signet_proto::signet_ca::trust_bundle_server::TrustBundle;
use signet_proto::signet_ca::{WatchRequest, WatchResponse};
use signet_runtime::Shutdown;
use signet_runtime::tasks::chain;
use tokio_stream::Stream;
use tonic::{Code, Request, Response, Status, Streaming};

use super::Acknowledgements;
use super::places::{Full, Places};
use super::watch::Watch;
use crate::authenticate::Caller;
use crate::call::{self, Origin};
use crate::issue::{Issuer, try_again_after};

/// Largest message of a watcher, in bytes; it only holds a number.
pub(crate) const REQUEST_MAX_BYTES: usize = 1024;

/// When to come back to a server that has no place.
const FULL_RETRY: Duration = Duration::from_secs(30);

/// The service.
pub(crate) struct TrustBundleService {
    issuer: Arc<Issuer>,
    acknowledgements: Acknowledgements,
    places: Places,
    shutdown: Shutdown,
}

impl TrustBundleService {
    pub(crate) fn new(issuer: Arc<Issuer>, acknowledgements: Acknowledgements, shutdown: Shutdown) -> Self {
        Self { issuer, acknowledgements, places: Places::default(), shutdown }
    }
}

#[tonic::async_trait]
impl TrustBundle for TrustBundleService {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<Streaming<WatchRequest>>) -> Result<Response<Self::WatchStream>, Status> {
        let origin = Origin::of(&request);
        let (metadata, _, incoming) = request.into_parts();
        let now = Timestamp::from(self.issuer.clock.now());
        let caller = match self.issuer.authenticator.identify(origin.credential(&metadata), now).await {
            Ok(caller) => {
                origin.judged(Some(true));
                caller
            }
            Err(error) => {
                if let Some(left_out) = origin.line() {
                    let (request_id, peer, reason) = (&origin.request_id, origin.peer, error.reason());
                    tracing::warn!(request_id, ?peer, reason, error = chain(&error), left_out, "watch refused");
                }
                origin.judged((!error.is_undecided()).then_some(false));
                let (code, text) = call::unidentified(&error);
                return Err(call::refusal(code, text, error.is_undecided().then(try_again_after)));
            }
        };
        let place = self.places.take(place_of(&caller)).map_err(|full| {
            tracing::warn!(request_id = origin.request_id, identity = %caller.id(), ?full, "watch refused");
            match full {
                Full::Server => call::refusal(Code::ResourceExhausted, "too many watchers", Some(FULL_RETRY)),
                Full::Caller => call::refusal(Code::ResourceExhausted, "too many watchers of this caller", None),
            }
        })?;
        tracing::debug!(request_id = origin.request_id, identity = %caller.id(), "watch begins");
        let watcher = self.acknowledgements.watcher();
        let (authority, own) = (self.issuer.authority.clone(), caller.id().trust_domain_name().to_owned());
        let watch = Watch::new(incoming, authority, own, watcher, place, self.shutdown.clone());
        Ok(Response::new(Box::pin(watch.into_stream())))
    }
}

/// Whose place it is: a pod's, where the caller is one. Clusters may have pods of one UID.
fn place_of(caller: &Caller) -> String {
    let holder = caller.pod().map_or(caller.id().as_str(), |pod| pod.uid.as_str());
    format!("{}/{holder}", caller.cluster().unwrap_or_default())
}
