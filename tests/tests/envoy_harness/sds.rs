//! A small SDS server on a Unix socket: one identity, answered once a stream, both protocols.
//!
//! It does what a proxy needs to start and no more; rotation and refusals are the agent's matter.

use std::path::Path;
use std::pin::Pin;
use std::sync::mpsc;
use std::thread::JoinHandle;

use signet_proto_envoy::pack_any;
use signet_proto_envoy::pb::envoy::config::core::v3::DataSource;
use signet_proto_envoy::pb::envoy::config::core::v3::data_source::Specifier;
use signet_proto_envoy::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use signet_proto_envoy::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, Secret, TlsCertificate,
};
use signet_proto_envoy::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
};
use signet_proto_envoy::pb::envoy::service::secret::v3::secret_discovery_service_server::{
    SecretDiscoveryService, SecretDiscoveryServiceServer,
};
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

const SECRET_TYPE: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/// What one proxy is to hold.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) chain_pem: String,
    pub(crate) key_pem: String,
    pub(crate) roots_pem: String,
}

/// A running server. It ends with this value.
pub(crate) struct SdsServer {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl SdsServer {
    /// Listens once this returns.
    pub(crate) fn start(socket: &Path, identity: Identity) -> Self {
        let socket = socket.to_owned();
        let (stop, stopped) = oneshot::channel();
        let (started, starts) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be made").block_on(async move {
                let listener = UnixListener::bind(socket).expect("the socket can be bound");
                started.send(()).expect("the test waits");
                let serve = tonic::transport::Server::builder()
                    .add_service(SecretDiscoveryServiceServer::new(identity))
                    .serve_with_incoming(UnixListenerStream::new(listener));
                tokio::select! {
                    served = serve => served.expect("the server serves until it is stopped"),
                    _ = stopped => {}
                }
            });
        });
        starts.recv().expect("the server starts");
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for SdsServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the server has failed the test already.
            let _ = thread.join();
        }
    }
}

impl Identity {
    /// The named secret; an unknown name is a mistake of the test.
    fn secret(&self, name: &str) -> Result<Secret, Status> {
        let kind = match name {
            "default" => Type::TlsCertificate(TlsCertificate {
                certificate_chain: inline(&self.chain_pem),
                private_key: inline(&self.key_pem),
                ..TlsCertificate::default()
            }),
            "ROOTCA" => Type::ValidationContext(CertificateValidationContext {
                trusted_ca: inline(&self.roots_pem),
                ..CertificateValidationContext::default()
            }),
            _ => return Err(Status::not_found(format!("no secret `{name}`"))),
        };
        Ok(Secret { name: name.to_owned(), r#type: Some(kind) })
    }

    /// Answers the first request of a stream; every later one is an acknowledgement.
    fn answer(&self, request: &DiscoveryRequest) -> Option<Result<DiscoveryResponse, Status>> {
        if !request.response_nonce.is_empty() {
            return None;
        }
        let secrets = request.resource_names.iter().map(|name| Ok(pack_any(self.secret(name)?)));
        Some(secrets.collect::<Result<_, _>>().map(|resources| DiscoveryResponse {
            version_info: "1".to_owned(),
            nonce: "1".to_owned(),
            type_url: SECRET_TYPE.to_owned(),
            resources,
            ..DiscoveryResponse::default()
        }))
    }

    /// Answers what is newly asked for; acknowledgements ask for nothing.
    fn answer_delta(&self, request: DeltaDiscoveryRequest) -> Option<Result<DeltaDiscoveryResponse, Status>> {
        if request.resource_names_subscribe.is_empty() {
            return None;
        }
        let resources = request.resource_names_subscribe.into_iter().map(|name| {
            Ok(Resource {
                resource: Some(pack_any(self.secret(&name)?)),
                name,
                version: "1".to_owned(),
                ..Resource::default()
            })
        });
        Some(resources.collect::<Result<_, _>>().map(|resources| DeltaDiscoveryResponse {
            nonce: "1".to_owned(),
            type_url: SECRET_TYPE.to_owned(),
            resources,
            ..DeltaDiscoveryResponse::default()
        }))
    }
}

fn inline(pem: &str) -> Option<DataSource> {
    let specifier = Some(Specifier::InlineBytes(pem.as_bytes().to_vec()));
    Some(DataSource { specifier, ..DataSource::default() })
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl SecretDiscoveryService for Identity {
    type StreamSecretsStream = Answers<DiscoveryResponse>;
    type DeltaSecretsStream = Answers<DeltaDiscoveryResponse>;

    async fn stream_secrets(
        &self,
        requests: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamSecretsStream>, Status> {
        let identity = self.clone();
        let answers = requests.into_inner().filter_map(move |request| match request {
            Ok(request) => identity.answer(&request),
            Err(status) => Some(Err(status)),
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn delta_secrets(
        &self,
        requests: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaSecretsStream>, Status> {
        let identity = self.clone();
        let answers = requests.into_inner().filter_map(move |request| match request {
            Ok(request) => identity.answer_delta(request),
            Err(status) => Some(Err(status)),
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn fetch_secrets(&self, _request: Request<DiscoveryRequest>) -> Result<Response<DiscoveryResponse>, Status> {
        Err(Status::unimplemented("proxies stream"))
    }
}
