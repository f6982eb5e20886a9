//! The proxy's side: streams that ask for one secret each, acknowledge it and go idle.

use std::path::Path;

use hyper_util::rt::TokioIo;
use signet_proto_envoy::pb::envoy::config::core::v3::Node;
use signet_proto_envoy::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use signet_proto_envoy::pb::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

use crate::Fallible;

/// An idle stream; it ends when dropped.
pub(crate) struct Held {
    _requests: mpsc::Sender<DiscoveryRequest>,
    _answers: Streaming<DiscoveryResponse>,
}

/// Opens `count` streams over `connections`, each answered once and acknowledged.
pub(crate) async fn open(socket: &Path, count: usize, connections: usize, node_bytes: usize) -> Fallible<Vec<Held>> {
    let mut held = Vec::with_capacity(count);
    for connection in 0..connections {
        let channel = connect(socket).await?;
        let share = count / connections + usize::from(connection < count % connections);
        for _ in 0..share {
            held.push(open_one(channel.clone(), node_bytes).await?);
        }
    }
    Ok(held)
}

pub(crate) async fn connect(socket: &Path) -> Fallible<Channel> {
    let socket = socket.to_owned();
    let connector = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    Ok(Endpoint::from_static("http://agent").connect_with_connector(connector).await?)
}

/// Asks for `default`, waits for it, acknowledges it.
pub(crate) async fn open_one(channel: Channel, node_bytes: usize) -> Fallible<Held> {
    let (requests, receiver) = mpsc::channel(1);
    let node = Some(Node { id: "bench".to_owned(), cluster: "x".repeat(node_bytes), ..Node::default() });
    let resource_names = vec!["default".to_owned()];
    requests.send(DiscoveryRequest { node, resource_names: resource_names.clone(), ..Default::default() }).await?;
    let call = SecretDiscoveryServiceClient::new(channel).stream_secrets(ReceiverStream::new(receiver)).await;
    let mut answers = call?.into_inner();
    let answer = answers.message().await?.ok_or("the stream ended")?;
    let (version_info, response_nonce) = (answer.version_info, answer.nonce);
    requests.send(DiscoveryRequest { resource_names, version_info, response_nonce, ..Default::default() }).await?;
    Ok(Held { _requests: requests, _answers: answers })
}
