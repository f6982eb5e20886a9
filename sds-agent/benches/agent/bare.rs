//! A gRPC server that does as little as one can with SDS streams: answers the first message with a fixed secret of
//! the usual size, then waits.

use std::path::Path;
use std::pin::Pin;

use futures_util::Stream;
use futures_util::stream::unfold;
use signet_proto_envoy::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use signet_proto_envoy::pb::envoy::service::secret::v3::secret_discovery_service_server::{
    SecretDiscoveryService, SecretDiscoveryServiceServer,
};
use signet_proto_envoy::pb::google::protobuf::Any;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use crate::Fallible;

/// The argument that makes this program a bare server.
pub(crate) const MODE: &str = "--bare-server";

/// Bytes of a chain of one certificate and a P-256 key in PEM.
const SECRET_BYTES: usize = 1_100;

struct Bare;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl SecretDiscoveryService for Bare {
    type StreamSecretsStream = Answers<DiscoveryResponse>;
    type DeltaSecretsStream = Answers<DeltaDiscoveryResponse>;

    async fn stream_secrets(
        &self,
        call: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamSecretsStream>, Status> {
        let answers = unfold((call.into_inner(), false), |(mut inbound, answered)| async move {
            loop {
                inbound.message().await.ok()??;
                if !answered {
                    return Some((Ok(answer()), (inbound, true)));
                }
            }
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn delta_secrets(
        &self,
        _: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaSecretsStream>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn fetch_secrets(&self, _: Request<DiscoveryRequest>) -> Result<Response<DiscoveryResponse>, Status> {
        Ok(Response::new(answer()))
    }
}

fn answer() -> DiscoveryResponse {
    let secret = Any { type_url: "type".to_owned(), value: vec![b'x'; SECRET_BYTES] };
    DiscoveryResponse { resources: vec![secret], nonce: "1".to_owned(), ..DiscoveryResponse::default() }
}

pub(crate) async fn serve(socket: &Path) -> Fallible<()> {
    let incoming = UnixListenerStream::new(UnixListener::bind(socket)?);
    Ok(Server::builder().add_service(SecretDiscoveryServiceServer::new(Bare)).serve_with_incoming(incoming).await?)
}
