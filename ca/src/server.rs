//! The gRPC endpoint: TCP, then TLS, then HTTP/2, each with its bounds.
//!
//! Connections are accepted here and not by the gRPC library, so that handshakes are bounded in number and time and
//! that small answers leave at once (`TCP_NODELAY`). What is served is not known here.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Response};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use signet_runtime::Shutdown;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::server::{Connected, TcpConnectInfo};
use tower::util::MapResponseLayer;

use crate::metrics::{HandshakeFailure, Metrics};
use crate::serving::ServingCertificate;

/// Most connections open at once; more wait in the operating system's queue.
const CONNECTIONS_MAX: usize = 16_384;

/// Most TLS handshakes under way at once.
const HANDSHAKES_MAX: usize = 512;

/// How long one handshake may take.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(3);

/// Connections that are established and not yet taken up.
const ESTABLISHED_WAITING_MAX: usize = 64;

/// How long to wait after the operating system refused to accept (out of file descriptors).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Most requests open at once on one connection.
const STREAMS_PER_CONNECTION_MAX: u32 = 128;

/// Most bytes of headers on one request: the largest token and room for others.
const HEADERS_MAX_BYTES: u32 = 64 * 1024;

/// Most time from a request's headers to its answer, so that a body sent in drops does not hold a stream.
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);

const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

const GRPC_STATUS: &str = "grpc-status";
const OUT_OF_RANGE: &str = "11";
const RESOURCE_EXHAUSTED: HeaderValue = HeaderValue::from_static("8");

/// Why the endpoint stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// TLS could not be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// The gRPC library gave up.
    #[error("gRPC server failed")]
    Grpc(#[from] tonic::transport::Error),
}

/// A bound endpoint.
pub(crate) struct Server {
    listener: TcpListener,
    tls: TlsAcceptor,
    metrics: Metrics,
}

impl Server {
    pub(crate) fn new(
        listener: TcpListener,
        certificate: Arc<ServingCertificate>,
        metrics: Metrics,
    ) -> Result<Self, ServeError> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(certificate);
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self { listener, tls: TlsAcceptor::from(Arc::new(config)), metrics })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until shutdown begins, then until the last open request has been answered.
    pub(crate) async fn serve(self, routes: Routes, shutdown: Shutdown) -> Result<(), ServeError> {
        let (established, incoming) = mpsc::channel(ESTABLISHED_WAITING_MAX);
        let accepting = accept(self.listener, self.tls, self.metrics, established, shutdown.clone());
        let serving = tonic::transport::Server::builder()
            .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
            .http2_max_header_list_size(HEADERS_MAX_BYTES)
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .timeout(REQUEST_DEADLINE)
            .layer(MapResponseLayer::new(too_large_is_exhausted))
            .add_routes(routes)
            .serve_with_incoming_shutdown(ReceiverStream::new(incoming), shutdown.begun());
        let ((), served) = tokio::join!(accepting, serving);
        Ok(served?)
    }
}

/// The gRPC library calls a message over its limit out of range; clients know it as exhausted resources. Nothing else
/// here answers the former.
fn too_large_is_exhausted(mut response: Response<Body>) -> Response<Body> {
    if response.headers().get(GRPC_STATUS).is_some_and(|status| status == OUT_OF_RANGE) {
        response.headers_mut().insert(GRPC_STATUS, RESOURCE_EXHAUSTED);
    }
    response
}

/// A connection that the gRPC library takes up; it can always be had.
type Established = Result<Connection, Infallible>;

async fn accept(
    listener: TcpListener,
    tls: TlsAcceptor,
    metrics: Metrics,
    established: mpsc::Sender<Established>,
    shutdown: Shutdown,
) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut handshakes = JoinSet::new();
    loop {
        tokio::select! {
            // A handshake that is cut off here belongs to a client that has not asked for anything yet.
            () = shutdown.begun() => return,
            // Ended handshakes have handed their connection on; there is nothing in them to lose.
            Some(_) = handshakes.join_next() => {}
            // A connection that was accepted is in the result; before that, only a permit goes back.
            accepted = next(&listener, &connections), if handshakes.len() < HANDSHAKES_MAX => match accepted {
                Ok((stream, permit)) => {
                    handshakes.spawn(handshake(stream, permit, tls.clone(), metrics.clone(), established.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "connection cannot be accepted");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            },
        }
    }
}

async fn next(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> io::Result<(TcpStream, Option<OwnedSemaphorePermit>)> {
    // The semaphore is never closed, so there always is a permit in the end.
    let permit = connections.clone().acquire_owned().await.ok();
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}

async fn handshake(
    stream: TcpStream,
    permit: Option<OwnedSemaphorePermit>,
    tls: TlsAcceptor,
    metrics: Metrics,
    established: mpsc::Sender<Established>,
) {
    let peer = stream.peer_addr().ok();
    // Without it answers wait for acknowledgements that the peer holds back; it only fails on a dead socket.
    let _ = stream.set_nodelay(true);
    match tokio::time::timeout(HANDSHAKE_DEADLINE, tls.accept(stream)).await {
        Ok(Ok(io)) => {
            metrics.connection_opened();
            let connection = Connection { io, metrics, _permit: permit };
            // Nobody takes it up any more once the server stops.
            let _ = established.send(Ok(connection)).await;
        }
        Ok(Err(error)) => {
            tracing::debug!(?peer, %error, "TLS handshake failed");
            metrics.handshake_failed(HandshakeFailure::Refused);
        }
        Err(_) => {
            tracing::debug!(?peer, "TLS handshake took too long");
            metrics.handshake_failed(HandshakeFailure::Timeout);
        }
    }
}

/// A connection that gives its place back when it ends.
struct Connection {
    io: TlsStream<TcpStream>,
    metrics: Metrics,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.metrics.connection_closed();
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.io.get_ref().0.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
