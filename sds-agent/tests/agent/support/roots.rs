//! The CA's other service: tells its roots on their own, once the test lets it.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use signet_proto::signet_ca::trust_bundle_server::TrustBundle;
use signet_proto::signet_ca::{WatchRequest, WatchResponse};
use tokio::sync::watch;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

/// What a CA says of its roots, and what it hears.
#[derive(Clone)]
pub(crate) struct Told {
    /// `None` as long as the CA is of the kind that cannot.
    message: watch::Sender<Option<Result<WatchResponse, Status>>>,
    acknowledged: Arc<Mutex<Vec<u64>>>,
    opened: Arc<Mutex<u32>>,
}

impl Default for Told {
    fn default() -> Self {
        Self { message: watch::channel(None).0, acknowledged: Arc::default(), opened: Arc::default() }
    }
}

impl Told {
    /// From now on this is told, to those who watch too.
    pub(crate) fn tell(&self, message: WatchResponse) {
        self.message.send_replace(Some(Ok(message)));
    }

    /// From now on every watch ends like this.
    pub(crate) fn refuse(&self, status: Status) {
        self.message.send_replace(Some(Err(status)));
    }

    /// What was acknowledged so far, openings included.
    pub(crate) fn acknowledged(&self) -> Vec<u64> {
        self.acknowledged.lock().unwrap().clone()
    }

    /// Watches that were asked for so far.
    pub(crate) fn opened(&self) -> u32 {
        *self.opened.lock().unwrap()
    }
}

#[tonic::async_trait]
impl TrustBundle for Told {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<Streaming<WatchRequest>>) -> Result<Response<Self::WatchStream>, Status> {
        *self.opened.lock().unwrap() += 1;
        if self.message.borrow().is_none() {
            return Err(Status::unimplemented("unknown service signet.ca.v1.TrustBundle"));
        }
        let acknowledged = self.acknowledged.clone();
        let heard = request.into_inner().map(move |message| {
            message.map(|message| acknowledged.lock().unwrap().push(message.acknowledged_generation))
        });
        let told = tokio_stream::wrappers::WatchStream::new(self.message.subscribe()).filter_map(|message| message);
        // What is heard has no answer; only its end and errors would be seen.
        let heard = heard.filter_map(|heard| heard.err().map(Err));
        Ok(Response::new(Box::pin(told.merge(heard))))
    }
}
