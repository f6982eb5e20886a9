//! An agent that watches the trust bundle, as a test's own client.

use signet_proto::signet_ca::trust_bundle_client::TrustBundleClient;
use signet_proto::signet_ca::{WatchRequest, WatchResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming};

use crate::lab::Lab;

pub(crate) struct Watcher {
    says: mpsc::Sender<WatchRequest>,
    hears: Streaming<WatchResponse>,
}

impl Watcher {
    /// Watches with a good token, having `generation` already.
    pub(crate) async fn start(lab: &Lab, generation: u64) -> Self {
        Self::with_token(lab, Some(&lab.token()), generation).await.expect("the watch should begin")
    }

    /// Watches with a token of the cluster that is called so.
    pub(crate) async fn in_cluster(lab: &Lab, token: &str, cluster: &str) -> Self {
        Self::open(lab, Some(token), Some(cluster), 0).await.expect("the watch should begin")
    }

    pub(crate) async fn with_token(lab: &Lab, token: Option<&str>, generation: u64) -> Result<Self, Status> {
        Self::open(lab, token, None, generation).await
    }

    async fn open(lab: &Lab, token: Option<&str>, cluster: Option<&str>, generation: u64) -> Result<Self, Status> {
        let (says, outgoing) = mpsc::channel(8);
        let mut request = Request::new(ReceiverStream::new(outgoing));
        if let Some(token) = token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        if let Some(cluster) = cluster {
            request.metadata_mut().insert("clusterid", cluster.parse().unwrap());
        }
        let mut client = TrustBundleClient::new(lab.channel().await);
        let hears = client.watch(request).await?.into_inner();
        let watcher = Self { says, hears };
        watcher.acknowledge(generation).await;
        Ok(watcher)
    }

    pub(crate) async fn acknowledge(&self, generation: u64) {
        self.says.send(WatchRequest { acknowledged_generation: generation }).await.unwrap();
    }

    /// The next bundle.
    pub(crate) async fn next(&mut self) -> WatchResponse {
        self.try_next().await.expect("the watch should go on").expect("the watch should not have ended")
    }

    pub(crate) async fn try_next(&mut self) -> Result<Option<WatchResponse>, Status> {
        let deadline = std::time::Duration::from_secs(20);
        tokio::time::timeout(deadline, self.hears.message()).await.expect("a bundle should come")
    }
}
