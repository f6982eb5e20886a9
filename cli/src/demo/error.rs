//! Why the demo could not be shown. A thing that was shown and went wrong is no error but a row in the report.

use std::io;
use std::path::PathBuf;

use signet_identity::KeyError;

/// What stood in the way.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// A program of ours is not where it should be.
    #[error("`{path}` is missing; build it with `cargo build --release --workspace --bins`, or run `cargo xtask demo`")]
    Program {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Envoy cannot be had.
    #[error(
        "Envoy cannot be run as `{command}`; set SIGNET_ENVOY to its path, or run `cargo xtask demo`, which provides it"
    )]
    Envoy {
        /// What was tried.
        command: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A file or process operation failed.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A key could not be made.
    #[error("cannot make a token issuer")]
    Key(#[from] KeyError),
    /// Something did not happen in time.
    #[error("{what} did not happen within {seconds} s; last seen: {last}; logs: {}", logs.display())]
    Waited {
        /// What was awaited.
        what: String,
        /// For how long.
        seconds: u64,
        /// What was seen last.
        last: String,
        /// Where the logs are.
        logs: PathBuf,
    },
    /// The story as a whole took too long.
    #[error("demo did not end within {seconds} s; logs: {}", logs.display())]
    TooLong {
        /// The bound.
        seconds: u64,
        /// Where the logs are.
        logs: PathBuf,
    },
    /// An HTTP exchange with Envoy's admin endpoint failed.
    #[error("cannot ask `{what}`: {reason}")]
    Ask {
        /// Whom.
        what: String,
        /// Why not.
        reason: String,
    },
}

impl DemoError {
    /// An I/O failure while doing `what`.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
