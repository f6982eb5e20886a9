//! When to prepare, when to activate, when to retire: the operator's rules, and what follows from them.

use std::time::Duration;

use signet_identity::{Lifetime, Timestamp};

use super::Origin;

/// Least and most time by which the horizon of the active generation runs ahead of what it needs.
const SLACK_MIN: Duration = Duration::from_secs(600);
const SLACK_MAX: Duration = Duration::from_secs(86_400);

/// What is left of life, in percent, when an end is near that nobody but an operator can prevent.
const NEAR_PERCENT: u64 = 5;

/// The rules of rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Whether generations are prepared and activated without an operator.
    pub automatic: bool,
    /// Prepare when less than this share of the active generation's life is left, in percent.
    pub prepare_percent: u64,
    /// Activate when less than this share is left, in percent.
    pub activate_percent: u64,
    /// The share of connected watchers that must have acknowledged a new root, in percent.
    pub acknowledged_percent: u64,
    /// How long a new root is published at least, for those who do not watch.
    pub min_wait: Duration,
    /// How long a new root is published at most before it may sign, whoever has acknowledged it.
    pub deadline: Duration,
    /// How long an old root stays published after the last leaf under it has ended.
    pub keep_old: Duration,
    /// The longest life of anything that is signed.
    pub leaf_max: Duration,
    /// The longest life of what is signed for whoever asks for nothing special.
    pub leaf_usual: Duration,
    /// How long issuing must go on while nothing can be written down.
    pub away: Duration,
    /// Over how long agents should spread the renewals that a taint asks for.
    pub renewal_spread: Duration,
}

impl Policy {
    /// Nothing happens by itself; leaves live up to Istio's maximum.
    pub fn by_hand() -> Self {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        Self {
            automatic: false,
            prepare_percent: 20,
            activate_percent: 10,
            acknowledged_percent: 100,
            min_wait: hours(24),
            deadline: hours(48),
            keep_old: hours(24),
            leaf_max: hours(2160),
            leaf_usual: hours(24),
            away: Duration::ZERO,
            renewal_spread: hours(1),
        }
    }

    /// By how much the horizon may run ahead of the longest leaf: coarse, so that it is seldom written, and more where
    /// it cannot always be.
    pub fn slack(&self) -> Duration {
        slack(self.leaf_max).saturating_add(self.away)
    }

    /// Time left of `life` at which a prepared generation is activated: early enough that no leaf is cut.
    pub fn activate_before(&self, life: Duration) -> Duration {
        let uncut = self.leaf_max.saturating_add(self.slack());
        share(life, self.activate_percent).max(uncut).min(share(life, 80))
    }

    /// Time left of `life` at which a successor is prepared: early enough that it can wait for its deadline.
    pub fn prepare_before(&self, life: Duration) -> Duration {
        let in_time = self.activate_before(life).saturating_add(self.deadline);
        share(life, self.prepare_percent).max(in_time).min(share(life, 90))
    }

    /// Time left of `life` at which an operator should know that no successor is there. One that is plugged in, under a
    /// root that is known, need not wait.
    pub fn tell_before(&self, life: Duration, origin: Origin) -> Duration {
        let wait = if origin == Origin::SelfSigned { self.deadline } else { Duration::ZERO };
        let in_time = self.leaf_usual.saturating_add(slack(self.leaf_usual)).saturating_add(wait);
        share(life, self.prepare_percent).max(in_time).min(share(life, 90))
    }

    /// Time left of `life` at which something is wrong: what should have happened by itself has not, or nobody did it.
    pub fn alarm_before(&self, life: Duration, origin: Origin) -> Duration {
        let near = share(life, NEAR_PERCENT);
        if self.automatic && origin == Origin::SelfSigned { near.min(self.activate_before(life) / 2) } else { near }
    }

    /// Whether `usable` has less left at `now` than `before` says of its whole life.
    pub(super) fn is_due(usable: Lifetime, now: Timestamp, before: impl Fn(Duration) -> Duration) -> bool {
        usable.remaining(now) < before(usable.not_after().since(usable.not_before()))
    }

    /// The longest life that a leaf may be given under a path that is valid for `usable`.
    pub(super) fn longest(&self, usable: Lifetime) -> Duration {
        self.leaf_max.min(usable.not_after().since(usable.not_before()))
    }

    /// A horizon that lasts for a while, never beyond the end of the path.
    pub(super) fn horizon(&self, usable: Lifetime, now: Timestamp) -> Timestamp {
        now.plus(self.leaf_max.saturating_add(self.slack())).min(usable.not_after()).whole_secs()
    }

    /// What the horizon must at least be.
    pub(super) fn horizon_min(&self, usable: Lifetime, now: Timestamp) -> Timestamp {
        let ahead = self.away.saturating_add(slack(self.leaf_max) / 2);
        now.plus(self.leaf_max.saturating_add(ahead)).min(usable.not_after()).whole_secs()
    }
}

fn slack(leaf: Duration) -> Duration {
    (leaf / 8).clamp(SLACK_MIN, SLACK_MAX)
}

fn share(life: Duration, percent: u64) -> Duration {
    let millis = life.as_millis().saturating_mul(u128::from(percent)) / 100;
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_alarmed_before_what_happens_by_itself_is_overdue() {
        let day = Duration::from_secs(86_400);
        for activate_percent in [1, 2, 4, 5, 10, 80] {
            for (life, leaf_max) in [(3_650 * day, 90 * day), (3_650 * day, day / 24), (30 * day, day), (day, day / 24)]
            {
                let policy = Policy { automatic: true, activate_percent, leaf_max, ..Policy::by_hand() };
                let (activates, alarms) = (policy.activate_before(life), policy.alarm_before(life, Origin::SelfSigned));
                assert!(alarms * 2 <= activates, "{activate_percent} %: {alarms:?} of {activates:?}");
                assert!(!alarms.is_zero() && alarms <= life / 20);
            }
        }
    }

    #[test]
    fn where_an_operator_has_to_act_the_last_twentieth_is_an_alarm() {
        let (by_hand, life) = (Policy::by_hand(), Duration::from_secs(2_000));
        let automatic = Policy { automatic: true, activate_percent: 1, ..by_hand.clone() };
        assert_eq!(by_hand.alarm_before(life, Origin::SelfSigned), life / 20);
        assert_eq!(automatic.alarm_before(life, Origin::PluggedIn), life / 20);
    }
}
