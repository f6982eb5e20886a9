//! An SDS proxy that hands everything on as it is, but for one secret whose private key it replaces by a stranger's.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use signet_identity::PrivateKey;
use signet_proto_envoy::pb::envoy::config::core::v3::{DataSource, data_source::Specifier};
use signet_proto_envoy::pb::envoy::extensions::transport_sockets::tls::v3::{Secret, secret::Type};
use signet_proto_envoy::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use signet_proto_envoy::pb::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use signet_proto_envoy::pb::envoy::service::secret::v3::secret_discovery_service_server::{
    SecretDiscoveryService, SecretDiscoveryServiceServer,
};
use signet_proto_envoy::pb::google::protobuf::Any;
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::{Channel, Endpoint, Server, Uri};
use tonic::{Request, Response, Status, Streaming};

/// A running proxy; it ends with this value.
pub(crate) struct SpoilingProxy {
    socket: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl SpoilingProxy {
    /// Listens on `socket` and hands on to `agent`; the answer number `spoilt` (from 1) about `name` is spoilt.
    pub(crate) fn start(socket: &Path, agent: &Path, name: &str, spoilt: u32) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (listening, ready) = std::sync::mpsc::channel();
        let relay =
            Relay { agent: agent.to_owned(), name: name.to_owned(), spoilt, answers: Arc::new(AtomicU32::new(0)) };
        let path = socket.to_owned();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
            runtime.block_on(async {
                let listener = UnixListener::bind(&path).expect("the socket is free");
                listening.send(()).expect("the test waits");
                let service = SecretDiscoveryServiceServer::new(relay);
                let stop = async { drop(stopped.await) };
                let incoming = UnixListenerStream::new(listener);
                tokio::select! {
                    served = Server::builder().add_service(service).serve_with_incoming(incoming) => {
                        served.expect("the proxy serves");
                    }
                    () = stop => {}
                }
            });
        });
        ready.recv().expect("the proxy listens");
        Self { socket: socket.to_owned(), stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for SpoilingProxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Clone)]
struct Relay {
    agent: PathBuf,
    name: String,
    spoilt: u32,
    answers: Arc<AtomicU32>,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Relay {
    async fn client(&self) -> Result<SecretDiscoveryServiceClient<Channel>, Status> {
        let agent = self.agent.clone();
        Endpoint::from_static("http://agent.invalid")
            .connect_with_connector(tower::service_fn(move |_: Uri| {
                let agent = agent.clone();
                async move { tokio::net::UnixStream::connect(agent).await.map(hyper_util::rt::TokioIo::new) }
            }))
            .await
            .map(SecretDiscoveryServiceClient::new)
            .map_err(|error| Status::unavailable(error.to_string()))
    }

    /// Spoils `resource` if its turn has come.
    fn pass(&self, resource: &mut Any) {
        let mut secret: Secret = prost::Message::decode(resource.value.as_slice()).expect("the agent sends secrets");
        if secret.name != self.name || self.answers.fetch_add(1, Ordering::SeqCst) + 1 != self.spoilt {
            return;
        }
        if let Some(Type::TlsCertificate(certificate)) = &mut secret.r#type {
            let stranger = PrivateKey::generate_p256().expect("a key can be made").to_pem().as_bytes().to_vec();
            certificate.private_key =
                Some(DataSource { specifier: Some(Specifier::InlineBytes(stranger)), ..DataSource::default() });
        }
        resource.value = prost::Message::encode_to_vec(&secret);
    }
}

#[tonic::async_trait]
impl SecretDiscoveryService for Relay {
    type StreamSecretsStream = Answers<DiscoveryResponse>;
    type DeltaSecretsStream = Answers<DeltaDiscoveryResponse>;

    async fn stream_secrets(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamSecretsStream>, Status> {
        let requests = request.into_inner().map_while(Result::ok);
        let answers = self.client().await?.stream_secrets(requests).await?.into_inner();
        let relay = self.clone();
        Ok(Response::new(Box::pin(answers.map(move |answer| {
            answer.map(|mut answer| {
                answer.resources.iter_mut().for_each(|resource| relay.pass(resource));
                answer
            })
        }))))
    }

    async fn delta_secrets(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaSecretsStream>, Status> {
        let requests = request.into_inner().map_while(Result::ok);
        let answers = self.client().await?.delta_secrets(requests).await?.into_inner();
        let relay = self.clone();
        Ok(Response::new(Box::pin(answers.map(move |answer| {
            answer.map(|mut answer| {
                answer.resources.iter_mut().filter_map(|it| it.resource.as_mut()).for_each(|it| relay.pass(it));
                answer
            })
        }))))
    }

    async fn fetch_secrets(&self, request: Request<DiscoveryRequest>) -> Result<Response<DiscoveryResponse>, Status> {
        self.client().await?.fetch_secrets(request.into_inner()).await
    }
}
