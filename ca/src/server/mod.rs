//! The gRPC endpoint: TCP, then TLS, then HTTP/2, each with its bounds.
//!
//! Connections are accepted and served here and not by the gRPC library, so that each of them, each handshake and each
//! request is somebody's ([`peers`]), that small answers leave at once (`TCP_NODELAY`), and that whatever is asked, even
//! what no service understands, is named and counted ([`entry`]). What is served is not known here.

mod bodies;
mod budget;
mod capacity;
mod client_certificate;
mod connection;
mod entry;
mod gathering;
mod idle;
mod methods;
mod opening;
mod peers;
mod pool;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::server::NoServerSessionStorage;
use signet_identity::KeyError;
use signet_proto::istio_ca::istio_certificate_service_server::IstioCertificateServiceServer;
use signet_runtime::{Shutdown, open_files};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tonic::service::Routes;

use crate::metrics::{HandshakeFailure, Metrics};
use crate::otlp::Traces;
use crate::service::CertificateService;
use crate::serving::ServingCertificate;
use client_certificate::AnyCertificate;
use connection::Terms;
use entry::Entry;
use peers::{Limits, Peers, Room};

pub(crate) use capacity::endpoint_connections;
pub(crate) use peers::Connection;

/// Most TLS handshakes under way at once, and those of one address; more wait.
const HANDSHAKES_MAX: usize = 2_048;
const HANDSHAKES_OF_ONE_MAX: usize = 128;

/// Most requests between their headers and their answer.
const REQUESTS_MAX: usize = 8_192;

/// Most bytes that they hold, tokens that nobody has looked at yet above all.
const REQUESTS_MAX_BYTES: usize = 48 * 1024 * 1024;

/// Most streams that are open without anybody having said who opened them.
const STREAMS_MAX: usize = 1_024;

/// How long to wait after the operating system refused to accept (out of file descriptors).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Why the endpoint stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// TLS could not be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// Requests cannot be named.
    #[error("requests cannot be named")]
    Names(#[from] KeyError),
}

/// A bound endpoint.
pub(crate) struct Server {
    listener: TcpListener,
    tls: TlsAcceptor,
    /// Most of them at once.
    connections: usize,
    /// How long a connection may live.
    age_max: Option<Duration>,
    metrics: Metrics,
    traces: Traces,
}

impl Server {
    pub(crate) fn new(
        listener: TcpListener,
        certificate: Arc<ServingCertificate>,
        asks_for_certificates: bool,
        age_max: Option<Duration>,
        metrics: Metrics,
        traces: Traces,
    ) -> Result<Self, ServeError> {
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let mut config = if asks_for_certificates {
            let mut config =
                builder.with_client_cert_verifier(AnyCertificate::new(provider)).with_cert_resolver(certificate);
            // A resumed session would present again what was presented once, without showing that the key is still held.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
            config
        } else {
            builder.with_no_client_auth().with_cert_resolver(certificate)
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let files = open_files::most();
        let connections = capacity::connections(files);
        capacity::tell(files, connections);
        metrics.connections().bounded(connections);
        Ok(Self { listener, tls: TlsAcceptor::from(Arc::new(config)), connections, age_max, metrics, traces })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until shutdown begins, then until the last open request has been answered.
    pub(crate) async fn serve(
        self,
        certificates: IstioCertificateServiceServer<CertificateService>,
        others: Routes,
        shutdown: Shutdown,
    ) -> Result<(), ServeError> {
        let peers = Peers::new(Limits {
            connections: self.connections,
            handshakes: HANDSHAKES_MAX,
            handshakes_of_one: HANDSHAKES_OF_ONE_MAX,
            requests: REQUESTS_MAX,
            bytes: REQUESTS_MAX_BYTES,
            streams: STREAMS_MAX,
        });
        let entry = Entry::new(certificates, others, self.metrics.clone(), self.traces)?;
        let terms = Arc::new(Terms::new(self.tls, entry, self.age_max, self.metrics.clone()));
        let mut open = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.begun() => break,
                // An ended connection leaves nothing behind.
                Some(_) = open.join_next() => {}
                // A connection that was accepted is in the result; before that, only room goes back.
                accepted = next(&self.listener, &peers) => match accepted {
                    Ok((stream, address, Some(room))) => match peers.connect(room, address.ip(), Instant::now()) {
                        Ok(standing) => {
                            open.spawn(connection::serve(stream, standing, terms.clone(), shutdown.clone()));
                        }
                        Err(_) => self.metrics.connections().handshake_failed(HandshakeFailure::PeerShare),
                    },
                    Ok((_, _, None)) => {}
                    Err(error) => {
                        tracing::warn!(%error, "connection cannot be accepted");
                        tokio::time::sleep(ACCEPT_RETRY).await;
                    }
                },
            }
        }
        drop(self.listener);
        while open.join_next().await.is_some() {}
        Ok(())
    }
}

async fn next(listener: &TcpListener, peers: &Peers) -> io::Result<(TcpStream, SocketAddr, Option<Room>)> {
    let room = peers.room().await;
    let (stream, address) = listener.accept().await?;
    Ok((stream, address, room))
}
