//! The customary metrics of gRPC servers, for the one method of the CA API.

use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tonic::Code;

use super::LATENCY_BUCKETS_SECS;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    grpc_type: &'static str,
    grpc_service: &'static str,
    grpc_method: &'static str,
}

const CREATE_CERTIFICATE: MethodLabels = MethodLabels {
    grpc_type: "unary",
    grpc_service: "istio.v1.auth.IstioCertificateService",
    grpc_method: "CreateCertificate",
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandledLabels {
    grpc_type: &'static str,
    grpc_service: &'static str,
    grpc_method: &'static str,
    grpc_code: &'static str,
}

/// The families, and beside them their series of calls that went well, which need no looking up.
#[derive(Debug)]
pub(super) struct GrpcMetrics {
    handled: Family<HandledLabels, Counter>,
    families: [(&'static str, &'static str, Family<MethodLabels, Counter>); 3],
    handling: Family<MethodLabels, Histogram>,
    started: Counter,
    received: Counter,
    sent: Counter,
    took: Histogram,
}

impl Default for GrpcMetrics {
    fn default() -> Self {
        let series = |family: &Family<MethodLabels, Counter>| family.get_or_create(&CREATE_CERTIFICATE).clone();
        let [started, received, sent] = [(); 3].map(|()| Family::default());
        let handling: Family<MethodLabels, Histogram> =
            Family::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS_SECS));
        let took = handling.get_or_create(&CREATE_CERTIFICATE).clone();
        Self {
            took,
            started: series(&started),
            received: series(&received),
            sent: series(&sent),
            families: [
                ("grpc_server_started", "Calls started", started),
                ("grpc_server_msg_received", "Messages received", received),
                ("grpc_server_msg_sent", "Messages sent", sent),
            ],
            handled: Family::default(),
            handling,
        }
    }
}

impl GrpcMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        for (name, help, family) in &self.families {
            registry.register(*name, *help, family.clone());
        }
        registry.register("grpc_server_handled", "Calls ended, by code", self.handled.clone());
        registry.register("grpc_server_handling_seconds", "Time from call to answer", self.handling.clone());
    }

    pub(super) fn begin(&self) -> GrpcCall<'_> {
        self.started.inc();
        self.received.inc();
        GrpcCall { metrics: self, began: Instant::now() }
    }
}

/// One call that is being answered.
#[derive(Debug)]
pub struct GrpcCall<'a> {
    metrics: &'a GrpcMetrics,
    began: Instant,
}

impl GrpcCall<'_> {
    /// The call was answered with `code`.
    pub fn end(self, code: Code) {
        let MethodLabels { grpc_type, grpc_service, grpc_method } = CREATE_CERTIFICATE;
        let labels = HandledLabels { grpc_type, grpc_service, grpc_method, grpc_code: code_name(code) };
        self.metrics.handled.get_or_create(&labels).inc();
        if code == Code::Ok {
            self.metrics.sent.inc();
        }
        self.metrics.took.observe(self.began.elapsed().as_secs_f64());
    }
}

/// The codes' names as gRPC's own libraries label them.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}
