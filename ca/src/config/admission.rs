//! The section of the settings that says how much may be under way.

use std::time::Duration;

use signet_runtime::Reader;

use super::sections::duration;
use crate::admission::AdmissionConfig;

/// Most that either number may be: each request holds some kilobytes.
const MOST: u64 = 100_000;

/// Longest time that an operator can let callers wait; the server gives every request up soon after.
const WAIT_MAX: Duration = Duration::from_secs(25);

pub(super) fn admission(reader: &mut Reader) -> Option<AdmissionConfig> {
    let in_flight = count(reader, "admission.in_flight", "128", 1);
    let waiting = count(reader, "admission.waiting", "2048", 0);
    let wait_max = duration(reader, "admission.wait_max", "10s");
    if wait_max.is_some_and(|wait| wait > WAIT_MAX) {
        reader.refuse("admission.wait_max", "must be at most 25s");
    }
    Some(AdmissionConfig { in_flight: in_flight?, waiting: waiting?, wait_max: wait_max? })
}

fn count(reader: &mut Reader, key: &str, default: &str, least: u64) -> Option<usize> {
    let count: u64 = reader.or(key, default)?;
    if !(least..=MOST).contains(&count) {
        reader.refuse(key, format!("must be from {least} to {MOST}"));
    }
    usize::try_from(count).ok()
}
