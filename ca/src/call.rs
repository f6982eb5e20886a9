//! What every call has in common, whatever it asks for: who says that it sends it, what it is called, and how answers
//! and refusals are told.
//!
//! Two audiences, two messages: the caller gets a code and a short sentence with a request id, the log gets the whole
//! reason under the same id. No token, request body or key is ever logged.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use signet_identity::KeyError;
use tokio::time::Instant;
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

/// Milliseconds after which a caller may try again (gRPC A6).
const RETRY_PUSHBACK: &str = "grpc-retry-pushback-ms";

/// How long the caller waits for an answer (gRPC over HTTP/2).
const TIMEOUT: &str = "grpc-timeout";

/// Most digits of that.
const TIMEOUT_MAX_DIGITS: usize = 8;

/// The texts that users match their logs against.
const UNAUTHENTICATED_TEXT: &str = "request authenticate failure";
pub(crate) const UNDECIDED_TEXT: &str = "request could not be authenticated now, try again";

/// Where a request came from and what it is called.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) request_id: String,
    pub(crate) peer: Option<SocketAddr>,
    /// When the caller stops waiting.
    pub(crate) deadline: Option<Instant>,
}

impl Origin {
    /// The answer, under its request's name.
    pub(crate) fn answer<T>(&self, message: T) -> Response<T> {
        let mut response = Response::new(message);
        self.name(response.metadata_mut());
        response
    }

    /// The refusal, under its request's name. `text` is all that leaves the process about the reason. A caller that
    /// should try again is told when, as gRPC's retry design (A6) has it.
    pub(crate) fn refusal(&self, code: Code, text: impl Into<String>, retry_after: Option<Duration>) -> Status {
        let mut status = Status::new(code, text);
        self.name(status.metadata_mut());
        if let Some(millis) = retry_after.and_then(|after| u32::try_from(after.as_millis()).ok()) {
            status.metadata_mut().insert(RETRY_PUSHBACK, MetadataValue::from(millis));
        }
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

/// How long the caller says that it waits: at most eight digits and a unit. What is not that says nothing.
fn timeout(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata.get(TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > TIMEOUT_MAX_DIGITS || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
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
        let deadline = timeout(request.metadata()).and_then(|timeout| Instant::now().checked_add(timeout));
        Origin { request_id: format!("{}-{number:x}", self.process), peer: request.remote_addr(), deadline }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, wanted: Option<Duration>) {
        let mut metadata = MetadataMap::new();
        if let Ok(value) = text.parse() {
            metadata.insert(TIMEOUT, value);
        }
        assert_eq!(timeout(&metadata), wanted, "{text}");
    }

    #[test]
    fn a_timeout_is_at_most_eight_digits_and_a_unit() {
        check("2H", Some(Duration::from_secs(7200)));
        check("3M", Some(Duration::from_secs(180)));
        check("99999999S", Some(Duration::from_secs(99_999_999)));
        check("0100m", Some(Duration::from_millis(100)));
        check("7u", Some(Duration::from_micros(7)));
        check("1n", Some(Duration::from_nanos(1)));
        for nonsense in ["", "S", "1", "1s", "+1S", "-1S", "1.5S", "999999999S", "1 S"] {
            check(nonsense, None);
        }
    }

    proptest! {
        #[test]
        fn no_timeout_makes_the_reader_panic(text in "\\PC{0,12}") {
            let mut metadata = MetadataMap::new();
            if let Ok(value) = MetadataValue::try_from(text.as_bytes()) {
                metadata.insert(TIMEOUT, value);
            }
            let _ = timeout(&metadata);
        }
    }
}
