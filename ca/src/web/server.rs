//! The HTTPS endpoint: TCP, then TLS, then HTTP/1.1, each with its bounds. Nobody is asked for a certificate.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::server::ResolvesServerCert;
use signet_runtime::{Shutdown, open_files};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::answer::Site;
use crate::metrics::{WebEndpoint, WebMetrics};
use crate::server::endpoint_connections;

/// How long one handshake may take.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);

/// How long the head of a request may take, from the connection's start or the end of the answer before.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);

/// How long one connection may last. A reader that comes every few minutes gains nothing from a kept one.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(60);

/// Most bytes of a request's head; most header lines in it.
const HEAD_MAX_BYTES: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;

/// How long an answer may take to leave once shutdown has begun.
const DRAIN_DEADLINE: Duration = Duration::from_secs(1);

/// How long to wait after the operating system refused to accept (out of file descriptors).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Why an endpoint cannot be opened, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// TLS could not be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
}

/// A bound endpoint.
pub(crate) struct WebServer {
    endpoint: WebEndpoint,
    listener: TcpListener,
    address: SocketAddr,
    tls: TlsAcceptor,
    metrics: WebMetrics,
}

impl WebServer {
    /// Binds `address`; port 0 picks a free one.
    ///
    /// # Errors
    /// Every variant of [`WebError`].
    pub(crate) async fn bind(
        endpoint: WebEndpoint,
        address: SocketAddr,
        certificate: Arc<dyn ResolvesServerCert>,
        metrics: WebMetrics,
    ) -> Result<Self, WebError> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(certificate);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let cannot_listen = |source| WebError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(cannot_listen)?;
        let address = listener.local_addr().map_err(cannot_listen)?;
        Ok(Self { endpoint, listener, address, tls: TlsAcceptor::from(Arc::new(config)), metrics })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `site` until shutdown begins, then until the last open request has been answered.
    ///
    /// # Errors
    /// None.
    pub(crate) async fn serve(self, site: Site, shutdown: Shutdown) -> Result<(), WebError> {
        let visits = Visits { endpoint: self.endpoint, tls: self.tls, site, metrics: self.metrics };
        // More wait in the operating system's queue.
        let most = endpoint_connections(open_files::most());
        let (permits, mut open) = (Arc::new(Semaphore::new(most)), JoinSet::new());
        loop {
            let accept = async {
                // The semaphore is never closed, so there always is a permit in the end.
                let permit = permits.clone().acquire_owned().await.ok();
                self.listener.accept().await.map(|(stream, _)| (stream, permit))
            };
            tokio::select! {
                // What is open is joined below.
                () = shutdown.begun() => break,
                // An ended connection has nothing left to lose.
                Some(_) = open.join_next() => {}
                // A connection that was accepted is in the result; before that, only a permit goes back.
                accepted = accept => match accepted {
                    Ok((stream, permit)) => {
                        let (visits, shutdown) = (visits.clone(), shutdown.clone());
                        open.spawn(async move {
                            visits.receive(stream, &shutdown).await;
                            drop(permit);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "connection cannot be accepted");
                        tokio::time::sleep(ACCEPT_RETRY).await;
                    }
                },
            }
        }
        while open.join_next().await.is_some() {}
        Ok(())
    }
}

#[derive(Clone)]
struct Visits {
    endpoint: WebEndpoint,
    tls: TlsAcceptor,
    site: Site,
    metrics: WebMetrics,
}

impl Visits {
    async fn receive(&self, stream: TcpStream, shutdown: &Shutdown) {
        // It only fails on a dead socket.
        let _ = stream.set_nodelay(true);
        let accepted = tokio::time::timeout(HANDSHAKE_DEADLINE, self.tls.accept(stream)).await;
        let Ok(Ok(stream)) = accepted else {
            self.metrics.handshake_failed(self.endpoint);
            return;
        };
        let service = service_fn(|request: http::Request<Incoming>| {
            let response = self.site.answer(request.method(), request.uri().path(), request.headers());
            self.metrics.answered(self.endpoint, response.status());
            std::future::ready(Ok::<_, std::convert::Infallible>(response))
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_DEADLINE)
            .max_buf_size(HEAD_MAX_BYTES)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        // How a visitor leaves is no concern of ours.
        tokio::select! {
            _ = connection.as_mut() => {}
            // The connection is cut: it took too long.
            () = tokio::time::sleep(CONNECTION_DEADLINE) => {}
            // The connection goes on below, until its answer is out.
            () = shutdown.begun() => {
                connection.as_mut().graceful_shutdown();
                let _ = tokio::time::timeout(DRAIN_DEADLINE, connection).await;
            }
        }
    }
}
