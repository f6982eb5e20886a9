//! `authority.rotation.*`: when the authority changes its keys, and for whom it waits.

use std::time::Duration;

use signet_runtime::Reader;

use crate::authority::rotation::{GENERATIONS_MAX, Policy};

/// Most life of which a successor may have to be prepared early, in percent: beyond it the next one would be due while
/// this one is still young.
const PREPARED_PERCENT_MAX: u32 = 80;

/// Reads the section; `leaf_max` is the longest life of anything that is signed.
pub(super) fn rotation(reader: &mut Reader, leaf_max: Option<Duration>) -> Option<Policy> {
    let automatic = reader.or("authority.rotation.automatic", "true");
    let prepare = percent(reader, "authority.rotation.prepare_percent", "20", 90);
    let activate = percent(reader, "authority.rotation.activate_percent", "10", 80);
    let acknowledged = percent(reader, "authority.rotation.acknowledged_percent", "100", 100);
    // These may be zero: where every agent watches, nobody else has to be waited for.
    let min_wait: Option<Duration> = reader.or("authority.rotation.min_wait", "24h");
    let deadline = super::sections::duration(reader, "authority.rotation.deadline", "48h");
    let keep_old: Option<Duration> = reader.or("authority.rotation.keep_old", "24h");
    let renewal_spread: Option<Duration> = reader.or("authority.rotation.renewal_spread", "10m");
    if activate >= prepare && activate.is_some() {
        reader.refuse("authority.rotation.activate_percent", "must be less than `authority.rotation.prepare_percent`");
    }
    if min_wait > deadline && deadline.is_some() {
        reader.refuse("authority.rotation.min_wait", "must not be longer than `authority.rotation.deadline`");
    }
    Some(Policy {
        automatic: automatic?,
        prepare_percent: prepare?,
        activate_percent: activate?,
        acknowledged_percent: acknowledged?,
        min_wait: min_wait?,
        deadline: deadline?,
        keep_old: keep_old?,
        leaf_max: leaf_max?,
        renewal_spread: renewal_spread?,
    })
}

/// Refuses what could never work: roots too short for the certificates and the waits that are asked for.
pub(super) fn check(reader: &mut Reader, policy: &Policy, root_ttl: Duration) {
    let uncut = policy.leaf_max.saturating_add(policy.slack());
    let early = uncut.saturating_add(policy.deadline);
    if early > root_ttl / 100 * PREPARED_PERCENT_MAX {
        let message = format!(
            "a root of {} is too short: its successor signs {} before its end, so that no certificate is cut (the \
             longest of `leaf.max_ttl` and `serving.ttl`, and some slack), and is published {} earlier \
             (`authority.rotation.deadline`); together that may be at most {PREPARED_PERCENT_MAX} % of it",
            hours(root_ttl),
            hours(uncut),
            hours(policy.deadline),
        );
        reader.refuse("authority.root_ttl", message);
        return;
    }
    let trusted = uncut.saturating_add(policy.keep_old);
    let signing = root_ttl.saturating_sub(policy.activate_before(root_ttl));
    let at_once = trusted.as_secs().div_ceil(signing.as_secs().max(1)).saturating_add(2);
    if at_once > GENERATIONS_MAX as u64 {
        let message = format!(
            "old roots would be kept for {}, while each signs for {}: {at_once} would be published at once, at most \
             {GENERATIONS_MAX} can be",
            hours(trusted),
            hours(signing),
        );
        reader.refuse("authority.rotation.keep_old", message);
    }
}

fn percent(reader: &mut Reader, key: &str, default: &str, max: u64) -> Option<u64> {
    let percent: u64 = reader.or(key, default)?;
    if !(1..=max).contains(&percent) {
        reader.refuse(key, format!("must be from 1 to {max}"));
    }
    Some(percent)
}

/// As durations are written in settings, for a reader who compares.
fn hours(span: Duration) -> String {
    match span.as_secs() {
        secs if secs % 3600 == 0 => format!("{}h", secs / 3600),
        secs => humantime::format_duration(Duration::from_secs(secs)).to_string(),
    }
}
