//! What is logged, while the process runs: asked for and changed by whoever may, at any time.
//!
//! There is one log in a process, so there is one level too.

use std::sync::{Mutex, OnceLock, PoisonError};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::reload::Handle;

use super::LogFilter;

/// Of this process, since logging belongs to the whole of it.
static LEVEL: OnceLock<Level> = OnceLock::new();

struct Level {
    /// Puts a filter in force.
    apply: Box<dyn Fn(EnvFilter) -> bool + Send + Sync>,
    now: Mutex<LogFilter>,
}

/// Nothing is logged by this process, or by something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("logging was not started here")]
pub struct NotLogging;

/// What this process logs; `None` when it does not log.
pub fn level() -> Option<LogFilter> {
    LEVEL.get().map(|level| level.now.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

/// Logs what `filter` says from now on, and gives back what was logged before. Both are told in the log, so that one of
/// the two lines is seen if either filter lets it through.
///
/// # Errors
/// [`NotLogging`].
pub fn set_level(filter: &LogFilter) -> Result<LogFilter, NotLogging> {
    let level = LEVEL.get().ok_or(NotLogging)?;
    let mut now = level.now.lock().unwrap_or_else(PoisonError::into_inner);
    tracing::info!(from = %*now, to = %filter, "log level changes");
    if !(level.apply)(EnvFilter::new(filter.as_str())) {
        return Err(NotLogging);
    }
    tracing::info!(from = %*now, to = %filter, "log level changed");
    Ok(std::mem::replace(&mut *now, filter.clone()))
}

/// Makes what `handle` reaches the level of this process. The first one stays.
pub(super) fn reached_by<S: 'static>(handle: Handle<EnvFilter, S>, filter: &LogFilter) {
    let apply = move |filter| handle.reload(filter).is_ok();
    let _ = LEVEL.set(Level { apply: Box::new(apply), now: Mutex::new(filter.clone()) });
}
