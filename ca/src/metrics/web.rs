//! What is counted of the endpoints with public documents.

use std::fmt;

use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use signet_identity::Timestamp;

/// Which endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WebEndpoint {
    /// OpenID Connect discovery and token keys.
    Oidc,
    /// The SPIFFE bundle.
    Bundle,
}

impl WebEndpoint {
    fn as_str(self) -> &'static str {
        match self {
            Self::Oidc => "oidc",
            Self::Bundle => "bundle",
        }
    }
}

impl fmt::Display for WebEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabels {
    endpoint: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    endpoint: &'static str,
    /// One of the few that there are answers with.
    status: u16,
}

/// Counters of endpoints. Cheap to clone; clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct WebMetrics {
    answers: Family<AnswerLabels, Counter>,
    handshake_failures: Family<EndpointLabels, Counter>,
    certificate_ends: Family<EndpointLabels, Gauge>,
}

impl WebMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("signet_ca_web_answers", "Answers of endpoints with public documents", self.answers.clone());
        registry.register(
            "signet_ca_web_handshake_failures",
            "Connections to them that ended before TLS was established",
            self.handshake_failures.clone(),
        );
        registry.register(
            "signet_ca_web_certificate_expiry_timestamp",
            "Unix time at which a serving certificate from files ends",
            self.certificate_ends.clone(),
        );
    }

    pub(crate) fn answered(&self, endpoint: WebEndpoint, status: StatusCode) {
        self.answers.get_or_create(&AnswerLabels { endpoint: endpoint.as_str(), status: status.as_u16() }).inc();
    }

    pub(crate) fn handshake_failed(&self, endpoint: WebEndpoint) {
        self.handshake_failures.get_or_create(&EndpointLabels { endpoint: endpoint.as_str() }).inc();
    }

    pub(crate) fn certificate_ends(&self, endpoint: WebEndpoint, at: Timestamp) {
        self.certificate_ends.get_or_create(&EndpointLabels { endpoint: endpoint.as_str() }).set(at.unix_secs());
    }
}
