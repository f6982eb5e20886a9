//! The watch on the CA's roots: how it is opened. What is done with what it tells is not known here.

use signet_proto::signet_ca::trust_bundle_client::TrustBundleClient;
use signet_proto::signet_ca::{WatchRequest, WatchResponse};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::{Request, Streaming};

use super::{ANSWER_MAX_BYTES, CaClient, RequestError, channel};

impl CaClient {
    /// Opens a watch with the credential and roots of this moment; `acknowledgements` are sent on it for as long as it
    /// is open.
    ///
    /// # Errors
    /// What stood in the way: the credential, the roots, the connection, the deadline, or the CA's refusal.
    pub async fn watch_roots(
        &self,
        acknowledgements: mpsc::Receiver<WatchRequest>,
    ) -> Result<Streaming<WatchResponse>, RequestError> {
        let token = self.token()?;
        // As for a certificate: a token of somebody else is not shown.
        self.wanted(&token)?;
        let roots = channel::Roots::read(&self.ca.root_file)?;
        let mut request = Request::new(Acknowledgements(acknowledgements));
        self.write_headers(request.metadata_mut(), &token)?;
        let deadline = self.ca.deadline;
        let open = async {
            let channel = channel::connect(&self.ca, &roots).await?;
            let mut client = TrustBundleClient::new(channel).max_decoding_message_size(ANSWER_MAX_BYTES);
            let answer = client.watch(request).await.map_err(|status| RequestError::refused(&status))?;
            Ok(answer.into_inner())
        };
        timeout(deadline, open).await.unwrap_or(Err(RequestError::Deadline { deadline }))
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
