//! When token keys are made, used and dropped. Pure: time comes in as an argument, keys are known by their names.
//!
//! There always is one key that signs and, published beside it, the one that will sign next; so a key has been public
//! for most of its predecessor's life before its first token appears. A key that signs no more stays published until
//! the last token by it has ended.
//!
//! Two clocks, because either may lie. The wall clock says when tokens end. The steady clock counts only while the
//! process runs and cannot jump: a key may sign only after it was published for [`Policy::lead`] by the steady clock,
//! and an old key goes only after its longest token's life has passed by both. So a wall clock that jumps forward
//! neither brings a key into use that nobody knows, nor takes one away that tokens still need.

use std::time::Duration;

use signet_identity::Timestamp;

/// Most keys at once: the two in use, and old ones whose tokens have not ended.
pub(crate) const KEYS_MAX: usize = 16;

/// How far in advance it is written down until when a key stays published, so that it need not be for each token.
const HORIZON_STEP: Duration = Duration::from_secs(3600);

/// The horizon moves when less than this is left beyond the longest token.
const HORIZON_MARGIN: Duration = Duration::from_secs(600);

/// How far a verifier's clock may be behind ours.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(60);

/// Time that may be credited to keys without being written down.
const UNSAVED_MAX: Duration = Duration::from_secs(300);

/// The operator's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Whether tokens are minted; otherwise keys only go.
    pub(crate) mints: bool,
    /// How long a key signs.
    pub(crate) key_ttl: Duration,
    /// How long a key must have been published before it signs.
    pub(crate) lead: Duration,
    /// The longest life of a token.
    pub(crate) token_ttl_max: Duration,
    /// How long minting must go on while nothing can be written down.
    pub(crate) away: Duration,
}

/// What a key is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Published, so that it is known everywhere when its time comes.
    Next,
    /// Signs.
    Active,
    /// Verifies tokens that have not ended.
    Old,
}

impl Phase {
    pub(crate) const ALL: [Self; 3] = [Self::Next, Self::Active, Self::Old];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Active => "active",
            Self::Old => "old",
        }
    }
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// What tokens call it.
    pub(crate) kid: String,
    pub(crate) phase: Phase,
    /// When it entered its phase, by the wall clock.
    pub(crate) since: Timestamp,
    /// How long it has been in its phase, by the steady clock.
    pub(crate) served: Duration,
    /// No token by it ends later.
    pub(crate) horizon: Timestamp,
    /// The longest life that a token by it may have been given.
    pub(crate) longest: Duration,
}

/// All keys, and the number of the published set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schedule {
    entries: Vec<Entry>,
    version: u64,
    /// Credited since it was last written down.
    unsaved: Duration,
}

/// What has to be done and written down before anything else follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Due {
    /// Publish a new key.
    Publish,
    /// Let the next key sign.
    Activate,
    /// Move the signing key's horizon.
    Extend,
    /// Take a key away.
    Drop {
        /// Which.
        kid: String,
    },
    /// Nothing but the time that has passed.
    Remember,
}

/// What a stored schedule says that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Inconsistent {
    /// Over `KEYS_MAX`.
    #[error("it holds {count} keys, at most {KEYS_MAX} can be")]
    TooMany {
        /// Keys given.
        count: usize,
    },
    /// Two keys that sign, or two that wait.
    #[error("it holds more than one key that is {phase}")]
    NotAlone {
        /// What both are.
        phase: &'static str,
    },
    /// Two keys of one name.
    #[error("it holds key `{kid}` twice")]
    Repeated {
        /// The name.
        kid: String,
    },
}

impl Schedule {
    /// No keys. The published sets are numbered from the time, so that one who lost everything does not count from the
    /// beginning again.
    pub(crate) fn new(now: Timestamp) -> Self {
        let version = u64::try_from(now.unix_secs()).unwrap_or(0);
        Self { entries: Vec::new(), version, unsaved: Duration::ZERO }
    }

    /// The schedule that was written down.
    ///
    /// # Errors
    /// [`Inconsistent`].
    pub(crate) fn restored(entries: Vec<Entry>, version: u64) -> Result<Self, Inconsistent> {
        if entries.len() > KEYS_MAX {
            return Err(Inconsistent::TooMany { count: entries.len() });
        }
        for phase in [Phase::Next, Phase::Active] {
            if entries.iter().filter(|entry| entry.phase == phase).count() > 1 {
                return Err(Inconsistent::NotAlone { phase: phase.as_str() });
            }
        }
        let mut kids: Vec<&str> = entries.iter().map(|entry| entry.kid.as_str()).collect();
        kids.sort_unstable();
        let repeated = kids.windows(2).find_map(|pair| match pair {
            [one, other] if one == other => Some((*one).to_owned()),
            _ => None,
        });
        match repeated {
            Some(kid) => Err(Inconsistent::Repeated { kid }),
            None => Ok(Self { entries, version, unsaved: Duration::ZERO }),
        }
    }

    /// All keys, the oldest first: these are published.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Grows whenever the published set changes.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The key that signs.
    pub(crate) fn active(&self) -> Option<&Entry> {
        self.in_phase(Phase::Active)
    }

    fn in_phase(&self, phase: Phase) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.phase == phase)
    }

    /// Credits `span` of the steady clock to all keys.
    pub(crate) fn credit(&mut self, span: Duration) {
        self.unsaved = self.unsaved.saturating_add(span);
        for entry in &mut self.entries {
            entry.served = entry.served.saturating_add(span);
        }
    }

    /// What has to be done at `now`, the most urgent first; `None` when everything is as it should be.
    pub(crate) fn due(&self, policy: &Policy, now: Timestamp) -> Option<Due> {
        if !policy.mints {
            return self.leaving(now);
        }
        let (next, active) = (self.in_phase(Phase::Next), self.active());
        match (next, active) {
            (Some(_), None) => return Some(Due::Activate),
            (Some(next), Some(active)) if next.served >= policy.lead && active.has_signed_enough(policy, now) => {
                return Some(Due::Activate);
            }
            (None, None) => return Some(Due::Publish),
            _ => {}
        }
        if active.is_some_and(|active| active.needs_horizon(policy, now)) {
            return Some(Due::Extend);
        }
        if next.is_none() && self.entries.len() < KEYS_MAX {
            return Some(Due::Publish);
        }
        let over = self.entries.iter().find(|entry| entry.is_over(now)).or_else(|| self.oldest_if_full());
        if let Some(over) = over {
            return Some(Due::Drop { kid: over.kid.clone() });
        }
        (self.unsaved >= UNSAVED_MAX).then_some(Due::Remember)
    }

    /// What has to be done where no token is minted any more: each key goes once its last token has ended.
    fn leaving(&self, now: Timestamp) -> Option<Due> {
        let over = self.entries.iter().find(|entry| entry.phase == Phase::Next || entry.has_no_tokens(now));
        let due = over.map(|entry| Due::Drop { kid: entry.kid.clone() });
        due.or_else(|| (self.unsaved >= UNSAVED_MAX && !self.entries.is_empty()).then_some(Due::Remember))
    }

    /// With no place left, the steady clock alone decides: a horizon that a wrong wall clock put into the far future
    /// must not end rotation.
    fn oldest_if_full(&self) -> Option<&Entry> {
        let is_full = self.entries.len() >= KEYS_MAX && self.in_phase(Phase::Next).is_none();
        self.entries.iter().find(|entry| is_full && entry.phase == Phase::Old && entry.served >= entry.longest)
    }

    /// Publishes a new key called `kid`.
    pub(crate) fn publish(&mut self, kid: String, now: Timestamp) {
        let (served, longest) = (Duration::ZERO, Duration::ZERO);
        self.entries.push(Entry { kid, phase: Phase::Next, since: now, served, horizon: now, longest });
        self.changed();
    }

    /// Lets the next key sign, if there is one.
    pub(crate) fn activate(&mut self, policy: &Policy, now: Timestamp) {
        if self.in_phase(Phase::Next).is_none() {
            return;
        }
        for entry in &mut self.entries {
            match entry.phase {
                Phase::Active => entry.enter(Phase::Old, now),
                Phase::Next => {
                    entry.enter(Phase::Active, now);
                    entry.extend(policy, now);
                }
                Phase::Old => {}
            }
        }
    }

    /// Moves the signing key's horizon.
    pub(crate) fn extend(&mut self, policy: &Policy, now: Timestamp) {
        self.entries
            .iter_mut()
            .filter(|entry| entry.phase == Phase::Active)
            .for_each(|entry| entry.extend(policy, now));
    }

    /// Takes the key called `kid` away.
    pub(crate) fn drop(&mut self, kid: &str) {
        self.entries.retain(|entry| entry.kid != kid);
        self.changed();
    }

    /// Notes that it is being written down.
    pub(crate) fn saved(&mut self) {
        self.unsaved = Duration::ZERO;
    }

    /// Why the signing key is in use for much longer than it should be, if it is.
    pub(crate) fn is_overdue(&self, policy: &Policy) -> bool {
        let allowed = policy.key_ttl.saturating_add(policy.lead.saturating_mul(2));
        self.active().is_some_and(|active| active.served > allowed)
    }

    fn changed(&mut self) {
        self.version = self.version.saturating_add(1);
    }
}

impl Entry {
    fn enter(&mut self, phase: Phase, now: Timestamp) {
        (self.phase, self.since, self.served) = (phase, now, Duration::ZERO);
    }

    /// By either clock: the wall clock may have gone back, and the steady one stands still while the process does.
    fn has_signed_enough(&self, policy: &Policy, now: Timestamp) -> bool {
        now.since(self.since) >= policy.key_ttl || self.served >= policy.key_ttl
    }

    fn needs_horizon(&self, policy: &Policy, now: Timestamp) -> bool {
        let needed = now.plus(policy.token_ttl_max).plus(policy.away).plus(HORIZON_MARGIN);
        self.horizon < needed || self.longest < policy.token_ttl_max
    }

    fn extend(&mut self, policy: &Policy, now: Timestamp) {
        self.horizon = self.horizon.max(now.plus(policy.token_ttl_max).plus(policy.away).plus(HORIZON_STEP));
        self.longest = self.longest.max(policy.token_ttl_max);
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.phase == Phase::Old && self.has_no_tokens(now)
    }

    /// Whether every token that it has signed has ended, unless it signs still.
    fn has_no_tokens(&self, now: Timestamp) -> bool {
        now > self.horizon.plus(CLOCK_SKEW_MAX) && self.served >= self.longest
    }
}

#[cfg(test)]
mod tests;
