//! Takes away the oldest segments, by bytes and by age. Never the last one of a chain, which the chain goes on from.

use std::fs;
use std::path::Path;

use signet_identity::Timestamp;
use signet_runtime::files::FileError;

use super::reader::SegmentReader;
use super::segment::{Chain, Segment};
use super::store::Keeping;

/// What is kept of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) segments: u64,
    pub(super) bytes: u64,
    /// When its oldest segment was begun, where that can be read.
    pub(super) oldest: Option<Timestamp>,
    /// Whether records are gone whose certificates may still be valid.
    pub(super) is_short: bool,
    /// How many segments with such records were removed just now.
    pub(super) removed_early: u64,
}

/// Prunes the chain that this process writes, and those of `dir` that nobody writes now.
pub(super) fn prune(own: &Chain, dir: &Path, keeping: &Keeping, now: Timestamp) -> Result<Kept, FileError> {
    for other in Chain::all(dir)?.iter().filter(|other| *other != own) {
        if let Some(_lock) = other.lock()? {
            prune_chain(other, keeping, now)?;
        }
    }
    prune_chain(own, keeping, now)
}

/// As many segments as bytes demand, and for its age one at a time: a clock that is wrong for a moment must not take
/// everything away.
fn prune_chain(chain: &Chain, keeping: &Keeping, now: Timestamp) -> Result<Kept, FileError> {
    let mut segments = Vec::new();
    for segment in chain.segments()? {
        let bytes = fs::metadata(&segment.path).map_err(FileError::io("look at", &segment.path))?.len();
        segments.push((segment, bytes));
    }
    let (mut count, mut all_bytes) = (segments.len() as u64, segments.iter().map(|(_, bytes)| bytes).sum::<u64>());
    let (mut for_age, mut removed_early) = (1, 0);
    let valid_since = now.minus(keeping.life_max);
    for pair in segments.windows(2) {
        let [(segment, bytes), (after, _)] = pair else { break };
        let reason = if all_bytes > keeping.max_bytes {
            if !ended_before(after, valid_since)? {
                removed_early += 1;
            }
            "bytes"
        } else if for_age > 0 && ended_before(after, now.minus(keeping.max_age))? {
            for_age -= 1;
            "age"
        } else {
            break;
        };
        fs::remove_file(&segment.path).map_err(FileError::io("remove", &segment.path))?;
        tracing::info!(segment = %segment.path.display(), reason, "ledger's oldest segment was removed");
        (count, all_bytes) = (count - 1, all_bytes - bytes);
    }
    if removed_early > 0 {
        tracing::warn!(
            segments = removed_early,
            "records of certificates that may still be valid were removed, as `ledger.keep_max` is too small"
        );
    }
    let removed = usize::try_from(segments.len() as u64 - count).unwrap_or(usize::MAX);
    let first = segments.get(removed).map(|(segment, _)| SegmentReader::open(segment)).transpose()?;
    let header = first.and_then(Result::ok).map(|reader| (reader.header().first, reader.header().opened));
    Ok(Kept {
        segments: count,
        bytes: all_bytes,
        oldest: header.map(|(_, opened)| opened),
        is_short: header.is_some_and(|(first, opened)| first > 1 && opened > valid_since),
        removed_early,
    })
}

/// Whether all records before `after` are older than `instant`: their segment ended when `after` began. A segment whose
/// header cannot be read proves nothing.
fn ended_before(after: &Segment, instant: Timestamp) -> Result<bool, FileError> {
    Ok(SegmentReader::open(after)?.is_ok_and(|reader| reader.header().opened < instant))
}
