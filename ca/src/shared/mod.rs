//! One small object that all replicas share: named texts, changed against the version that was read and never over
//! another's write.
//!
//! `SharedObject` is the seam to whatever keeps it; `Share` is one replica's copy of it. Who leads may write, and
//! asks before each write whether it still does. Knows nothing of Kubernetes, of keys or of time.

#[cfg(test)]
pub(crate) mod fake;
mod share;

pub(crate) use share::Share;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use zeroize::Zeroizing;

/// Most bytes of all entries together: what Kubernetes lets a Secret have.
pub(crate) const ENTRIES_MAX_BYTES: usize = 1024 * 1024;

/// Texts by their names.
pub(crate) type Entries = BTreeMap<String, Zeroizing<Vec<u8>>>;

/// What becomes of entries: a new text, or their end.
pub(crate) type Changes = BTreeMap<String, Option<Zeroizing<Vec<u8>>>>;

/// The object at one moment.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// Names this state of it; compared for equality only.
    pub(crate) version: String,
    pub(crate) entries: Entries,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot({}, redacted)", self.version)
    }
}

/// What was last heard of it without asking.
#[derive(Debug, Clone, Default)]
pub(crate) enum Seen {
    /// Nothing yet.
    #[default]
    Unheard,
    /// It is not there.
    Absent,
    There(Arc<Snapshot>),
}

/// What says that the object existed before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Witness {
    /// Names it in messages.
    pub(crate) name: String,
    /// What it holds.
    pub(crate) text: String,
}

/// Why the object is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SharedError {
    /// Whoever keeps it did not do what was asked; whether a write was done is not known.
    #[error("`{place}` cannot be reached: {reason}")]
    Unreachable {
        /// The object.
        place: String,
        /// What happened; no secret.
        reason: String,
    },
    /// Another process changed it, so nothing was written.
    #[error("`{place}` was changed by another process meanwhile")]
    Conflict {
        /// The object.
        place: String,
    },
    /// Another replica leads.
    #[error("this replica does not lead any more, nothing is written to `{place}`")]
    NotLeading {
        /// The object.
        place: String,
    },
    /// It was there and is not.
    #[error("`{place}` is gone: restore it; what was read from it stays in use until this process ends")]
    Gone {
        /// The object.
        place: String,
    },
    /// It would be more than can be kept.
    #[error("`{place}` would have {bytes} bytes, at most {ENTRIES_MAX_BYTES} can be kept")]
    TooLarge {
        /// The object.
        place: String,
        /// How many.
        bytes: usize,
    },
    /// Something says that it was there before.
    #[error(
        "`{witness}` holds roots but `{place}` holds no key: restore it, plug in an authority that publishes these roots \
         too, or delete the former to begin anew"
    )]
    Lost {
        /// The object.
        place: String,
        /// What says so.
        witness: String,
    },
}

/// Keeps one object. Calls wait for the answer, at most as long as one request may take.
pub(crate) trait SharedObject: Send + Sync {
    /// Whether this replica leads now.
    fn leads(&self) -> bool;

    /// What time it is by the clock of whoever keeps it, in seconds since the Unix epoch, if that was told.
    fn time(&self) -> Option<i64> {
        None
    }

    /// For how long nothing was heard of it, neither by itself nor when it was asked.
    fn silence(&self) -> Duration {
        Duration::ZERO
    }

    /// What was last heard of it.
    fn seen(&self) -> Seen;

    /// What it is now; `None` when it does not exist.
    fn read(&self) -> Result<Option<Snapshot>, SharedError>;

    /// Makes it, unless it exists.
    fn create(&self, entries: &Entries) -> Result<Snapshot, SharedError>;

    /// Changes it, if it still is what `version` names.
    fn change(&self, version: &str, changes: &Changes) -> Result<Snapshot, SharedError>;

    /// What says that it existed before, if something does.
    fn witness(&self) -> Result<Option<Witness>, SharedError>;

    /// Names it in messages.
    fn place(&self) -> String;

    /// Rung when something was heard of it.
    fn bell(&self) -> Arc<Notify>;
}
