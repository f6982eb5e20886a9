//! What every call has in common, whatever it asks for: who says that it sends it, what it is called, and how answers
//! and refusals are told.
//!
//! Two audiences, two messages: the caller gets a code and a short sentence with a request id, the log gets the whole
//! reason under the same id. No token, request body or key is ever logged.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use ring::rand::{SecureRandom, SystemRandom};
use signet_identity::KeyError;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::{Code, Request, Response, Status};

use crate::authenticate::{Credential, IdentifyError};
use crate::hex::hex;

const AUTHORIZATION: &str = "authorization";
const BEARER: &str = "Bearer ";
const CLUSTER_ID: &str = "clusterid";
/// What no cluster is called: stands for a name that is not text.
const NO_CLUSTER: &str = "\u{fffd}";

/// Names the request in answers and in the log.
const REQUEST_ID: &str = "x-request-id";

/// The texts that users match their logs against.
const UNAUTHENTICATED_TEXT: &str = "request authenticate failure";
pub(crate) const UNDECIDED_TEXT: &str = "request could not be authenticated now, try again";

/// Where a request came from and what it is called.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) request_id: String,
    pub(crate) peer: Option<SocketAddr>,
}

impl Origin {
    /// The answer, under its request's name.
    pub(crate) fn answer<T>(&self, message: T) -> Response<T> {
        let mut response = Response::new(message);
        self.name(response.metadata_mut());
        response
    }

    /// The refusal, under its request's name. `text` is all that leaves the process about the reason.
    pub(crate) fn refusal(&self, code: Code, text: impl Into<String>) -> Status {
        let mut status = Status::new(code, text);
        self.name(status.metadata_mut());
        status
    }

    fn name(&self, metadata: &mut MetadataMap) {
        let id: Result<MetadataValue<Ascii>, _> = self.request_id.parse();
        if let Ok(id) = id {
            metadata.insert(REQUEST_ID, id);
        }
    }
}

/// The first `Bearer` value wins; a cluster is named only by a single value.
pub(crate) fn credential(metadata: &MetadataMap) -> Credential<'_> {
    let mut values = metadata.get_all(AUTHORIZATION).iter().filter_map(|value| value.to_str().ok());
    let mut clusters = metadata.get_all(CLUSTER_ID).iter();
    let cluster = match (clusters.next(), clusters.next()) {
        (Some(only), None) => Some(only.to_str().unwrap_or(NO_CLUSTER)),
        _ => None,
    };
    Credential { bearer: values.find_map(|value| value.strip_prefix(BEARER)), cluster }
}

/// What a caller is told that was not identified.
pub(crate) fn unidentified(error: &IdentifyError) -> (Code, &'static str) {
    if error.is_undecided() {
        (Code::Unavailable, UNDECIDED_TEXT)
    } else {
        (Code::Unauthenticated, UNAUTHENTICATED_TEXT)
    }
}

/// Names requests: a random part for this process, then a number.
#[derive(Debug)]
pub(crate) struct RequestIds {
    process: String,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> Result<Self, KeyError> {
        let mut octets = [0u8; 8];
        SystemRandom::new().fill(&mut octets).map_err(|_| KeyError::Randomness)?;
        Ok(Self { process: hex(&octets), next: AtomicU64::new(1) })
    }

    /// Names `request`.
    pub(crate) fn origin<T>(&self, request: &Request<T>) -> Origin {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Origin { request_id: format!("{}-{number:x}", self.process), peer: request.remote_addr() }
    }
}
