//! The methods that can be called, by their paths: a closed list, so that no caller makes series of metrics grow.

use std::sync::Arc;

use crate::metrics::{GrpcMethod, MethodLabels, Metrics};

/// One method.
#[derive(Debug, Clone)]
pub(super) struct Method {
    pub(super) path: &'static str,
    /// Whether its callers show who they are.
    pub(super) has_caller: bool,
    /// Whether its answer goes on.
    pub(super) is_stream: bool,
    pub(super) counters: Arc<GrpcMethod>,
}

const UNARY: &str = "unary";
const SERVER_STREAM: &str = "server_stream";
const BIDI_STREAM: &str = "bidi_stream";

const CREATE_CERTIFICATE: &str = "/istio.v1.auth.IstioCertificateService/CreateCertificate";

/// Everything else that has a name of its own: type, path, and whether its callers show who they are.
const OTHERS: [(&str, &str, bool); 5] = [
    (UNARY, "/signet.ca.v1.Identity/MintJwt", true),
    (BIDI_STREAM, "/signet.ca.v1.TrustBundle/Watch", true),
    (UNARY, "/grpc.health.v1.Health/Check", false),
    (SERVER_STREAM, "/grpc.health.v1.Health/Watch", false),
    (BIDI_STREAM, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", false),
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
        let method = |kind, path: &'static str, has_caller| {
            let (service, name) = path.trim_start_matches('/').split_once('/').unwrap_or((path, path));
            let labels = MethodLabels { grpc_type: kind, grpc_service: service, grpc_method: name };
            Method { path, has_caller, is_stream: kind != UNARY, counters: metrics.grpc_method(labels) }
        };
        Self {
            create_certificate: method(UNARY, CREATE_CERTIFICATE, true),
            others: OTHERS.into_iter().map(|(kind, path, has_caller)| method(kind, path, has_caller)).collect(),
            unknown: method(UNARY, "/unknown/unknown", false),
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
