//! Why the CA gave nothing: what is told, what it is called in metrics, and whether to try again.

use std::time::Duration;

use signet_identity::{KeyError, WorkloadName};
use tonic::{Code, Status};

use super::{AnswerError, ChannelError, RootsError};
use crate::token::TokenError;

/// Longest message of the CA that goes into an error, in characters.
const TOLD_MAX_CHARS: usize = 200;

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
        Self::Refused { code: status.code(), message: status.message().escape_debug().take(TOLD_MAX_CHARS).collect() }
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
            Self::Key(_) => "key",
            Self::Answer(error) => error.reason(),
        }
    }

    /// Whether the same call may well succeed a moment later.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Channel(_) | Self::Deadline { .. } => true,
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
