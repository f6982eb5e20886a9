//! Connections: how many there are, how many there may be, and those that never became one.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::ReasonLabels;

/// Why a connection did not become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeFailure {
    /// The TLS library refused, or the peer went away.
    Refused,
    /// The peer took too long.
    Timeout,
    /// The peer's address holds as many connections as are left for all others.
    PeerShare,
    /// The peer did not begin to speak HTTP/2.
    Silent,
}

/// What is counted of connections.
#[derive(Debug, Default)]
pub struct ConnectionMetrics {
    open: Gauge,
    most: Gauge,
    failures: Family<ReasonLabels, Counter>,
}

impl ConnectionMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("signet_ca_connections", "Connections open now", self.open.clone());
        registry.register("signet_ca_connections_max", "Most connections at once", self.most.clone());
        let help = "Connections that ended before TLS was established";
        registry.register("signet_ca_handshake_failures", help, self.failures.clone());
    }

    pub(crate) fn bounded(&self, most: usize) {
        self.most.set(i64::try_from(most).unwrap_or(i64::MAX));
    }

    pub(crate) fn opened(&self) {
        self.open.inc();
    }

    pub(crate) fn closed(&self) {
        self.open.dec();
    }

    pub(crate) fn handshake_failed(&self, why: HandshakeFailure) {
        let reason = match why {
            HandshakeFailure::Refused => "refused",
            HandshakeFailure::Timeout => "timeout",
            HandshakeFailure::PeerShare => "peer_share",
            HandshakeFailure::Silent => "silent",
        };
        self.failures.get_or_create(&ReasonLabels { reason }).inc();
    }
}
