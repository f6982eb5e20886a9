//! `authority.rotation.*`: when the authority changes its keys, and for whom it waits.

use std::time::Duration;

use signet_runtime::Reader;

use super::sections::duration_from;
use super::{AuthorityConfig, ServingConfig};
use crate::authority::rotation::{GENERATIONS_MAX, Policy};
use crate::profile::Profile;

/// Most life of which a successor may have to be prepared early, in percent: beyond it the next one would be due while
/// this one is still young.
const PREPARED_PERCENT_MAX: u32 = 80;

const PREPARE: &str = "authority.rotation.prepare_percent";
const ACTIVATE: &str = "authority.rotation.activate_percent";

/// Shortest wait for agents that do not answer, and for clocks that are behind.
const WAIT_MIN: Duration = Duration::from_secs(60);

/// The longest lives of what is signed: of anything, and of what whoever asks for nothing special is given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lives {
    max: Duration,
    usual: Duration,
}

impl Lives {
    pub(super) fn of(leaf: &Profile, serving: &ServingConfig) -> Self {
        let longest = |leaf: Duration| leaf.max(serving.ttl);
        Self { max: longest(leaf.max_ttl), usual: longest(leaf.default_ttl.min(leaf.max_ttl)) }
    }
}

/// Reads the section; `lives` are those of what is signed by `authority`, `away` is how long issuing must go on while
/// nothing can be written down.
pub(super) fn rotation(
    reader: &mut Reader,
    lives: Option<Lives>,
    away: Duration,
    authority: Option<&AuthorityConfig>,
) -> Option<Policy> {
    let are_set = [PREPARE, ACTIVATE].map(|key| reader.is_set(key));
    let policy = policy(reader, lives, away)?;
    if let Some(root_ttl) = authority.map(|authority| authority.root_ttl) {
        match policy.automatic {
            true => check(reader, &policy, root_ttl, are_set),
            false => check_by_hand(reader, &policy, root_ttl),
        }
    }
    Some(policy)
}

fn policy(reader: &mut Reader, lives: Option<Lives>, away: Duration) -> Option<Policy> {
    let automatic = reader.or("authority.rotation.automatic", "true");
    let prepare = percent(reader, PREPARE, "20", 90);
    let activate = percent(reader, ACTIVATE, "10", 80);
    let acknowledged = percent(reader, "authority.rotation.acknowledged_percent", "100", 100);
    // These may be zero: where every agent watches, nobody else has to be waited for.
    let min_wait: Option<Duration> = reader.or("authority.rotation.min_wait", "24h");
    let deadline = duration_from(reader, "authority.rotation.deadline", "48h", WAIT_MIN);
    let keep_old = duration_from(reader, "authority.rotation.keep_old", "24h", WAIT_MIN);
    let renewal_spread: Option<Duration> = reader.or("authority.rotation.renewal_spread", "10m");
    if activate >= prepare && activate.is_some() {
        reader.refuse(ACTIVATE, "must be less than `authority.rotation.prepare_percent`");
    }
    if lives.zip(renewal_spread).is_some_and(|(lives, spread)| spread > lives.max) {
        let message = "must not be longer than the longest of `leaf.max_ttl` and `serving.ttl`";
        reader.refuse("authority.rotation.renewal_spread", message);
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
        leaf_max: lives?.max,
        leaf_usual: lives?.usual,
        away,
        renewal_spread: renewal_spread?,
    })
}

/// Refuses what could never work: roots too short for the certificates and the waits that are asked for.
fn check(reader: &mut Reader, policy: &Policy, root_ttl: Duration, are_set: [bool; 2]) {
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
    check_percents(reader, policy, root_ttl, are_set);
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

/// Refuses shares of life that somebody chose and that would never decide anything, as something else comes first.
fn check_percents(reader: &mut Reader, policy: &Policy, root_ttl: Duration, are_set: [bool; 2]) {
    let (prepares, activates) = (policy.prepare_before(root_ttl), policy.activate_before(root_ttl));
    let chosen = [(PREPARE, policy.prepare_percent, prepares), (ACTIVATE, policy.activate_percent, activates)];
    for ((key, percent, really), _) in chosen.into_iter().zip(are_set).filter(|(_, is_set)| *is_set) {
        let Ok(percent) = u32::try_from(percent) else { continue };
        let share = root_ttl / 100 * percent;
        // A share is cut to whole milliseconds.
        if share + Duration::from_secs(1) < really {
            let message = format!(
                "{percent} % of a root of {} would never be waited for: so that no certificate is cut, it happens {} \
                 before the end; leave it out, or make `authority.root_ttl` longer or certificates shorter",
                hours(root_ttl),
                hours(really),
            );
            reader.refuse(key, message);
        }
    }
}

/// Refuses lives that every root, also a new one, would cut.
fn check_by_hand(reader: &mut Reader, policy: &Policy, root_ttl: Duration) {
    if policy.leaf_max > root_ttl {
        let message = format!(
            "a root of {} is shorter than the {} of the longest of `leaf.max_ttl` and `serving.ttl`",
            hours(root_ttl),
            hours(policy.leaf_max),
        );
        reader.refuse("authority.root_ttl", message);
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
