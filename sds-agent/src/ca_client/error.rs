//! Why the CA gave nothing: what is told, what it is called in metrics, and whether to try again.

use std::time::Duration;

use signet_identity::{KeyError, WorkloadName};
use tonic::{Code, Status};

use super::{AnswerError, ChannelError, RootsError};
use crate::token::TokenError;

/// Longest message of the CA that goes into an error, in characters.
const TOLD_MAX_CHARS: usize = 200;

/// Milliseconds after which to try again (gRPC A6).
const RETRY_PUSHBACK: &str = "grpc-retry-pushback-ms";

/// Why no identity came back.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// There is no usable token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token is another workload's.
    #[error("token belongs to `{found}`, but `{wanted}` is configured")]
    OtherWorkload {
        /// Whose it is.
        found: WorkloadName,
        /// Whose it should be.
        wanted: WorkloadName,
    },
    /// Nothing says whose identity is wanted.
    #[error("token names no service account and none is configured")]
    NoWorkload,
    /// The CA's roots are unusable.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// The CA could not be reached or its certificate is not trusted.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The call took too long.
    #[error("the CA did not answer within {deadline:?}")]
    Deadline {
        /// The time it had.
        deadline: Duration,
    },
    /// The CA said no.
    #[error("the CA answered {code:?}: {message}")]
    Refused {
        /// Its code.
        code: Code,
        /// Its words, cut short.
        message: String,
        /// How long it wants to be left alone, if it says so.
        retry_after: Option<Duration>,
    },
    /// Neither the token nor the certificate held was good enough.
    #[error("{by_token}; and the certificate held does not do instead")]
    NoCredential {
        /// What was wrong with the token.
        by_token: Box<RequestError>,
        /// What came of the certificate.
        #[source]
        by_certificate: Box<RequestError>,
    },
    /// The key could not sign the request.
    #[error("certificate request could not be made")]
    Key(#[from] KeyError),
    /// The answer is not what was asked for.
    #[error("the CA's answer was refused")]
    Answer(#[from] AnswerError),
}

impl RequestError {
    /// The CA's refusal.
    pub(crate) fn refused(status: &Status) -> Self {
        Self::Refused {
            code: status.code(),
            message: status.message().escape_debug().take(TOLD_MAX_CHARS).collect(),
            retry_after: retry_after(status),
        }
    }

    /// What is told when the certificate held came to nothing after the token had.
    pub(super) fn also(self, by_certificate: Self) -> Self {
        Self::NoCredential { by_token: Box::new(self), by_certificate: Box::new(by_certificate) }
    }

    /// How long the CA wants to be left alone, if it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::NoCredential { by_certificate, .. } => by_certificate.retry_after(),
            _ => None,
        }
    }

    /// Whether the token is what stands in the way, so that another credential may do.
    pub(super) fn is_the_tokens(&self) -> bool {
        matches!(self, Self::Token(_) | Self::Refused { code: Code::Unauthenticated, .. })
    }

    /// Whether this place of the CA does not answer, or has no room, and another may.
    pub(super) fn is_the_places(&self) -> bool {
        match self {
            Self::Channel(_) | Self::Deadline { .. } => true,
            Self::Refused { code, .. } => matches!(code, Code::Unavailable | Code::ResourceExhausted),
            Self::NoCredential { by_certificate, .. } => by_certificate.is_the_places(),
            _ => false,
        }
    }

    /// The error's name in metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Token(error) => error.reason(),
            Self::OtherWorkload { .. } | Self::NoWorkload => "token_workload",
            Self::Roots(_) => "ca_roots",
            Self::Channel(_) => "ca_unreachable",
            Self::Deadline { .. } => "ca_deadline",
            Self::Refused { code, .. } => code_name(*code),
            Self::NoCredential { by_token, .. } => by_token.reason(),
            Self::Key(_) => "key",
            Self::Answer(error) => error.reason(),
        }
    }

    /// Whether the same call may well succeed a moment later.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Channel(_) | Self::Deadline { .. } => true,
            Self::NoCredential { by_certificate, .. } => by_certificate.is_transient(),
            Self::Refused { code, .. } => matches!(
                code,
                Code::Cancelled
                    | Code::DeadlineExceeded
                    | Code::ResourceExhausted
                    | Code::Aborted
                    | Code::Internal
                    | Code::Unavailable
            ),
            _ => false,
        }
    }
}

/// The hint of gRPC A6. A negative one asks not to be called again for this request: then there is no hint, and the
/// refusal's own kind decides.
fn retry_after(status: &Status) -> Option<Duration> {
    let text = status.metadata().get(RETRY_PUSHBACK)?.to_str().ok()?;
    text.parse().ok().map(Duration::from_millis)
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "cancelled",
        Code::Unknown => "unknown",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
    }
}
