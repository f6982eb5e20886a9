//! The Unix socket for proxies and programs: see [`UnixSocket`] for who owns the path and who may connect.

use std::io;

use futures_util::Stream;
use futures_util::stream::unfold;
use signet_runtime::unix_socket::{Admitted, SocketOptions};
use signet_runtime::{HealthHandle, UnixSocket};

pub use signet_runtime::unix_socket::BindError;

use crate::config::SdsConfig;
use crate::metrics::Metrics;
use crate::sds::connection::Connection;

/// The bound socket. Dropping it removes the path, if that is still ours.
#[derive(Debug)]
pub struct SdsListener {
    socket: UnixSocket,
    metrics: Metrics,
}

impl SdsListener {
    /// Binds the path of `config`.
    ///
    /// # Errors
    /// Every variant of [`BindError`].
    pub fn bind(config: &SdsConfig, health: HealthHandle, metrics: Metrics) -> Result<Self, BindError> {
        let options = SocketOptions {
            path: config.socket.clone(),
            mode: config.mode.bits(),
            allowed_uids: config.allowed_uids.clone(),
            setting: "sds.socket",
        };
        Ok(Self { socket: UnixSocket::bind(options, health)?, metrics })
    }

    /// Connections of peers that may connect, without end.
    pub fn connections(self) -> impl Stream<Item = io::Result<Connection>> + Send {
        unfold(self, |mut listener| async move {
            let metrics = &listener.metrics;
            let Admitted { stream, place } = listener.socket.accept(|why| metrics.peer_denied(why.name())).await;
            Some((Ok(Connection::new(stream, place)), listener))
        })
    }
}
