//! `signet.ca.v1.Identity` on the wire: a request in its generated type becomes a `MintRequest`, the outcome becomes an
//! answer or a status. The token itself is never logged, its id is.

use std::time::Instant;

use signet_proto::signet_ca::identity_server::Identity;
use signet_proto::signet_ca::{MintJwtRequest, MintJwtResponse};
use signet_runtime::tasks::chain;
use tonic::{Code, Request, Response, Status};

use super::mint::{MintError, MintRequest, MintedToken, Minter};
use crate::call::{self, Origin};
use crate::issue::IssueError;
use crate::metrics::JwtMetrics;
use crate::service;

const UNRECORDED_TEXT: &str = "token could not be recorded now, try again";

/// The service.
#[derive(Debug)]
pub(crate) struct IdentityService {
    minter: Minter,
    metrics: JwtMetrics,
}

impl IdentityService {
    pub(crate) fn new(minter: Minter, metrics: JwtMetrics) -> Self {
        Self { minter, metrics }
    }
}

#[tonic::async_trait]
impl Identity for IdentityService {
    async fn mint_jwt(&self, request: Request<MintJwtRequest>) -> Result<Response<MintJwtResponse>, Status> {
        let began = Instant::now();
        let origin = Origin::of(&request);
        let (metadata, _, message) = request.into_parts();
        let asked = MintRequest {
            credential: origin.credential(&metadata),
            audiences: &message.audience,
            asked_secs: message.validity_seconds,
            request_id: &origin.request_id,
            peer: origin.peer,
            deadline: origin.deadline,
        };
        let outcome = self.minter.mint(&asked).await;
        origin.judged(verdict(outcome.as_ref().err()));
        match outcome {
            Ok(minted) => {
                self.metrics.minted(began.elapsed());
                log_minted(&minted, &message, &origin);
                let expires_at = minted.expires_at.unix_secs();
                Ok(Response::new(MintJwtResponse { token: minted.token, expires_at }))
            }
            Err(error) => {
                self.metrics.refused(error.reason());
                log_refused(&error, &origin);
                let (code, text) = told_to_caller(&error);
                Err(call::refusal(code, text, error.retry_after()))
            }
        }
    }
}

/// Whether the credential was good, if that could be decided.
fn verdict(error: Option<&MintError>) -> Option<bool> {
    match error {
        Some(MintError::Issue(error)) => service::verdict(Some(error)),
        _ => Some(true),
    }
}

/// The only words about a failure that leave the process.
fn told_to_caller(error: &MintError) -> (Code, String) {
    match error {
        MintError::Issue(IssueError::Ledger(_)) => (Code::Unavailable, UNRECORDED_TEXT.to_owned()),
        MintError::Issue(error) => service::told_to_caller(error),
        MintError::AnotherTrustDomain { .. } => (Code::PermissionDenied, "no tokens for this trust domain".to_owned()),
        MintError::Audience(error) => (Code::InvalidArgument, error.to_string()),
        MintError::NoKey => (Code::Unavailable, "token could not be signed now, try again".to_owned()),
        MintError::Sign(_) => (Code::Internal, "token could not be signed".to_owned()),
    }
}

fn log_minted(minted: &MintedToken, asked: &MintJwtRequest, origin: &Origin) {
    let caller = &minted.caller;
    let (workload, pod, node) = (caller.workload(), caller.pod(), caller.node());
    tracing::info!(
        request_id = origin.request_id,
        peer = origin.peer.map(tracing::field::display),
        identity = %minted.id,
        jti = minted.token_id,
        kid = minted.kid,
        audience = ?asked.audience,
        authenticator = %caller.authenticator(),
        cluster = caller.cluster(),
        namespace = workload.map(|workload| workload.namespace.as_str()),
        service_account = workload.map(|workload| workload.service_account.as_str()),
        pod = pod.map(|pod| pod.name.as_str()),
        pod_uid = pod.map(|pod| pod.uid.as_str()),
        node = node.map(|node| node.name.as_str()),
        token_id = caller.token_id().map(tracing::field::display),
        asked_secs = asked.validity_seconds,
        granted_secs = minted.expires_at.since(minted.issued_at).as_secs(),
        expires_at = %minted.expires_at,
        "token minted"
    );
}

fn log_refused(error: &MintError, origin: &Origin) {
    if matches!(error, MintError::Issue(IssueError::Ledger(_) | IssueError::Shed(_))) {
        // That something is wrong has been said once; a line for each request would say no more.
        tracing::debug!(request_id = origin.request_id, reason = error.reason(), "token refused");
        return;
    }
    let Some(left_out) = origin.line() else { return };
    tracing::warn!(
        request_id = origin.request_id,
        peer = origin.peer.map(tracing::field::display),
        reason = error.reason(),
        error = chain(error),
        left_out,
        "token refused"
    );
}
