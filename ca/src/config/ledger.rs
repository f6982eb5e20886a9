//! The ledger's section of the settings.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use signet_runtime::Reader;
use signet_runtime::config::{FromSetting, Value};

use super::sections::duration;
use crate::ledger::{Keeping, LedgerConfig, SEGMENTS_MAX, SyncPolicy};

/// What `ledger.dir` says where nothing is to be recorded.
const NO_DIR: &str = "none";

/// Smallest segment: far more than one record.
const SEGMENT_MIN_BYTES: u64 = 64 * 1024;

/// Longest time for which a record may not be on the disk.
const SYNC_MAX: Duration = Duration::from_secs(60);

/// The section; the inner `None` says that nothing is recorded. `default_dir` is where the ledger is when nobody says,
/// `leaf_max_ttl` how long a certificate can live.
pub(super) fn ledger(
    reader: &mut Reader,
    default_dir: &Path,
    leaf_max_ttl: Option<Duration>,
) -> Option<Option<LedgerConfig>> {
    let dir: Option<PathBuf> = reader.or("ledger.dir", &default_dir.to_string_lossy());
    let sync: Option<SyncPolicy> = reader.parsed_or("ledger.sync", "always");
    let segment: Option<Bytes> = reader.parsed_or("ledger.segment_max", "64MiB");
    let keep: Option<Bytes> = reader.parsed_or("ledger.keep_max", "1GiB");
    let max_age = duration(reader, "ledger.keep_max_age", "8760h");
    let (dir, sync, Bytes(segment_max_bytes), Bytes(max_bytes), max_age) = (dir?, sync?, segment?, keep?, max_age?);
    if segment_max_bytes < SEGMENT_MIN_BYTES {
        reader.refuse("ledger.segment_max", "must be at least 64KiB");
    } else if max_bytes / 2 < segment_max_bytes {
        reader.refuse("ledger.keep_max", "must be at least twice `ledger.segment_max`, as whole segments are removed");
    } else if max_bytes / segment_max_bytes > SEGMENTS_MAX as u64 / 2 {
        reader.refuse("ledger.segment_max", "is too small for `ledger.keep_max`: there would be too many segments");
    }
    if leaf_max_ttl.is_some_and(|ttl| max_age < ttl) {
        let message = "must be at least `leaf.max_ttl`, or records would be removed before their certificates end";
        reader.refuse("ledger.keep_max_age", message);
    }
    if dir.as_os_str() == NO_DIR {
        return Some(None);
    }
    let keeping = Keeping { segment_max_bytes, max_bytes, max_age, life_max: leaf_max_ttl? };
    Some(Some(LedgerConfig { dir, sync, keeping }))
}

impl FromStr for SyncPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "always" {
            return Ok(Self::Always);
        }
        let bound = Duration::from_setting(&Value::Text(text.to_owned()));
        match bound {
            Some(bound) if !bound.is_zero() && bound <= SYNC_MAX => Ok(Self::Within(bound)),
            _ => Err(format!("`{text}` is neither `always` nor a duration of at most 60s, such as 1s")),
        }
    }
}

/// A number of bytes, written with its unit.
struct Bytes(u64);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
        let read = units.into_iter().find_map(|(unit, bytes): (_, u64)| {
            let number: u64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
            number.checked_mul(bytes)
        });
        read.map(Self).ok_or_else(|| format!("`{text}` is not a size such as 64MiB or 1GiB"))
    }
}
