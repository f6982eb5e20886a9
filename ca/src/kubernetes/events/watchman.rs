//! What is worth an event: bursts of refusals, steps of rotation, an end that comes near. Pure; nothing is sent here.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use signet_identity::Timestamp;
use tokio::time::Instant;

use crate::authority::{Ending, GenerationView, Overview};

/// Over how long refusals are counted, and how many within it are a burst.
const BURST_WINDOW: Duration = Duration::from_secs(60);
const BURST: u64 = 100;

/// How long after one burst was told the next one is.
const BURST_PAUSE: Duration = Duration::from_secs(300);

/// How long after an end was told it is told again.
const END_PAUSE: Duration = Duration::from_secs(86_400);

/// Requests refused since the start, by reason.
pub(super) type Refused = BTreeMap<&'static str, u64>;

/// One thing that an operator should see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Happening {
    pub(super) is_warning: bool,
    /// A stable word.
    pub(super) reason: &'static str,
    pub(super) action: &'static str,
    pub(super) note: String,
}

/// Compares what it is shown with what it saw before.
#[derive(Debug, Default)]
pub(super) struct Watchman {
    /// What was refused within the window, oldest first.
    refused: VecDeque<(Instant, Refused)>,
    burst_told: Option<Instant>,
    /// Where each generation stood; none before the first look.
    phases: Option<BTreeMap<u64, &'static str>>,
    /// The end that was told last, whether it was past, and when.
    end_told: Option<(Timestamp, bool, Timestamp)>,
}

impl Watchman {
    /// Whether more was refused of late than a healthy cluster explains.
    pub(super) fn refusals(&mut self, refused: &Refused, now: Instant) -> Option<Happening> {
        while self.refused.front().is_some_and(|(at, _)| now.duration_since(*at) > BURST_WINDOW) {
            self.refused.pop_front();
        }
        let before = self.refused.front().map(|(_, before)| before.clone());
        self.refused.push_back((now, refused.clone()));
        let before = before?;
        let grown =
            refused.iter().map(|(reason, count)| (*reason, count - before.get(reason).unwrap_or(&0).min(count)));
        let grown: Vec<_> = grown.collect();
        let all: u64 = grown.iter().map(|(_, count)| count).sum();
        let (worst, count) = grown.into_iter().max_by_key(|(_, count)| *count)?;
        let is_told = self.burst_told.is_some_and(|told| now.duration_since(told) < BURST_PAUSE);
        if all < BURST || is_told {
            return None;
        }
        self.burst_told = Some(now);
        let note = format!(
            "{all} requests were refused within a minute, {count} of them for `{worst}`; the log names each caller"
        );
        Some(Happening { is_warning: true, reason: "RefusalBurst", action: "Refusing", note })
    }

    /// What became of each generation since the last look. What was so at the first look is nothing new.
    pub(super) fn rotation(&mut self, overview: &Overview) -> Vec<Happening> {
        let now: BTreeMap<_, _> = overview.generations.iter().map(|found| (found.id, found.phase)).collect();
        let Some(before) = self.phases.replace(now) else { return Vec::new() };
        let changed = overview.generations.iter().filter(|found| before.get(&found.id) != Some(&found.phase));
        changed.filter_map(step).collect()
    }

    /// Whether what signs ends soon, or has ended.
    pub(super) fn end(&mut self, ending: Ending, now: Timestamp) -> Option<Happening> {
        let Ending { usable, alarm_before } = ending;
        let end = usable.not_after();
        let is_past = now > end;
        if usable.remaining(now) > alarm_before {
            self.end_told = None;
            return None;
        }
        let is_told = self
            .end_told
            .is_some_and(|(told, was_past, at)| told == end && was_past == is_past && now.since(at) < END_PAUSE);
        if is_told {
            return None;
        }
        self.end_told = Some((end, is_past, now));
        let (reason, note) = match is_past {
            true => ("AuthorityExpired", format!("the signing certificate ended at {end}, nothing can be issued")),
            false => ("AuthorityExpires", format!("the signing certificate ends at {end} and was not replaced yet")),
        };
        Some(Happening { is_warning: true, reason, action: "Signing", note })
    }
}

/// What a generation's new phase says to an operator.
fn step(found: &GenerationView) -> Option<Happening> {
    let GenerationView { id, not_after, .. } = found;
    let (is_warning, reason, note) = match found.phase {
        "prepared" => (false, "GenerationPrepared", format!("generation {id} was made, its root is to be published")),
        "published" => {
            let waits_for = found.waits_for.as_deref().unwrap_or("its turn");
            (false, "RootPublished", format!("the root of generation {id} is published; it waits for {waits_for}"))
        }
        "active" => {
            (false, "GenerationActive", format!("generation {id} signs from now on, at most until {not_after}"))
        }
        "tainted" => (true, "GenerationTainted", format!("certificates under generation {id} are to be replaced now")),
        "retired" => (false, "RootRetired", format!("the root of generation {id} is published no more")),
        "revoked" => (true, "RootRevoked", format!("the root of generation {id} was taken away")),
        // Told with the one that signs instead.
        _ => return None,
    };
    Some(Happening { is_warning, reason, action: "Rotating", note })
}

#[cfg(test)]
mod tests;
