//! Why a token does not sign.

use std::path::PathBuf;
use std::time::Duration;

/// Why a token did not sign. Nothing of it is the caller's fault, and all of it may be mended while the process runs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The module cannot be used at all.
    #[error("PKCS#11 module `{path}` cannot be used: {why}")]
    Module {
        /// The module.
        path: PathBuf,
        /// What the loader, or the module itself, says.
        why: String,
    },
    /// No token of that name is there.
    #[error("no token with {wanted} is there")]
    Absent {
        /// Its label or serial number, as it is configured.
        wanted: String,
    },
    /// More than one token has that name.
    #[error("several tokens with {wanted} are there, name one by `authority.pkcs11.token_serial`")]
    Ambiguous {
        /// The label.
        wanted: String,
    },
    /// The file with the PIN cannot be used.
    #[error("PIN cannot be read: {why}")]
    PinFile {
        /// Why.
        why: String,
    },
    /// The token does not take the PIN. Trying again would lock the token.
    #[error("token refused the PIN in `{path}`, which is not tried again until that file changes")]
    PinRefused {
        /// The file.
        path: PathBuf,
    },
    /// One more wrong PIN would lock the token: that try is left to a person.
    #[error("token has one try left for its PIN: log in once by other means, so that it counts anew")]
    PinLastTry,
    /// The token takes no PIN any more.
    #[error("token has locked its PIN")]
    PinLocked,
    /// None of the keys that the settings name belongs to the certificate.
    #[error("no key in the token belongs to the signing certificate")]
    NoKey,
    /// A kind of key that is not used through PKCS#11.
    #[error("keys of this kind are not used in tokens, use P-256, P-384 or RSA")]
    Kind,
    /// The way to the token was lost.
    #[error("token cannot be reached: {code}")]
    Lost {
        /// What was called, and what it answered.
        code: String,
    },
    /// The token did not do it.
    #[error("token refused: {code}")]
    Refused {
        /// What was called, and what it answered.
        code: String,
    },
    /// What the token gave is not the key's signature.
    #[error("token gave a wrong signature")]
    WrongSignature,
    /// No answer in time.
    #[error("token did not answer within {}", humantime::format_duration(*waited))]
    Slow {
        /// How long it was waited for.
        waited: Duration,
    },
    /// Too much waits for the token.
    #[error("too much waits for the token")]
    Busy,
    /// No thread could be started, or none is left.
    #[error("nobody is there to ask the token")]
    Threads,
}

impl TokenError {
    /// A stable word for metrics.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Module { .. } => "module",
            Self::Absent { .. } | Self::Ambiguous { .. } => "absent",
            Self::PinFile { .. } | Self::PinRefused { .. } | Self::PinLastTry | Self::PinLocked => "pin",
            Self::NoKey | Self::Kind => "key",
            Self::Lost { .. } => "lost",
            Self::Refused { .. } => "refused",
            Self::WrongSignature => "wrong_signature",
            Self::Slow { .. } => "slow",
            Self::Busy => "busy",
            Self::Threads => "threads",
        }
    }

    /// Whether it may be gone at the next attempt without anybody's doing.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Absent { .. } | Self::Lost { .. } | Self::Refused { .. } | Self::Slow { .. } | Self::Busy)
    }
}
