//! The watch on the CA's roots: how it is opened. What is done with what it tells is not known here.

use signet_identity::Svid;
use signet_proto::signet_ca::trust_bundle_client::TrustBundleClient;
use signet_proto::signet_ca::{WatchRequest, WatchResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{ANSWER_MAX_BYTES, CaClient, Proof, RequestError, channel};

/// Acknowledgements that may wait to be sent: there is one for each generation, and the CA reads them.
const ACKNOWLEDGEMENTS_MAX: usize = 8;

impl CaClient {
    /// Opens a watch with the roots of this moment and the token; where that is good for nothing, with the certificate
    /// held. Says what to acknowledge through, and what the CA tells.
    ///
    /// # Errors
    /// What stood in the way: the credential, the roots, the connection, the deadline, or the CA's refusal.
    pub async fn watch_roots(&self, held: Option<&Svid>) -> Result<RootsWatch, RequestError> {
        let opened = self.prove(held, |proof| self.open_watch(proof)).await;
        opened.map(|(watch, _)| watch).inspect_err(|error| self.pass_over(error))
    }

    async fn open_watch(&self, proof: Proof<'_>) -> Result<RootsWatch, RequestError> {
        let roots = channel::Roots::read(&self.ca.root_file)?;
        let (says, acknowledged) = mpsc::channel(ACKNOWLEDGEMENTS_MAX);
        let request = self.with_headers(&proof, ReceiverStream::new(acknowledged))?;
        let exchange = self.exchange(&roots, &proof, |channel| async move {
            let mut client = TrustBundleClient::new(channel).max_decoding_message_size(ANSWER_MAX_BYTES);
            client.watch(request).await
        });
        Ok(RootsWatch { says, hears: exchange.await? })
    }
}

/// A watch that is open.
#[derive(Debug)]
pub struct RootsWatch {
    says: mpsc::Sender<WatchRequest>,
    /// What the CA tells.
    pub hears: Streaming<WatchResponse>,
}

impl RootsWatch {
    /// Acknowledges a generation; zero only opens the watch. Where the CA does not read, nothing is said: the next one
    /// makes up for it.
    pub fn acknowledge(&self, acknowledged_generation: u64) {
        let _ = self.says.try_send(WatchRequest { acknowledged_generation });
    }
}
