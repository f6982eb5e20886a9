//! What a peer's new bundle means beside the one that is held, when to ask again, and when what is held is too old.
//! Pure.

use std::time::Duration;

use signet_identity::{SpiffeBundle, Timestamp};

/// How often a peer is asked that does not say (SPIFFE Federation, 5.2.1).
const INTERVAL_DEFAULT: Duration = Duration::from_secs(300);

/// Least and most time between two questions, whatever a peer says.
pub(super) const INTERVAL_MIN: Duration = Duration::from_secs(60);
pub(super) const INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// A bundle is stale when nothing was heard for this many intervals.
const STALE_INTERVALS: u32 = 3;

/// Why a bundle is not taken although it was read. Whoever can make a peer's endpoint answer with an old bundle could
/// bring a root back that the peer took away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Its number is lower than that of the one held.
    #[error("its sequence went back from {held} to {offered}")]
    Backwards {
        /// The number held.
        held: u64,
        /// The number offered.
        offered: u64,
    },
    /// It has no number, and the one held has.
    #[error("it has no sequence, and the one before had {held}")]
    Unnumbered {
        /// The number held.
        held: u64,
    },
}

/// What a bundle that is taken means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// The same as before.
    Nothing,
    /// Other roots, keys, number or hint.
    Changed,
    /// Other roots or keys under the same number, which a peer should not do.
    ChangedUnderSameSequence,
}

/// Judges `offered` beside what is held.
///
/// # Errors
/// [`Rejection`].
pub(super) fn judge(held: Option<&SpiffeBundle>, offered: &SpiffeBundle) -> Result<News, Rejection> {
    let Some(held) = held else { return Ok(News::Changed) };
    match (held.sequence(), offered.sequence()) {
        (Some(held), Some(offered)) if offered < held => return Err(Rejection::Backwards { held, offered }),
        (Some(held), None) => return Err(Rejection::Unnumbered { held }),
        _ => {}
    }
    if held == offered {
        Ok(News::Nothing)
    } else if held.sequence().is_some() && held.sequence() == offered.sequence() && !held.has_same_content(offered) {
        Ok(News::ChangedUnderSameSequence)
    } else {
        Ok(News::Changed)
    }
}

/// How long to wait between two questions to the peer whose bundle is held.
pub(super) fn interval(held: Option<&SpiffeBundle>) -> Duration {
    let hint = held.and_then(SpiffeBundle::refresh_hint).filter(|hint| !hint.is_zero());
    hint.unwrap_or(INTERVAL_DEFAULT).clamp(INTERVAL_MIN, INTERVAL_MAX)
}

/// Whether a bundle that was last confirmed at `confirmed_at` is too old at `now`; never confirmed counts as too old.
pub(super) fn is_stale(held: Option<&SpiffeBundle>, confirmed_at: Option<Timestamp>, now: Timestamp) -> bool {
    confirmed_at.is_none_or(|at| now.since(at) > interval(held) * STALE_INTERVALS)
}

#[cfg(test)]
mod tests;
