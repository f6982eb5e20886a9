//! A plain SDS client, as a proxy would be one, that shows every message.

use std::path::Path;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use prost::Message;
use signet_identity::{Certificate, PrivateKey, Svid, TrustBundle};
use signet_proto_envoy::pb::envoy::config::core::v3::data_source::Specifier;
use signet_proto_envoy::pb::envoy::config::core::v3::{DataSource, Node};
use signet_proto_envoy::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use signet_proto_envoy::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use signet_proto_envoy::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use signet_proto_envoy::pb::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use signet_proto_envoy::pb::google::protobuf::Any;
use signet_proto_envoy::pb::google::rpc::Status as WireStatus;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

use super::{QUIET, SOON};

const TYPE_URL: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/// One connection.
#[derive(Clone)]
pub(crate) struct Sds {
    pub(crate) channel: Channel,
}

impl Sds {
    pub(crate) async fn connect(socket: &Path) -> Self {
        Self::try_connect(socket).await.expect("the agent should accept")
    }

    pub(crate) async fn try_connect(socket: &Path) -> Option<Self> {
        let socket = socket.to_owned();
        let connector = tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let channel = Endpoint::from_static("http://agent").connect_with_connector(connector).await;
        channel.ok().map(|channel| Self { channel })
    }

    pub(crate) fn client(&self) -> SecretDiscoveryServiceClient<Channel> {
        SecretDiscoveryServiceClient::new(self.channel.clone())
    }

    /// A state-of-the-world stream, nothing sent yet.
    pub(crate) fn sotw(&self) -> Sotw {
        let (sender, receiver) = mpsc::channel(16);
        let mut client = self.client();
        let call = Box::pin(async move {
            client.stream_secrets(ReceiverStream::new(receiver)).await.map(tonic::Response::into_inner)
        });
        Sotw { sender, inbound: Inbound::Calling(call), nonce: String::new(), version: String::new(), greeted: false }
    }

    /// An incremental stream, nothing sent yet.
    pub(crate) fn delta(&self) -> Delta {
        let (sender, receiver) = mpsc::channel(16);
        let mut client = self.client();
        let call = Box::pin(async move {
            client.delta_secrets(ReceiverStream::new(receiver)).await.map(tonic::Response::into_inner)
        });
        Delta { sender, inbound: Inbound::Calling(call), nonce: String::new(), greeted: false }
    }

    /// One unary call.
    pub(crate) async fn fetch(&self, names: &[&str]) -> Result<DiscoveryResponse, Status> {
        let request =
            DiscoveryRequest { resource_names: owned(names), type_url: TYPE_URL.to_owned(), ..Default::default() };
        self.client().fetch_secrets(request).await.map(tonic::Response::into_inner)
    }
}

type Calling<T> = std::pin::Pin<Box<dyn Future<Output = Result<Streaming<T>, Status>> + Send>>;

/// The answers of a stream; the call itself is answered only with the first of them.
enum Inbound<T> {
    Calling(Calling<T>),
    Open(Box<Streaming<T>>),
}

impl<T: 'static> Inbound<T> {
    async fn next(&mut self) -> Result<Option<T>, Status> {
        loop {
            match self {
                Self::Calling(call) => *self = Self::Open(Box::new(call.await?)),
                Self::Open(stream) => return stream.message().await,
            }
        }
    }
}

pub(crate) struct Sotw {
    sender: mpsc::Sender<DiscoveryRequest>,
    inbound: Inbound<DiscoveryResponse>,
    pub(crate) nonce: String,
    pub(crate) version: String,
    greeted: bool,
}

impl Sotw {
    pub(crate) async fn send(&mut self, mut request: DiscoveryRequest) {
        if !std::mem::replace(&mut self.greeted, true) && request.node.is_none() {
            request.node = Some(Node { id: "sidecar~test".to_owned(), ..Node::default() });
        }
        self.sender.send(request).await.unwrap();
    }

    pub(crate) async fn subscribe(&mut self, names: &[&str]) {
        self.send(DiscoveryRequest {
            resource_names: owned(names),
            type_url: TYPE_URL.to_owned(),
            ..Default::default()
        })
        .await;
    }

    /// Answers the last message, with `error` a rejection.
    pub(crate) async fn answer(&mut self, names: &[&str], error: Option<&str>) {
        let (version_info, response_nonce) = (self.version.clone(), self.nonce.clone());
        self.reply(names, version_info, response_nonce, error).await;
    }

    pub(crate) async fn reply(&mut self, names: &[&str], version: String, nonce: String, error: Option<&str>) {
        let error_detail = error.map(|e| WireStatus { code: 13, message: e.to_owned(), details: Vec::new() });
        let request = DiscoveryRequest {
            version_info: version,
            resource_names: owned(names),
            type_url: TYPE_URL.to_owned(),
            response_nonce: nonce,
            error_detail,
            ..Default::default()
        };
        self.send(request).await;
    }

    /// The next message or how the stream ended.
    pub(crate) async fn next(&mut self) -> Result<DiscoveryResponse, Status> {
        let message = timeout(SOON, self.inbound.next()).await.expect("an answer should come soon")?;
        let message = message.ok_or_else(|| Status::ok("ended"))?;
        (self.nonce, self.version) = (message.nonce.clone(), message.version_info.clone());
        Ok(message)
    }

    /// The next message, acknowledged for `names`.
    pub(crate) async fn accept(&mut self, names: &[&str]) -> DiscoveryResponse {
        let message = self.next().await.unwrap();
        self.answer(names, None).await;
        message
    }

    pub(crate) async fn is_quiet(&mut self) {
        self.is_quiet_for(QUIET).await;
    }

    pub(crate) async fn is_quiet_for(&mut self, span: Duration) {
        let came = timeout(span, self.inbound.next()).await;
        assert!(
            came.is_err(),
            "nothing should come, not {:?}",
            came.map(|m| m.map(|m| m.map(|m| names(&m.resources))))
        );
    }
}

pub(crate) struct Delta {
    sender: mpsc::Sender<DeltaDiscoveryRequest>,
    inbound: Inbound<DeltaDiscoveryResponse>,
    nonce: String,
    greeted: bool,
}

impl Delta {
    pub(crate) async fn send(&mut self, mut request: DeltaDiscoveryRequest) {
        if !std::mem::replace(&mut self.greeted, true) {
            request.node = Some(Node { id: "sidecar~test".to_owned(), ..Node::default() });
        }
        TYPE_URL.clone_into(&mut request.type_url);
        self.sender.send(request).await.unwrap();
    }

    pub(crate) async fn change(&mut self, subscribe: &[&str], unsubscribe: &[&str]) {
        let (subscribe, unsubscribe) = (owned(subscribe), owned(unsubscribe));
        self.send(DeltaDiscoveryRequest {
            resource_names_subscribe: subscribe,
            resource_names_unsubscribe: unsubscribe,
            ..Default::default()
        })
        .await;
    }

    pub(crate) async fn answer(&mut self, error: Option<&str>) {
        let error_detail = error.map(|e| WireStatus { code: 13, message: e.to_owned(), details: Vec::new() });
        let response_nonce = self.nonce.clone();
        self.send(DeltaDiscoveryRequest { response_nonce, error_detail, ..Default::default() }).await;
    }

    pub(crate) async fn next(&mut self) -> Result<DeltaDiscoveryResponse, Status> {
        let message = timeout(SOON, self.inbound.next()).await.expect("an answer should come soon")?;
        let message = message.ok_or_else(|| Status::ok("ended"))?;
        self.nonce = message.nonce.clone();
        Ok(message)
    }

    pub(crate) async fn is_quiet(&mut self) {
        assert!(timeout(QUIET, self.inbound.next()).await.is_err(), "nothing should come");
    }
}

/// The names of secrets in a message.
pub(crate) fn names(resources: &[Any]) -> Vec<String> {
    resources.iter().map(|any| decode(any).name).collect()
}

/// The identity called `default` in a message: complete, its key its own.
pub(crate) fn identity<'a>(resources: impl IntoIterator<Item = &'a Any>) -> Svid {
    let secret = resources.into_iter().map(decode).find(|secret| secret.name == "default").expect("a `default`");
    let Some(Type::TlsCertificate(tls)) = secret.r#type else { panic!("`default` is no certificate") };
    let chain = Certificate::list_from_pem(&inline(tls.certificate_chain), 1 << 20).unwrap();
    let key = inline(tls.private_key);
    assert!(key.starts_with(b"-----BEGIN PRIVATE KEY-----"), "PKCS#8");
    Svid::new(chain, PrivateKey::from_pem(&key).unwrap()).unwrap()
}

/// The roots called `ROOTCA` in a message.
pub(crate) fn roots<'a>(resources: impl IntoIterator<Item = &'a Any>) -> TrustBundle {
    let secret = resources.into_iter().map(decode).find(|secret| secret.name == "ROOTCA").expect("a `ROOTCA`");
    let Some(Type::ValidationContext(context)) = secret.r#type else { panic!("`ROOTCA` is no validation context") };
    TrustBundle::from_pem("cluster.local".parse().unwrap(), &inline(context.trusted_ca)).unwrap()
}

/// A resource as a secret.
pub(crate) fn decode(any: &Any) -> Secret {
    assert_eq!(any.type_url, TYPE_URL);
    Secret::decode(any.value.as_slice()).unwrap()
}

/// The bytes of a part of a secret.
pub(crate) fn inline(source: Option<DataSource>) -> Vec<u8> {
    match source.and_then(|source| source.specifier) {
        Some(Specifier::InlineBytes(bytes)) => bytes,
        other => panic!("not inline: {other:?}"),
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
