//! The methods that can be called, by their paths: a closed list, so that no caller makes series of metrics grow.

use std::sync::Arc;

use crate::metrics::{GrpcMethod, MethodLabels, Metrics};

/// One method.
#[derive(Debug, Clone)]
pub(super) struct Method {
    path: &'static str,
    /// Whether it costs so much that an address may only take its share.
    pub(super) is_costly: bool,
    pub(super) counters: Arc<GrpcMethod>,
}

const CREATE_CERTIFICATE: &str = "/istio.v1.auth.IstioCertificateService/CreateCertificate";
const MINT_JWT: &str = "/signet.ca.v1.Identity/MintJwt";
const WATCH: &str = "/signet.ca.v1.TrustBundle/Watch";

/// Everything else that has a name of its own: type and path.
const OTHERS: [(&str, &str); 3] = [
    ("unary", "/grpc.health.v1.Health/Check"),
    ("server_stream", "/grpc.health.v1.Health/Watch"),
    ("bidi_stream", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"),
];

/// All of them.
#[derive(Debug, Clone)]
pub(super) struct Methods {
    /// The one that nearly every request is for.
    pub(super) create_certificate: Method,
    others: Arc<[Method]>,
    unknown: Method,
}

impl Methods {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let method = |kind, path: &'static str, is_costly| {
            let (service, name) = path.trim_start_matches('/').split_once('/').unwrap_or((path, path));
            let labels = MethodLabels { grpc_type: kind, grpc_service: service, grpc_method: name };
            Method { path, is_costly, counters: metrics.grpc_method(labels) }
        };
        let cheap = OTHERS.into_iter().map(|(kind, path)| method(kind, path, false));
        Self {
            create_certificate: method("unary", CREATE_CERTIFICATE, true),
            others: [method("unary", MINT_JWT, true), method("bidi_stream", WATCH, true)]
                .into_iter()
                .chain(cheap)
                .collect(),
            unknown: method("unary", "/unknown/unknown", false),
        }
    }

    /// The method at `path`, and whether it is the one that nearly every request is for.
    pub(super) fn at(&self, path: &str) -> (&Method, bool) {
        if path == self.create_certificate.path {
            return (&self.create_certificate, true);
        }
        (self.others.iter().find(|method| method.path == path).unwrap_or(&self.unknown), false)
    }
}
