//! What the agent counts: Istio's names, so that existing dashboards go on working, and Signet's own.
//!
//! Istio's agent exposes counters without the `_total` that OpenMetrics adds to every counter. Those names are kept
//! exactly, as metrics of unknown type, which monitoring systems query alike.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use signet_identity::{Svid, Timestamp, TrustBundle};
use signet_runtime::Clock;
use signet_runtime::unix_socket::Denied;

use crate::rotation::Standing;
use crate::sds::ResourceName;
use crate::sds::subscription::Reason as SendReason;

mod envoy;
mod expiry;
mod labels;
mod resources;
mod roots;
mod workload_api;

use expiry::Expiry;
use labels::{
    CSR, Exact, Outcome, Push, Reason, Renewal, RequestType, Resource, SDS, StandingLabel, StreamKind, XdsType,
};

/// Upper bounds of the buckets for calls to the CA, in seconds.
const CA_SECONDS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

/// Forms of the protocol that a stream may have.
const STREAM_KINDS: [&str; 2] = ["sotw", "delta"];

/// All metrics of the agent. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    all: Arc<All>,
}

#[derive(Debug)]
struct All {
    outgoing_latency: Family<RequestType, Exact>,
    outgoing_requests: Family<RequestType, Exact>,
    failed_outgoing_requests: Family<RequestType, Exact>,
    outgoing_retries: Family<RequestType, Exact>,
    startup_duration: Gauge<f64, AtomicU64>,
    xds_rejects: Exact,
    xds_internal_errors: Exact,
    expired_nonces: Family<XdsType, Exact>,
    not_after: Family<Resource, Gauge>,
    standing: Family<StandingLabel, Gauge>,
    renewals: Family<Renewal, Counter>,
    ca_seconds: Histogram,
    bundle_certificates: Gauge,
    token_expiry: Gauge,
    by_certificate: Counter,
    streams: Family<StreamKind, Gauge>,
    pushes: Family<Push, Counter>,
    nacks: Family<Resource, Counter>,
    unknown_names: Counter,
    peers_denied: Family<Reason, Counter>,
    file_writes: Family<Outcome, Counter>,
    expiry: Expiry,
    roots: roots::Roots,
    resources: resources::Resources,
    workload_calls: workload_api::Calls,
    envoy: envoy::Envoy,
}

impl Default for All {
    fn default() -> Self {
        Self {
            outgoing_latency: Family::default(),
            outgoing_requests: Family::default(),
            failed_outgoing_requests: Family::default(),
            outgoing_retries: Family::default(),
            startup_duration: Gauge::default(),
            xds_rejects: Exact::default(),
            xds_internal_errors: Exact::default(),
            expired_nonces: Family::default(),
            not_after: Family::default(),
            standing: Family::default(),
            renewals: Family::default(),
            ca_seconds: Histogram::new(CA_SECONDS),
            bundle_certificates: Gauge::default(),
            token_expiry: Gauge::default(),
            by_certificate: Counter::default(),
            streams: Family::default(),
            pushes: Family::default(),
            nacks: Family::default(),
            unknown_names: Counter::default(),
            peers_denied: Family::default(),
            file_writes: Family::default(),
            expiry: Expiry::default(),
            roots: roots::Roots::default(),
            resources: resources::Resources::default(),
            workload_calls: workload_api::Calls::default(),
            envoy: envoy::Envoy::default(),
        }
    }
}

impl Metrics {
    /// Metrics that all stand at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// A registry that exposes them; `clock` tells how much time is left at the moment of scraping.
    pub fn registry(&self, clock: &Clock) -> Registry {
        self.begin_at_zero();
        let mut registry = Registry::default();
        self.register_istio(registry.sub_registry_with_prefix("istio_agent"));
        self.register_own(registry.sub_registry_with_prefix("signet_agent"));
        registry.register_collector(Box::new(self.all.expiry.collector(clock.clone())));
        registry
    }

    /// Makes every series whose labels are known in advance, so that a rate is seen from the first event on and a
    /// dashboard finds every name.
    fn begin_at_zero(&self) {
        let all = &*self.all;
        for calls in
            [&all.outgoing_latency, &all.outgoing_requests, &all.failed_outgoing_requests, &all.outgoing_retries]
        {
            drop(calls.get_or_create(&CSR));
        }
        drop(all.expired_nonces.get_or_create(&SDS));
        drop(all.renewals.get_or_create(&Renewal { result: "success", code: "ok" }));
        for resource in ResourceName::KINDS {
            drop(all.nacks.get_or_create(&Resource { resource }));
            for reason in SendReason::ALL.map(SendReason::name) {
                drop(all.pushes.get_or_create(&Push { resource, reason }));
            }
        }
        for kind in STREAM_KINDS {
            drop(all.streams.get_or_create(&StreamKind { kind }));
        }
        for reason in Denied::ALL.map(Denied::name) {
            drop(all.peers_denied.get_or_create(&Reason { reason }));
        }
        for result in ["success", "failure"] {
            drop(all.file_writes.get_or_create(&Outcome { result }));
        }
    }

    fn register_istio(&self, to: &mut Registry) {
        let all = &*self.all;
        to.register("outgoing_latency", "Milliseconds spent on calls to the CA", all.outgoing_latency.clone());
        to.register("num_outgoing_requests", "Calls to the CA", all.outgoing_requests.clone());
        to.register("num_failed_outgoing_requests", "Failed calls to the CA", all.failed_outgoing_requests.clone());
        to.register("num_outgoing_retries", "Calls to the CA that were tried again", all.outgoing_retries.clone());
        to.register("startup_duration_seconds", "From start to the first identity", all.startup_duration.clone());
        to.register("pilot_total_xds_rejects", "Secrets that a proxy rejected", all.xds_rejects.clone());
        to.register("pilot_total_xds_internal_errors", "Streams ended by an error", all.xds_internal_errors.clone());
        to.register("pilot_xds_expired_nonce", "Messages with a stale nonce", all.expired_nonces.clone());
    }

    fn register_own(&self, to: &mut Registry) {
        let all = &*self.all;
        to.register("cert_not_after_seconds", "End of validity, Unix time", all.not_after.clone());
        to.register("renewal_state", "1 for the state that renewal is in", all.standing.clone());
        to.register("renewal_attempts", "Requests for an identity", all.renewals.clone());
        to.register("ca_request_duration_seconds", "Time of one call to the CA", all.ca_seconds.clone());
        to.register("trust_bundle_certs", "Roots handed out", all.bundle_certificates.clone());
        all.roots.register(to);
        to.register("token_expiry_seconds", "End of the token, Unix time", all.token_expiry.clone());
        to.register(
            "renewals_by_certificate",
            "Identities obtained by the certificate held instead of a token",
            all.by_certificate.clone(),
        );
        to.register("sds_streams", "Open streams", all.streams.clone());
        to.register("sds_pushes", "Secrets sent", all.pushes.clone());
        to.register("sds_nacks", "Secrets that a proxy rejected", all.nacks.clone());
        to.register("sds_unknown_names", "Names asked for that do not exist", all.unknown_names.clone());
        workload_api::register(&all.workload_calls, to);
        all.resources.register(to);
        all.envoy.register(to);
        to.register("peer_denied", "Connections refused", all.peers_denied.clone());
        to.register("file_writes", "Attempts to write the files", all.file_writes.clone());
    }

    /// One call to the CA took so long and went so.
    pub fn outgoing_request(&self, took: Duration, succeeded: bool) {
        let all = &*self.all;
        all.outgoing_requests.get_or_create(&CSR).inc();
        all.outgoing_latency.get_or_create(&CSR).inc_by(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        all.ca_seconds.observe(took.as_secs_f64());
        if !succeeded {
            all.failed_outgoing_requests.get_or_create(&CSR).inc();
        }
    }

    /// A call to the CA is tried again.
    pub fn outgoing_retry(&self) {
        self.all.outgoing_retries.get_or_create(&CSR).inc();
    }

    /// The token that is in use ends then.
    pub fn token_expires_at(&self, at: Timestamp) {
        self.all.token_expiry.set(at.unix_secs());
    }

    /// The certificate held brought what the token did not.
    pub fn proved_by_certificate(&self) {
        self.all.by_certificate.inc();
    }

    /// From start to the first identity.
    pub fn started_up(&self, took: Duration) {
        self.all.startup_duration.set(took.as_secs_f64());
    }

    /// An identity and its roots are now served.
    pub fn published(&self, svid: &Svid, bundle: &TrustBundle) {
        let not_after = svid.lifetime().not_after();
        self.all.expiry.set("default", not_after);
        self.all.not_after.get_or_create(&Resource { resource: "default" }).set(not_after.unix_secs());
        self.roots_published(bundle);
    }

    /// These roots are now served.
    pub fn roots_published(&self, bundle: &TrustBundle) {
        let earliest = bundle.roots().iter().map(|root| root.lifetime().not_after()).min();
        if let Some(earliest) = earliest {
            self.all.not_after.get_or_create(&Resource { resource: "ROOTCA" }).set(earliest.unix_secs());
        }
        self.all.bundle_certificates.set(i64::try_from(bundle.roots().len()).unwrap_or(i64::MAX));
    }

    /// How renewal stands.
    pub fn standing(&self, standing: Standing) {
        for other in Standing::ALL {
            let label = StandingLabel { state: other.name() };
            self.all.standing.get_or_create(&label).set(i64::from(other == standing));
        }
    }

    /// A request brought an identity.
    pub fn renewal_succeeded(&self) {
        self.all.renewals.get_or_create(&Renewal { result: "success", code: "ok" }).inc();
    }

    /// A request failed for this reason.
    pub fn renewal_failed(&self, code: &'static str) {
        self.all.renewals.get_or_create(&Renewal { result: "failure", code }).inc();
    }

    /// A stream of this kind opened; the guard counts it out again.
    pub fn stream(&self, kind: &'static str) -> StreamGuard {
        let gauge = self.all.streams.get_or_create(&StreamKind { kind }).clone();
        gauge.inc();
        StreamGuard { gauge }
    }

    /// A secret was sent for this reason.
    pub fn pushed(&self, resource: &'static str, reason: &'static str) {
        self.all.pushes.get_or_create(&Push { resource, reason }).inc();
    }

    /// A proxy rejected a message with these secrets.
    pub fn rejected(&self, resources: impl IntoIterator<Item = &'static str>) {
        self.all.xds_rejects.inc();
        for resource in resources {
            self.all.nacks.get_or_create(&Resource { resource }).inc();
        }
    }

    /// A message came with a stale nonce.
    pub fn stale_nonce(&self) {
        self.all.expired_nonces.get_or_create(&SDS).inc();
    }

    /// A stream was ended by an error.
    pub fn stream_failed(&self) {
        self.all.xds_internal_errors.inc();
    }

    /// So many names were asked for that do not exist.
    pub fn unknown_names(&self, count: usize) {
        self.all.unknown_names.inc_by(count as u64);
    }

    /// A connection was refused for this reason.
    pub fn peer_denied(&self, reason: &'static str) {
        self.all.peers_denied.get_or_create(&Reason { reason }).inc();
    }

    /// The files were written, or not.
    pub fn files_written(&self, succeeded: bool) {
        let result = if succeeded { "success" } else { "failure" };
        self.all.file_writes.get_or_create(&Outcome { result }).inc();
    }
}

/// Counts one open stream until it is dropped.
#[derive(Debug)]
pub struct StreamGuard {
    gauge: Gauge,
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

#[cfg(test)]
mod tests;
