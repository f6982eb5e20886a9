//! The customary metrics of gRPC servers.

use std::sync::Arc;
use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tonic::Code;

use super::LATENCY_BUCKETS_SECS;

/// A method as these metrics know it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct MethodLabels {
    pub(crate) grpc_type: &'static str,
    pub(crate) grpc_service: &'static str,
    pub(crate) grpc_method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandledLabels {
    grpc_type: &'static str,
    grpc_service: &'static str,
    grpc_method: &'static str,
    grpc_code: &'static str,
}

type PerMethod = Family<MethodLabels, Counter>;

/// The families.
#[derive(Debug)]
pub(super) struct GrpcMetrics {
    started: PerMethod,
    received: PerMethod,
    sent: PerMethod,
    handled: Family<HandledLabels, Counter>,
    handling: Family<MethodLabels, Histogram>,
}

impl Default for GrpcMetrics {
    fn default() -> Self {
        let [started, received, sent] = [(); 3].map(|()| Family::default());
        let handling = Family::new_with_constructor((|| Histogram::new(LATENCY_BUCKETS_SECS)) as fn() -> Histogram);
        Self { started, received, sent, handled: Family::default(), handling }
    }
}

impl GrpcMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("grpc_server_started", "Calls started", self.started.clone());
        registry.register("grpc_server_msg_received", "Messages received", self.received.clone());
        registry.register("grpc_server_msg_sent", "Messages sent", self.sent.clone());
        registry.register("grpc_server_handled", "Calls ended, by code", self.handled.clone());
        registry.register("grpc_server_handling_seconds", "Time from call to answer", self.handling.clone());
    }

    /// The series of one method.
    pub(super) fn method(&self, labels: MethodLabels) -> Arc<GrpcMethod> {
        let series = |family: &PerMethod| family.get_or_create(&labels).clone();
        let method = GrpcMethod {
            started: series(&self.started),
            received: series(&self.received),
            sent: series(&self.sent),
            took: self.handling.get_or_create(&labels).clone(),
            went_well: self.handled.get_or_create(&handled(&labels, Code::Ok)).clone(),
            handled: self.handled.clone(),
            labels,
        };
        Arc::new(method)
    }
}

fn handled(labels: &MethodLabels, code: Code) -> HandledLabels {
    let MethodLabels { grpc_type, grpc_service, grpc_method } = *labels;
    HandledLabels { grpc_type, grpc_service, grpc_method, grpc_code: code_name(code) }
}

/// The series of one method, which need no looking up while calls go well.
#[derive(Debug)]
pub(crate) struct GrpcMethod {
    labels: MethodLabels,
    started: Counter,
    received: Counter,
    sent: Counter,
    took: Histogram,
    went_well: Counter,
    handled: Family<HandledLabels, Counter>,
}

impl GrpcMethod {
    /// A message was read.
    pub(crate) fn received(&self) {
        self.received.inc();
    }
}

/// One call that is being answered. Dropped without an answer, it was given up by its caller.
#[derive(Debug)]
pub(crate) struct GrpcCall {
    method: Arc<GrpcMethod>,
    began: Instant,
    code: Code,
}

impl GrpcCall {
    /// A call to `method` came in.
    pub(crate) fn begin(method: Arc<GrpcMethod>) -> Self {
        method.started.inc();
        Self { method, began: Instant::now(), code: Code::Cancelled }
    }

    /// The call was answered with `code`.
    pub(crate) fn end(mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for GrpcCall {
    fn drop(&mut self) {
        let method = &self.method;
        if self.code == Code::Ok {
            method.went_well.inc();
            method.sent.inc();
        } else {
            method.handled.get_or_create(&handled(&method.labels, self.code)).inc();
        }
        method.took.observe(self.began.elapsed().as_secs_f64());
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
