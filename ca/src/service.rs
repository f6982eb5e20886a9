//! Istio's CA API on the wire: a request in its generated type becomes an `IssueRequest`, the outcome becomes an answer
//! or a status.
//!
//! Two audiences, two messages: the caller gets a code and a short sentence with a request id, the log gets the whole
//! reason under the same id. No token, request body or key is ever logged.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use prost_types::value::Kind;
use ring::rand::{SecureRandom, SystemRandom};
use signet_identity::KeyError;
use signet_proto::istio_ca::istio_certificate_service_server::IstioCertificateService;
use signet_proto::istio_ca::{IstioCertificateRequest, IstioCertificateResponse};
use signet_runtime::tasks::chain;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::{Code, Request, Response, Status};

use crate::authenticate::Credential;
use crate::issue::{IssueError, IssueRequest, IssuedChain, Issuer};
use crate::profile::ProfileError;

const AUTHORIZATION: &str = "authorization";
const BEARER: &str = "Bearer ";
const CLUSTER_ID: &str = "clusterid";
/// What no cluster is called: stands for a name that is not text.
const NO_CLUSTER: &str = "\u{fffd}";
const IMPERSONATED_IDENTITY: &str = "ImpersonatedIdentity";

/// Names the request in answers and in the log.
const REQUEST_ID: &str = "x-request-id";

/// The texts that users match their logs against.
const UNAUTHENTICATED_TEXT: &str = "request authenticate failure";
const IMPERSONATION_TEXT: &str = "request impersonation authentication failure";

const UNDECIDED_TEXT: &str = "request could not be authenticated now, try again";

/// The service.
#[derive(Debug)]
pub(crate) struct CertificateService {
    issuer: Arc<Issuer>,
    ids: RequestIds,
}

impl CertificateService {
    pub(crate) fn new(issuer: Arc<Issuer>) -> Result<Self, KeyError> {
        Ok(Self { issuer, ids: RequestIds::new()? })
    }
}

#[tonic::async_trait]
impl IstioCertificateService for CertificateService {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        let call = self.issuer.metrics.request();
        let began = Instant::now();
        let origin = Origin { request_id: self.ids.next(), peer: request.remote_addr() };
        let (metadata, _, message) = request.into_parts();
        let asked = IssueRequest {
            credential: credential(&metadata),
            csr_pem: &message.csr,
            asked_secs: message.validity_duration,
            impersonated: impersonated(&message),
        };
        let outcome = self.issuer.issue(&asked).await;
        let answer = match outcome {
            Ok(issued) => {
                self.issuer.metrics.issued();
                log_issued(&issued, &asked, &origin, began);
                Ok(answer(issued, &origin))
            }
            Err(error) => {
                self.issuer.metrics.refused(&error);
                log_refused(&error, &origin);
                Err(status(&error, &origin))
            }
        };
        call.end(answer.as_ref().err().map_or(Code::Ok, Status::code));
        answer
    }
}

/// Where a request came from and what it is called.
struct Origin {
    request_id: String,
    peer: Option<SocketAddr>,
}

impl Origin {
    fn request_id(&self) -> Option<MetadataValue<Ascii>> {
        self.request_id.parse().ok()
    }
}

/// The first `Bearer` value wins; a cluster is named only by a single value.
fn credential(metadata: &MetadataMap) -> Credential<'_> {
    let mut values = metadata.get_all(AUTHORIZATION).iter().filter_map(|value| value.to_str().ok());
    let mut clusters = metadata.get_all(CLUSTER_ID).iter();
    let cluster = match (clusters.next(), clusters.next()) {
        (Some(only), None) => Some(only.to_str().unwrap_or(NO_CLUSTER)),
        _ => None,
    };
    Credential { bearer: values.find_map(|value| value.strip_prefix(BEARER)), cluster }
}

fn impersonated(message: &IstioCertificateRequest) -> Option<&str> {
    let value = message.metadata.as_ref()?.fields.get(IMPERSONATED_IDENTITY)?;
    match &value.kind {
        Some(Kind::StringValue(text)) => Some(text.as_str()).filter(|text| !text.is_empty()),
        _ => None,
    }
}

fn answer(issued: IssuedChain, origin: &Origin) -> Response<IstioCertificateResponse> {
    let mut response = Response::new(IstioCertificateResponse { cert_chain: issued.chain });
    if let Some(id) = origin.request_id() {
        response.metadata_mut().insert(REQUEST_ID, id);
    }
    response
}

fn status(error: &IssueError, origin: &Origin) -> Status {
    let (code, text) = told_to_caller(error);
    let mut status = Status::new(code, text);
    if let Some(id) = origin.request_id() {
        status.metadata_mut().insert(REQUEST_ID, id);
    }
    status
}

/// The only words about a failure that leave the process.
fn told_to_caller(error: &IssueError) -> (Code, String) {
    let signing = |reason: &dyn std::fmt::Display| format!("CSR signing error ({reason})");
    match error {
        IssueError::Unidentified(error) if error.is_undecided() => (Code::Unavailable, UNDECIDED_TEXT.to_owned()),
        IssueError::Unidentified(_) => (Code::Unauthenticated, UNAUTHENTICATED_TEXT.to_owned()),
        IssueError::NotGranted(_) => (Code::Unauthenticated, IMPERSONATION_TEXT.to_owned()),
        IssueError::Csr(error) => (Code::InvalidArgument, signing(error)),
        IssueError::Profile(error @ ProfileError::IssuerNotValid) => (Code::Internal, signing(error)),
        IssueError::Profile(error) => (Code::InvalidArgument, signing(error)),
        IssueError::Sign(_) => (Code::Internal, signing(&"certificate could not be signed")),
    }
}

fn log_issued(issued: &IssuedChain, asked: &IssueRequest<'_>, origin: &Origin, began: Instant) {
    let caller = &issued.caller;
    let (pod, node) = (caller.pod(), caller.node());
    tracing::info!(
        request_id = origin.request_id,
        peer = origin.peer.map(display),
        identity = %issued.id,
        serial = %issued.serial,
        namespace = %caller.workload().namespace,
        service_account = %caller.workload().service_account,
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
    tracing::warn!(
        request_id = origin.request_id,
        peer = origin.peer.map(display),
        reason = error.reason(),
        error = chain(error),
        "certificate refused"
    );
}

/// Names requests: a random part for this process, then a number.
#[derive(Debug)]
struct RequestIds {
    process: String,
    next: AtomicU64,
}

impl RequestIds {
    fn new() -> Result<Self, KeyError> {
        let mut octets = [0u8; 8];
        SystemRandom::new().fill(&mut octets).map_err(|_| KeyError::Randomness)?;
        let process = octets.iter().fold(String::new(), |mut text, octet| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{octet:02x}");
            text
        });
        Ok(Self { process, next: AtomicU64::new(1) })
    }

    fn next(&self) -> String {
        format!("{}-{:x}", self.process, self.next.fetch_add(1, Ordering::Relaxed))
    }
}
