//! Istio's CA API on the wire: a request in its generated type becomes an `IssueRequest`, the outcome becomes an answer
//! or a status.
//!
//! What it has in common with other calls stands in `call`.

use std::sync::Arc;
use std::time::Instant;

use prost_types::value::Kind;
use signet_proto::istio_ca::istio_certificate_service_server::IstioCertificateService;
use signet_proto::istio_ca::{IstioCertificateRequest, IstioCertificateResponse};
use signet_runtime::tasks::chain;
use tonic::{Code, Request, Response, Status};

use crate::admission::ShedError;
use crate::authority::SignError;
use crate::authorize::AuthorizeError;
use crate::call::{self, Origin, UNDECIDED_TEXT};
use crate::issue::{IssueError, IssueRequest, IssuedChain, Issuer};
use crate::otlp;
use crate::profile::ProfileError;

const IMPERSONATED_IDENTITY: &str = "ImpersonatedIdentity";

const FORBIDDEN_TEXT: &str = "issuing is not allowed by the operator's rules";

/// The text that users match their logs against.
const IMPERSONATION_TEXT: &str = "request impersonation authentication failure";

const BUSY_TEXT: &str = "too many requests, try again";
const LATE_TEXT: &str = "deadline passed before it was this request's turn";
const UNSIGNED_TEXT: &str = "certificate could not be signed now, try again";
const UNRECORDED_TEXT: &str = "certificate could not be recorded now, try again";

/// The service.
#[derive(Debug)]
pub(crate) struct CertificateService {
    issuer: Arc<Issuer>,
}

impl CertificateService {
    pub(crate) fn new(issuer: Arc<Issuer>) -> Self {
        Self { issuer }
    }
}

#[tonic::async_trait]
impl IstioCertificateService for CertificateService {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        self.issuer.metrics.request();
        let began = Instant::now();
        let origin = Origin::of(&request);
        let (metadata, _, message) = request.into_parts();
        let asked = IssueRequest {
            credential: origin.credential(&metadata),
            csr_pem: &message.csr,
            asked_secs: message.validity_duration,
            impersonated: impersonated(&message),
            request_id: &origin.request_id,
            peer: origin.peer,
            deadline: origin.deadline,
        };
        let outcome = self.issuer.issue(&asked).await;
        origin.judged(verdict(outcome.as_ref().err()));
        match outcome {
            Ok(issued) => {
                self.issuer.metrics.issued();
                // Certificates end with a whole second, for which up to one is lost.
                if u64::try_from(asked.asked_secs).is_ok_and(|secs| secs > issued.granted.as_secs() + 1) {
                    self.issuer.metrics.lifetime_cut();
                }
                log_issued(&issued, &asked, &origin, began);
                Ok(Response::new(IstioCertificateResponse { cert_chain: issued.chain }))
            }
            Err(error) => {
                self.issuer.metrics.refused(&error);
                otlp::attribute("signet.refusal", error.reason());
                log_refused(&error, &origin);
                let (code, text) = told_to_caller(&error);
                Err(call::refusal(code, text, error.retry_after()))
            }
        }
    }
}

fn impersonated(message: &IstioCertificateRequest) -> Option<&str> {
    let value = message.metadata.as_ref()?.fields.get(IMPERSONATED_IDENTITY)?;
    match &value.kind {
        Some(Kind::StringValue(text)) => Some(text.as_str()).filter(|text| !text.is_empty()),
        _ => None,
    }
}

/// Whether the credential was good, if that could be decided.
pub(crate) fn verdict(error: Option<&IssueError>) -> Option<bool> {
    match error {
        Some(IssueError::Unidentified(error)) if error.is_undecided() => None,
        Some(IssueError::Unidentified(_)) => Some(false),
        _ => Some(true),
    }
}

/// The only words about a failure that leave the process.
pub(crate) fn told_to_caller(error: &IssueError) -> (Code, String) {
    let signing = |reason: &dyn std::fmt::Display| format!("CSR signing error ({reason})");
    match error {
        IssueError::Unidentified(error) => {
            let (code, text) = call::unidentified(error);
            (code, text.to_owned())
        }
        IssueError::NotGranted(error) if error.is_undecided() => (Code::Unavailable, UNDECIDED_TEXT.to_owned()),
        IssueError::NotGranted(AuthorizeError::Rule(_)) => (Code::PermissionDenied, FORBIDDEN_TEXT.to_owned()),
        IssueError::NotGranted(_) => (Code::Unauthenticated, IMPERSONATION_TEXT.to_owned()),
        IssueError::Csr(error) => (Code::InvalidArgument, signing(error)),
        IssueError::Profile(error @ (ProfileError::IssuerDomain | ProfileError::IssuerNotValid)) => {
            (Code::Internal, signing(error))
        }
        IssueError::Profile(error) => (Code::InvalidArgument, signing(error)),
        IssueError::Sign(SignError::Key(_)) => (Code::Internal, signing(&"certificate could not be signed")),
        IssueError::Sign(SignError::Token(_)) => (Code::Unavailable, UNSIGNED_TEXT.to_owned()),
        IssueError::Ledger(_) => (Code::Unavailable, UNRECORDED_TEXT.to_owned()),
        IssueError::Shed(ShedError::Late) => (Code::DeadlineExceeded, LATE_TEXT.to_owned()),
        IssueError::Shed(_) => (Code::ResourceExhausted, BUSY_TEXT.to_owned()),
    }
}

fn log_issued(issued: &IssuedChain, asked: &IssueRequest<'_>, origin: &Origin, began: Instant) {
    let caller = &issued.caller;
    let (workload, pod, node) = (caller.workload(), caller.pod(), caller.node());
    tracing::info!(
        request_id = origin.request_id,
        peer = origin.peer.map(display),
        identity = issued.id.as_str(),
        serial = %issued.serial,
        authenticator = caller.authenticator().as_str(),
        cluster = caller.cluster(),
        namespace = workload.map(|workload| workload.namespace.as_str()),
        service_account = workload.map(|workload| workload.service_account.as_str()),
        pod = pod.map(|pod| pod.name.as_str()),
        pod_uid = pod.map(|pod| pod.uid.as_str()),
        node = node.map(|node| node.name.as_str()),
        token_id = caller.token_id().map(display),
        key = %issued.key,
        key_fingerprint = issued.key_fingerprint,
        asked_secs = asked.asked_secs,
        granted_secs = issued.granted.as_secs(),
        not_after = %issued.lifetime.not_after(),
        latency_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
        "certificate issued"
    );
}

fn log_refused(error: &IssueError, origin: &Origin) {
    if matches!(error, IssueError::Ledger(_) | IssueError::Sign(SignError::Token(_)) | IssueError::Shed(_)) {
        // That something is wrong has been said once; a line for each request would say no more.
        tracing::debug!(request_id = origin.request_id, reason = error.reason(), "certificate refused");
        return;
    }
    let Some(left_out) = origin.line() else { return };
    tracing::warn!(
        request_id = origin.request_id,
        peer = origin.peer.map(display),
        reason = error.reason(),
        error = chain(error),
        left_out,
        "certificate refused"
    );
}
