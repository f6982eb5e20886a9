//! A plain SDS client (state of the world, one name a stream), as Envoy is one.

use std::path::{Path, PathBuf};

use hyper_util::rt::TokioIo;
use signet_proto_envoy::pb::envoy::config::core::v3::{DataSource, Node, data_source::Specifier};
use signet_proto_envoy::pb::envoy::extensions::transport_sockets::tls::v3 as tls;
use signet_proto_envoy::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use signet_proto_envoy::pb::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

const SECRET_TYPE: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/// Requests that may wait to be sent on one stream: the subscription and one acknowledgement.
const REQUESTS_WAITING: usize = 2;

/// Why an agent could not be asked, or did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WatchError {
    /// Nobody listens, or we may not connect.
    #[error("cannot connect to `{path}`; is the agent running, and may this user use its socket?")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the transport said.
        source: tonic::transport::Error,
    },
    /// The agent ended the stream.
    #[error("agent ended the stream: {message} ({code:?})")]
    Refused {
        /// The gRPC code.
        code: tonic::Code,
        /// Its message.
        message: String,
    },
    /// The agent closed the stream without a word.
    #[error("agent closed the stream")]
    Closed,
    /// An answer that is no secret.
    #[error("agent answered with something that is no secret")]
    Unreadable,
}

/// The public part of a secret. The private key is dropped unread.
#[derive(Debug, Clone)]
pub(crate) struct Secret {
    /// The resource's name.
    pub(crate) name: String,
    /// The server's version of it.
    pub(crate) version: String,
    /// Certificates, PEM: a chain or a bundle.
    pub(crate) certificates: Vec<u8>,
    /// Whether it is a workload certificate (with a key) or a validation context.
    pub(crate) is_identity: bool,
}

/// One open subscription.
pub(crate) struct Subscription {
    requests: mpsc::Sender<DiscoveryRequest>,
    answers: Streaming<DiscoveryResponse>,
    name: String,
}

impl Subscription {
    /// Connects to the agent's socket and asks for `name`.
    pub(crate) async fn open(socket: &Path, name: &str) -> Result<Self, WatchError> {
        let mut client = SecretDiscoveryServiceClient::new(connect(socket).await?);
        let (requests, waiting) = mpsc::channel(REQUESTS_WAITING);
        let first = DiscoveryRequest {
            node: Some(Node { id: "signet-secrets".to_owned(), ..Node::default() }),
            resource_names: vec![name.to_owned()],
            type_url: SECRET_TYPE.to_owned(),
            ..DiscoveryRequest::default()
        };
        requests.send(first).await.map_err(|_| WatchError::Closed)?;
        let answers =
            client.stream_secrets(ReceiverStream::new(waiting)).await.map_err(|status| refused(&status))?.into_inner();
        Ok(Self { requests, answers, name: name.to_owned() })
    }

    /// Waits for the next version and acknowledges it.
    pub(crate) async fn next(&mut self) -> Result<Secret, WatchError> {
        let answer = self.answers.message().await.map_err(|status| refused(&status))?.ok_or(WatchError::Closed)?;
        let acknowledgement = DiscoveryRequest {
            version_info: answer.version_info.clone(),
            resource_names: vec![self.name.clone()],
            type_url: SECRET_TYPE.to_owned(),
            response_nonce: answer.nonce.clone(),
            ..DiscoveryRequest::default()
        };
        self.requests.send(acknowledgement).await.map_err(|_| WatchError::Closed)?;
        read(answer).ok_or(WatchError::Unreadable)
    }
}

async fn connect(socket: &Path) -> Result<Channel, WatchError> {
    let path = socket.to_owned();
    // The address is only a name here: the connector always opens the socket.
    Endpoint::from_static("http://agent.invalid")
        .connect_with_connector(service_fn(move |_: Uri| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        }))
        .await
        .map_err(|source| WatchError::Connect { path: socket.to_owned(), source })
}

fn refused(status: &tonic::Status) -> WatchError {
    WatchError::Refused { code: status.code(), message: status.message().to_owned() }
}

fn read(answer: DiscoveryResponse) -> Option<Secret> {
    let resource = answer.resources.into_iter().next()?;
    let secret: tls::Secret = decode(&resource.value)?;
    let (source, is_identity) = match secret.r#type? {
        tls::secret::Type::TlsCertificate(certificate) => (certificate.certificate_chain?, true),
        tls::secret::Type::ValidationContext(context) => (context.trusted_ca?, false),
        _ => return None,
    };
    let certificates = inline(source)?;
    Some(Secret { name: secret.name, version: answer.version_info, certificates, is_identity })
}

fn decode(bytes: &[u8]) -> Option<tls::Secret> {
    prost::Message::decode(bytes).ok()
}

fn inline(source: DataSource) -> Option<Vec<u8>> {
    match source.specifier? {
        Specifier::InlineBytes(bytes) => Some(bytes),
        Specifier::InlineString(text) => Some(text.into_bytes()),
        _ => None,
    }
}
