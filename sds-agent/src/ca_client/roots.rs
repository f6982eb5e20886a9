//! The watch on the CA's roots: how it is opened. What is done with what it tells is not known here.

use signet_identity::Svid;
use signet_proto::signet_ca::trust_bundle_client::TrustBundleClient;
use signet_proto::signet_ca::{WatchRequest, WatchResponse};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::{Request, Streaming};

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
        let by_token = match self.by_token() {
            Ok(proof) => self.open_watch(&proof).await,
            Err(error) => Err(error),
        };
        let error = match by_token {
            Ok(watch) => return Ok(watch),
            Err(error) => error,
        };
        let error = match self.instead(&error, held) {
            None => error,
            Some(proof) => match self.open_watch(&proof).await {
                Ok(watch) => return Ok(watch),
                Err(other) => error.also(other),
            },
        };
        if error.is_the_places() {
            self.move_on();
        }
        Err(error)
    }

    async fn open_watch(&self, proof: &Proof<'_>) -> Result<RootsWatch, RequestError> {
        let roots = channel::Roots::read(&self.ca.root_file)?;
        let (says, acknowledged) = mpsc::channel(ACKNOWLEDGEMENTS_MAX);
        let mut request = Request::new(Acknowledgements(acknowledged));
        self.write_headers(request.metadata_mut(), proof)?;
        let deadline = self.ca.deadline;
        let open = async {
            let channel = channel::connect(self.place(), &roots, proof.certificate()).await?;
            let mut client = TrustBundleClient::new(channel).max_decoding_message_size(ANSWER_MAX_BYTES);
            let answer = client.watch(request).await.map_err(|status| RequestError::refused(&status))?;
            Ok(RootsWatch { says, hears: answer.into_inner() })
        };
        timeout(deadline, open).await.unwrap_or(Err(RequestError::Deadline { deadline }))
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

/// What is acknowledged, as a stream.
struct Acknowledgements(mpsc::Receiver<WatchRequest>);

impl futures_util::Stream for Acknowledgements {
    type Item = WatchRequest;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}
