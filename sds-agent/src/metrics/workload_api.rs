//! Calls of programs: which, and how they were answered.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tonic::Code;

use super::Metrics;

/// By method and code.
pub(super) type Calls = Family<Call, Counter>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Call {
    method: &'static str,
    code: &'static str,
}

/// Calls that are there from the beginning.
const METHODS: [&str; 3] = ["FetchX509SVID", "FetchX509Bundles", "FetchJWTSVID"];

pub(super) fn register(calls: &Calls, to: &mut Registry) {
    for method in METHODS {
        drop(calls.get_or_create(&Call { method, code: "ok" }));
    }
    to.register("workload_api_calls", "Calls of programs, streams as one", calls.clone());
}

impl Metrics {
    /// A program's call was answered; a stream with its first message, or its refusal.
    pub fn workload_call(&self, method: &'static str, code: Code) {
        let code = match code {
            Code::Ok => "ok",
            Code::InvalidArgument => "invalid_argument",
            Code::PermissionDenied => "permission_denied",
            Code::Unimplemented => "unimplemented",
            Code::Unavailable => "unavailable",
            _ => "other",
        };
        self.all.workload_calls.get_or_create(&Call { method, code }).inc();
    }
}
