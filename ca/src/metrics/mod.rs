//! What the authority counts: Istio's names exactly as its dashboards know them, and Signet's own.
//!
//! Labels come from closed sets of words, so no caller can make the list of series grow.

mod admission;
mod authentication;
mod authority;
mod connections;
mod events;
mod expiry;
mod federation;
mod grpc;
mod istiod;
mod jwt;
mod kubernetes;
mod ledger;
mod log;
mod mesh;
mod plain;
mod refusals;
mod reviews;
#[cfg(feature = "pkcs11")]
mod token;
mod web;

pub use admission::AdmissionMetrics;
pub use authentication::Verdict;
pub use authority::AuthorityMetrics;
pub use connections::{ConnectionMetrics, HandshakeFailure};
pub use events::EventMetrics;
pub(crate) use federation::{FederationMetrics, FetchOutcome};
pub(crate) use grpc::{GrpcCall, GrpcMethod, MethodLabels};
pub(crate) use istiod::IstiodMetrics;
pub(crate) use jwt::{JwtMetrics, KeyChange};
pub use kubernetes::KubernetesMetrics;
pub(crate) use kubernetes::{PublishMetrics, WatchMetrics};
pub use ledger::LedgerMetrics;
pub(crate) use mesh::MeshMetrics;
pub use reviews::ReviewMetrics;
#[cfg(feature = "pkcs11")]
pub(crate) use token::TokenMetrics;
pub(crate) use web::{WebEndpoint, WebMetrics};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use signet_runtime::Clock;
use tokio::sync::watch;

use crate::authenticate::AuthenticatorKind;
use crate::authority::Authority;
use crate::issue::IssueError;
use authentication::Authentications;
use expiry::Expiry;
use grpc::GrpcMetrics;
use plain::PlainCounter;
use refusals::Refusals;

/// Upper bounds of latency buckets, in seconds: from a quarter of a millisecond's fraction to a stalled request.
const LATENCY_BUCKETS_SECS: [f64; 13] =
    [0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0];

/// A part of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Credential to grant.
    Authenticate,
    /// Request to proof of possession.
    Csr,
    /// Grant and proof to chain.
    Sign,
    /// Chain to record.
    Record,
}

impl Stage {
    /// The word for it in metrics and traces.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Authenticate => "authenticate",
            Self::Csr => "csr",
            Self::Sign => "sign",
            Self::Record => "record",
        }
    }
}

/// What a signing error is called in Istio's metric.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SignErrorLabels {
    error: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    stage: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

/// All counters. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    requests: PlainCounter,
    authentication_failures: PlainCounter,
    successes: PlainCounter,
    sign_errors: Family<SignErrorLabels, PlainCounter>,
    parsing_errors: PlainCounter,
    id_extraction_errors: PlainCounter,
    grpc: GrpcMetrics,
    federation: FederationMetrics,
    jwt: JwtMetrics,
    web: WebMetrics,
    refusals: Refusals,
    events: EventMetrics,
    authentications: Authentications,
    stages: Family<StageLabels, Histogram>,
    authenticate: Histogram,
    csr: Histogram,
    sign: Histogram,
    key_refreshes: Family<ResultLabels, Counter>,
    connections: ConnectionMetrics,
    reviews: ReviewMetrics,
    lifetimes_cut: Counter,
    record: Histogram,
    ledger: LedgerMetrics,
    admission: AdmissionMetrics,
    kubernetes: KubernetesMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let stages: Family<StageLabels, Histogram> =
            Family::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS_SECS));
        let stage = |stage: Stage| stages.get_or_create(&StageLabels { stage: stage.as_str() }).clone();
        let (authenticate, csr, sign) = (stage(Stage::Authenticate), stage(Stage::Csr), stage(Stage::Sign));
        let record = stage(Stage::Record);
        let inner = Inner {
            requests: PlainCounter::default(),
            authentication_failures: PlainCounter::default(),
            successes: PlainCounter::default(),
            sign_errors: Family::default(),
            parsing_errors: PlainCounter::default(),
            id_extraction_errors: PlainCounter::default(),
            grpc: GrpcMetrics::default(),
            federation: FederationMetrics::default(),
            jwt: JwtMetrics::default(),
            web: WebMetrics::default(),
            refusals: Refusals::default(),
            events: EventMetrics::default(),
            authentications: Authentications::default(),
            authenticate,
            csr,
            sign,
            stages,
            key_refreshes: Family::default(),
            connections: ConnectionMetrics::default(),
            reviews: ReviewMetrics::default(),
            lifetimes_cut: Counter::default(),
            record,
            admission: AdmissionMetrics::default(),
            ledger: LedgerMetrics::default(),
            kubernetes: KubernetesMetrics::default(),
        };
        Self { inner: Arc::new(inner) }
    }
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A registry that shows these counters, and when `authority` expires by `clock`.
    pub fn registry(&self, authority: watch::Receiver<Arc<Authority>>, clock: Clock) -> Registry {
        let mut registry = Registry::default();
        let of = &self.inner;
        registry.register("citadel_server_csr_count", "Requests received, before authentication", of.requests.clone());
        registry.register(
            "citadel_server_authentication_failure_count",
            "Requests refused by authentication or for impersonation",
            of.authentication_failures.clone(),
        );
        registry.register("citadel_server_success_cert_issuance_count", "Certificates returned", of.successes.clone());
        registry.register(
            "citadel_server_csr_sign_err_count",
            "Requests that could not be signed",
            of.sign_errors.clone(),
        );
        registry.register(
            "citadel_server_csr_parsing_err_count",
            "Kept for dashboards; such requests are counted as signing errors",
            of.parsing_errors.clone(),
        );
        registry.register(
            "citadel_server_id_extraction_err_count",
            "Kept for dashboards; such requests are counted as authentication failures",
            of.id_extraction_errors.clone(),
        );
        of.grpc.register(&mut registry);
        of.federation.register(&mut registry);
        of.jwt.register(&mut registry);
        of.web.register(&mut registry);
        of.kubernetes.register(&mut registry);
        self.register_own(&mut registry);
        of.ledger.register(&mut registry);
        of.admission.register(&mut registry);
        registry.register_collector(Box::new(Expiry::new(authority, clock)));
        registry.register_collector(Box::new(log::LostLines));
        registry
    }

    fn register_own(&self, registry: &mut Registry) {
        let of = &self.inner;
        of.refusals.register(registry);
        of.events.register(registry);
        of.authentications.register(registry);
        registry.register("signet_ca_stage_seconds", "Time spent in each stage of issuing", of.stages.clone());
        registry.register("signet_ca_key_refreshes", "Attempts to read the issuer's keys", of.key_refreshes.clone());
        of.connections.register(registry);
        of.reviews.register(registry);
        let help = "Certificates granted for less time than was asked for";
        registry.register("signet_ca_lifetimes_cut", help, of.lifetimes_cut.clone());
    }

    /// What is counted of peers.
    pub(crate) fn federation(&self) -> FederationMetrics {
        self.inner.federation.clone()
    }

    /// What is counted of tokens.
    pub(crate) fn jwt(&self) -> JwtMetrics {
        self.inner.jwt.clone()
    }

    /// What is counted of endpoints with public documents.
    pub(crate) fn web(&self) -> WebMetrics {
        self.inner.web.clone()
    }

    /// What the ledger counts.
    pub fn ledger(&self) -> &LedgerMetrics {
        &self.inner.ledger
    }

    /// A request came in.
    pub fn request(&self) {
        self.inner.requests.increment();
    }

    /// The series of one gRPC method.
    pub(crate) fn grpc_method(&self, labels: MethodLabels) -> Arc<GrpcMethod> {
        self.inner.grpc.method(labels)
    }

    /// A certificate was returned.
    pub fn issued(&self) {
        self.inner.successes.increment();
    }

    /// A request was refused.
    pub fn refused(&self, error: &IssueError) {
        let is_shed = matches!(error, IssueError::Shed(_));
        self.inner.refusals.count(error.reason(), is_shed);
        if is_shed {
            // It was neither refused for what it is nor failed at.
            return;
        }
        match sign_error(error) {
            Some(error) => self.inner.sign_errors.get_or_create(&SignErrorLabels { error }).increment(),
            None => self.inner.authentication_failures.increment(),
        }
    }

    /// Requests refused since the start for what they were, by reason.
    pub(crate) fn refused_by_reason(&self) -> BTreeMap<&'static str, u64> {
        self.inner.refusals.by_reason()
    }

    /// What becomes of events.
    pub(crate) fn events(&self) -> &EventMetrics {
        &self.inner.events
    }

    /// A credential was judged.
    pub(crate) fn authenticated(&self, by: AuthenticatorKind, verdict: Verdict) {
        self.inner.authentications.count(by, verdict);
    }

    /// What admission counts.
    pub fn admission(&self) -> AdmissionMetrics {
        self.inner.admission.clone()
    }

    /// What is told of API servers.
    pub fn kubernetes(&self) -> &KubernetesMetrics {
        &self.inner.kubernetes
    }

    pub(crate) fn stage(&self, stage: Stage, took: Duration) {
        let histogram = match stage {
            Stage::Authenticate => &self.inner.authenticate,
            Stage::Csr => &self.inner.csr,
            Stage::Sign => &self.inner.sign,
            Stage::Record => &self.inner.record,
        };
        histogram.observe(took.as_secs_f64());
    }

    pub(crate) fn key_refresh(&self, succeeded: bool) {
        let result = if succeeded { "ok" } else { "failed" };
        self.inner.key_refreshes.get_or_create(&ResultLabels { result }).inc();
    }

    #[cfg(test)]
    pub(crate) fn key_refreshes(&self, succeeded: bool) -> u64 {
        let result = if succeeded { "ok" } else { "failed" };
        self.inner.key_refreshes.get_or_create(&ResultLabels { result }).get()
    }

    /// What is counted of connections.
    pub(crate) fn connections(&self) -> &ConnectionMetrics {
        &self.inner.connections
    }

    /// What is counted of reviews.
    pub(crate) fn reviews(&self) -> &ReviewMetrics {
        &self.inner.reviews
    }

    /// A certificate was granted for less time than its caller asked for.
    pub(crate) fn lifetime_cut(&self) {
        self.inner.lifetimes_cut.inc();
    }
}

/// Istio's word for a failure to sign; `None` for failures of authentication.
fn sign_error(error: &IssueError) -> Option<&'static str> {
    use crate::profile::ProfileError;
    match error {
        IssueError::Unidentified(_) | IssueError::NotGranted(_) | IssueError::Shed(_) => None,
        IssueError::Csr(_) | IssueError::Profile(ProfileError::Key { .. }) => Some("CSR_ERROR"),
        IssueError::Profile(ProfileError::Lifetime { .. }) => Some("TTL_ERROR"),
        IssueError::Profile(ProfileError::IssuerDomain | ProfileError::IssuerNotValid) | IssueError::Sign(_) => {
            Some("CERT_GEN_ERROR")
        }
        IssueError::Ledger(_) => Some("CA_NOT_READY"),
    }
}
