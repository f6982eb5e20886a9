//! The gRPC server on the socket: SDS for proxies, the Workload API for programs, and what operators' tools expect of a
//! gRPC server.

use signet_proto::WORKLOAD_API_DESCRIPTORS;
use signet_proto_envoy::pb::envoy::service::secret::v3::secret_discovery_service_server::SecretDiscoveryServiceServer;
use signet_runtime::Shutdown;
use tonic::transport::Server;

use crate::sds::service::SdsService;
use crate::sds::{MESSAGE_MAX_BYTES, SdsListener};
use crate::workload_api::{WorkloadApi, WorkloadApiServer};

/// Most streams on one connection.
const STREAMS_MAX: u32 = 1024;

/// The encoded description of what is served, for gRPC server reflection.
const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Why the server stopped serving.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The server broke.
    #[error("gRPC server failed")]
    Server(#[from] tonic::transport::Error),
    /// The description of what is served is broken: a bug.
    #[error("descriptors are broken")]
    Descriptors(#[from] tonic_reflection::server::Error),
}

/// Serves proxies and programs on `listener` until shutdown.
///
/// # Errors
/// When the server breaks.
pub async fn serve(
    listener: SdsListener,
    proxies: SdsService,
    programs: WorkloadApi,
    shutdown: Shutdown,
) -> Result<(), ServeError> {
    let service = SecretDiscoveryServiceServer::new(proxies).max_decoding_message_size(MESSAGE_MAX_BYTES);
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<SecretDiscoveryServiceServer<SdsService>>().await;
    health.set_serving::<WorkloadApiServer>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(WORKLOAD_API_DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .add_service(service)
        .add_service(programs.into_server())
        .add_service(health_service)
        .add_service(reflection)
        .serve_with_incoming_shutdown(listener.connections(), async move { shutdown.begun().await })
        .await?;
    Ok(())
}
