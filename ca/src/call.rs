//! What every call has in common, whatever it asks for: who says that it sends it, what it is called, and how answers
//! and refusals are told.
//!
//! Two audiences, two messages: the caller gets a code and a short sentence with a request id, the log gets the whole
//! reason under the same id. No token, request body or key is ever logged.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderMap;
use ring::rand::{SecureRandom, SystemRandom};
use signet_identity::{KeyError, hex};
use tokio::time::Instant;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Request, Status};

use crate::authenticate::{Credential, IdentifyError, Presented};
use crate::metrics::GrpcMethod;
use crate::server::Connection;

const AUTHORIZATION: &str = "authorization";
const BEARER: &str = "Bearer ";
const CLUSTER_ID: &str = "clusterid";
/// What no cluster is called: stands for a name that is not text.
const NO_CLUSTER: &str = "\u{fffd}";

/// Names the request in answers and in the log.
pub(crate) const REQUEST_ID: &str = "x-request-id";

/// Milliseconds after which a caller may try again (gRPC A6).
const RETRY_PUSHBACK: &str = "grpc-retry-pushback-ms";

/// How long the caller waits for an answer (gRPC over HTTP/2).
const TIMEOUT: &str = "grpc-timeout";

/// Most digits of that.
const TIMEOUT_MAX_DIGITS: usize = 8;

/// The texts that users match their logs against.
const UNAUTHENTICATED_TEXT: &str = "request authenticate failure";
pub(crate) const UNDECIDED_TEXT: &str = "request could not be authenticated now, try again";

/// What is known of a request before any service sees it. Found among its extensions.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) request_id: String,
    pub(crate) peer: SocketAddr,
    /// When the caller stops waiting.
    pub(crate) deadline: Option<Instant>,
    /// What its tokens count for and against.
    pub(crate) connection: Arc<Connection>,
    pub(crate) counters: Arc<GrpcMethod>,
    /// What its peer presented in the handshake.
    pub(crate) presented: Option<Arc<Presented>>,
}

/// Where a request came from and what it is called.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) request_id: String,
    pub(crate) peer: Option<SocketAddr>,
    /// When the caller stops waiting.
    pub(crate) deadline: Option<Instant>,
    connection: Option<Arc<Connection>>,
    presented: Option<Arc<Presented>>,
}

impl Origin {
    /// Of a request whose message was read.
    pub(crate) fn of<T>(request: &Request<T>) -> Self {
        match request.extensions().get::<Arc<Arrival>>() {
            Some(arrival) => {
                arrival.counters.received();
                Self {
                    request_id: arrival.request_id.clone(),
                    peer: Some(arrival.peer),
                    deadline: arrival.deadline,
                    connection: Some(arrival.connection.clone()),
                    presented: arrival.presented.clone(),
                }
            }
            // A service that is called without a server around it.
            None => Self {
                request_id: String::new(),
                peer: request.remote_addr(),
                deadline: None,
                connection: None,
                presented: None,
            },
        }
    }

    /// What says who sends the request with `metadata`. The first `Bearer` value wins; a cluster is named only by a
    /// single value.
    pub(crate) fn credential<'a>(&'a self, metadata: &'a MetadataMap) -> Credential<'a> {
        let mut values = metadata.get_all(AUTHORIZATION).iter().filter_map(|value| value.to_str().ok());
        let mut clusters = metadata.get_all(CLUSTER_ID).iter();
        let cluster = match (clusters.next(), clusters.next()) {
            (Some(only), None) => Some(only.to_str().unwrap_or(NO_CLUSTER)),
            _ => None,
        };
        let bearer = values.find_map(|value| value.strip_prefix(BEARER));
        Credential { bearer, cluster, certificate: self.presented.as_deref() }
    }

    /// Whether the log gets one more line about what this address is refused: then how many it did not get since the
    /// last, if any.
    pub(crate) fn line(&self) -> Option<Option<u64>> {
        let left_out = self.connection.as_ref().map_or(Some(0), |connection| connection.line(Instant::now()))?;
        Some(Some(left_out).filter(|count| *count > 0))
    }

    /// The token was judged: `None` when nothing could be decided.
    pub(crate) fn judged(&self, is_good: Option<bool>) {
        match (&self.connection, is_good) {
            (Some(connection), Some(true)) => connection.brought_good_token(),
            (Some(connection), Some(false)) => connection.brought_bad_token(Instant::now()),
            _ => {}
        }
    }
}

/// A refusal. `text` is all that leaves the process about the reason. A caller that should try again is told when.
pub(crate) fn refusal(code: Code, text: impl Into<String>, retry_after: Option<Duration>) -> Status {
    let status = Status::new(code, text);
    match retry_after {
        Some(after) => retry_later(status, after),
        None => status,
    }
}

/// Tells the caller when to try again, as gRPC's retry design (A6) has it.
pub(crate) fn retry_later(mut status: Status, after: Duration) -> Status {
    if let Ok(millis) = u32::try_from(after.as_millis()) {
        status.metadata_mut().insert(RETRY_PUSHBACK, MetadataValue::from(millis));
    }
    status
}

/// How long the caller says that it waits: at most eight digits and a unit. What is not that says nothing.
pub(crate) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(TIMEOUT)?.to_str().ok()?;
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

    /// A name that no other request has.
    pub(crate) fn next(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{}-{number:x}", self.process)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, wanted: Option<Duration>) {
        let headers = HeaderMap::from_iter(text.parse().map(|value| (HeaderName::from_static(TIMEOUT), value)));
        assert_eq!(timeout(&headers), wanted, "{text}");
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
            let value = HeaderValue::from_bytes(text.as_bytes());
            let _ = timeout(&HeaderMap::from_iter(value.map(|value| (HeaderName::from_static(TIMEOUT), value))));
        }
    }
}
