//! The sections of the settings that say how much may be under way, and how long connections live.

use std::time::Duration;

use signet_runtime::Reader;
use signet_runtime::config::{FromSetting, Value};

use super::ConnectionsConfig;
use super::sections::duration;
use crate::admission::{AdmissionConfig, PaceConfig};

/// Most that either number may be: each request holds some kilobytes.
const MOST: u64 = 100_000;

/// Longest time that an operator can let callers wait; the server gives every request up soon after.
const WAIT_MAX: Duration = Duration::from_secs(25);

/// Longest time after which a holder may come again.
const HOLDER_INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// Shortest life of a connection.
const AGE_MIN: Duration = Duration::from_secs(1);

pub(super) fn admission(reader: &mut Reader) -> Option<AdmissionConfig> {
    let in_flight = count(reader, "admission.in_flight", "128", 1);
    let waiting = count(reader, "admission.waiting", "2048", 0);
    let wait_max = duration(reader, "admission.wait_max", "10s");
    if wait_max.is_some_and(|wait| wait > WAIT_MAX) {
        reader.refuse("admission.wait_max", "must be at most 25s");
    }
    let burst = count(reader, "admission.holder_burst", "20", 0);
    let interval = duration(reader, "admission.holder_interval", "10s");
    if interval.is_some_and(|interval| interval > HOLDER_INTERVAL_MAX) {
        reader.refuse("admission.holder_interval", "must be at most 1h");
    }
    let pace = PaceConfig { burst: u32::try_from(burst?).ok()?, interval: interval? };
    Some(AdmissionConfig { in_flight: in_flight?, waiting: waiting?, wait_max: wait_max?, pace })
}

/// What `connections.max_age` says where connections live on.
const NO_AGE: &str = "none";

pub(super) fn connections(reader: &mut Reader) -> Option<ConnectionsConfig> {
    let word: Option<String> = reader.or("connections.max_age", "30m");
    if word.as_deref() == Some(NO_AGE) {
        return Some(ConnectionsConfig { age_max: None });
    }
    let age = word.and_then(|word| Duration::from_setting(&Value::Text(word)));
    if age.is_none_or(|age| age < AGE_MIN) {
        reader.refuse("connections.max_age", "must be `none` or a duration of at least 1s, such as 30m");
    }
    Some(ConnectionsConfig { age_max: Some(age?) })
}

fn count(reader: &mut Reader, key: &str, default: &str, least: u64) -> Option<usize> {
    let count: u64 = reader.or(key, default)?;
    if !(least..=MOST).contains(&count) {
        reader.refuse(key, format!("must be from {least} to {MOST}"));
    }
    usize::try_from(count).ok()
}
