//! What stands where: every namespace with what is wanted there, what was seen there, and what went wrong.
//!
//! Pure; the task around it moves objects and time. A namespace is due when what was seen is not what is wanted, and
//! stays due until it is: nothing is given up, only waited longer for.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use signet_runtime::Backoff;
use tokio::time::Instant;

use super::roots::{Seen, Wanted};

/// Waits after failures in one namespace.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(60);
const JITTER: f64 = 0.2;

/// How often an edit is put right within [`HEAL_WINDOW`] before it is taken for a fight.
const HEALS_MAX: usize = 5;
const HEAL_WINDOW: Duration = Duration::from_secs(600);

/// How long a fight is left alone, and a refusal that only an operator can change.
const TRUCE: Duration = Duration::from_secs(600);
const REFUSED_WAIT: Duration = Duration::from_secs(60);

/// Most namespaces.
pub(super) const NAMESPACES_MAX: usize = 20_000;

/// Why a namespace does not have what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The API server could not be asked, or refused.
    Failed(String),
    /// Another manager owns it, and there is no leave to overwrite.
    Owned(Vec<String>),
    /// Another manager changes it again and again.
    Contested(Vec<String>),
    /// It was written and came back different.
    Altered,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => f.write_str(error),
            Self::Owned(by) => write!(f, "another manager owns it: {}", by.join(", ")),
            Self::Contested(by) => write!(f, "another manager keeps changing it: {}", by.join(", ")),
            Self::Altered => f.write_str("it was written and came back changed"),
        }
    }
}

/// How an attempt to write ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It stands there.
    Written(Seen),
    /// It stands there again after these had changed it.
    Healed(Seen, Vec<String>),
    /// The namespace is ending or gone.
    Leaving,
    /// It does not stand there; the server may wish to be left alone.
    Not(Trouble, Option<Duration>),
}

#[derive(Debug, Default)]
struct Space {
    is_enabled: bool,
    is_under_way: bool,
    /// Whether what was wanted stood there once, so that what changed it is an edit.
    was_met: bool,
    failures: u32,
    not_before: Option<Instant>,
    trouble: Option<Trouble>,
    heals: VecDeque<Instant>,
}

/// How far the roots have spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spread {
    /// Namespaces that should have them.
    pub total: usize,
    /// Of these, those that do not.
    pub behind: usize,
    /// Of those behind, those where another manager is in the way.
    pub refused: usize,
}

/// All namespaces.
#[derive(Debug)]
pub(super) struct Board {
    wanted: Option<Wanted>,
    spaces: BTreeMap<Box<str>, Space>,
    maps: BTreeMap<Box<str>, Seen>,
    are_spaces_listed: bool,
    are_maps_listed: bool,
    retry: Backoff,
}

impl Board {
    pub(super) fn new() -> Self {
        Self {
            wanted: None,
            spaces: BTreeMap::new(),
            maps: BTreeMap::new(),
            are_spaces_listed: false,
            are_maps_listed: false,
            retry: Backoff::new(RETRY_FIRST, RETRY_MAX, JITTER),
        }
    }

    /// What is to stand everywhere from now on.
    pub(super) fn want(&mut self, wanted: Wanted) {
        if self.wanted.as_ref() != Some(&wanted) {
            self.wanted = Some(wanted);
            self.spaces.values_mut().for_each(Space::forget_failures);
        }
    }

    pub(super) fn wanted(&self) -> Option<&Wanted> {
        self.wanted.as_ref()
    }

    /// These namespaces are all there are; whether each is to have the roots.
    pub(super) fn replace_spaces(&mut self, all: Vec<(Box<str>, bool)>) {
        let mut known = std::mem::take(&mut self.spaces);
        for (name, is_enabled) in all.into_iter().take(NAMESPACES_MAX) {
            let space = known.remove(&name).unwrap_or_default();
            self.spaces.insert(name, Space { is_enabled, ..space });
        }
        self.are_spaces_listed = true;
    }

    pub(super) fn put_space(&mut self, name: Box<str>, is_enabled: bool) {
        if self.spaces.len() < NAMESPACES_MAX || self.spaces.contains_key(&name) {
            self.spaces.entry(name).or_default().is_enabled = is_enabled;
        }
    }

    pub(super) fn remove_space(&mut self, name: &str) {
        self.spaces.remove(name);
        self.maps.remove(name);
    }

    pub(super) fn spaces(&self) -> usize {
        self.spaces.len()
    }

    /// These ConfigMaps are all there are.
    pub(super) fn replace_maps(&mut self, all: Vec<(Box<str>, Seen)>) {
        self.maps.clear();
        for (namespace, seen) in all {
            self.put_map(namespace, seen);
        }
        self.are_maps_listed = true;
    }

    pub(super) fn put_map(&mut self, namespace: Box<str>, seen: Seen) {
        if self.maps.len() < NAMESPACES_MAX || self.maps.contains_key(&namespace) {
            if let (Some(space), Some(wanted)) = (self.spaces.get_mut(&namespace), &self.wanted) {
                space.was_met |= wanted.is_met_by(&seen);
                if self.maps.get(&namespace) != Some(&seen) {
                    space.owner_may_have_changed();
                }
            }
            self.maps.insert(namespace, seen);
        }
    }

    pub(super) fn remove_map(&mut self, namespace: &str) {
        self.maps.remove(namespace);
        if let Some(space) = self.spaces.get_mut(namespace) {
            space.owner_may_have_changed();
        }
    }

    /// This is all there is, in the one place that there is.
    pub(super) fn saw(&mut self, place: &str, seen: Option<Seen>) {
        match seen {
            Some(seen) => self.put_map(place.into(), seen),
            None => self.remove_map(place),
        }
        self.are_maps_listed = true;
    }

    /// What is in `place` cannot be seen.
    pub(super) fn blind(&mut self, place: &str, why: String) {
        if let Some(space) = self.spaces.get_mut(place) {
            space.trouble = Some(Trouble::Failed(why));
        }
    }

    pub(super) fn maps(&self) -> usize {
        self.maps.len()
    }

    /// Up to `max` namespaces to write to now, and whether each had what was wanted once. Each counts as under way until
    /// [`Board::ended`].
    pub(super) fn take_due(&mut self, now: Instant, max: usize) -> Vec<(Box<str>, bool)> {
        let Some(wanted) = self.wanted.as_ref().filter(|_| self.is_known()) else { return Vec::new() };
        let maps = &self.maps;
        let mut due = Vec::new();
        for (name, space) in &mut self.spaces {
            if due.len() == max {
                break;
            }
            let is_due = space.is_enabled
                && !space.is_under_way
                && space.not_before.is_none_or(|at| at <= now)
                && !maps.get(name).is_some_and(|seen| wanted.is_met_by(seen));
            if is_due {
                space.is_under_way = true;
                due.push((name.clone(), space.was_met));
            }
        }
        due
    }

    /// When the next namespace becomes due, if any is waited for.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let waiting = self.spaces.iter().filter(|(name, space)| space.is_enabled && !self.is_met(name));
        waiting.filter_map(|(_, space)| space.not_before).min()
    }

    /// An attempt ended. Gives the trouble when it is a new one.
    pub(super) fn ended(&mut self, name: &str, outcome: Outcome, now: Instant) -> Option<Trouble> {
        let space = self.spaces.get_mut(name)?;
        space.is_under_way = false;
        let trouble = match outcome {
            Outcome::Written(seen) => {
                space.forget_failures();
                space.was_met = true;
                self.maps.insert(name.into(), seen);
                return None;
            }
            Outcome::Healed(seen, by) => {
                space.forget_failures();
                space.was_met = true;
                self.maps.insert(name.into(), seen);
                if !space.is_fight(now) {
                    return None;
                }
                space.not_before = Some(now + TRUCE);
                Trouble::Contested(by)
            }
            Outcome::Leaving => {
                space.is_enabled = false;
                return None;
            }
            Outcome::Not(trouble, wish) => {
                let wait = match trouble {
                    Trouble::Owned(_) => REFUSED_WAIT,
                    _ => self.retry.wait(space.failures),
                };
                space.failures = space.failures.saturating_add(1);
                space.not_before = Some(now + wait.max(wish.unwrap_or_default()));
                trouble
            }
        };
        let is_new = space.trouble.as_ref().map(std::mem::discriminant) != Some(std::mem::discriminant(&trouble));
        space.trouble = Some(trouble.clone());
        is_new.then_some(trouble)
    }

    pub(super) fn spread(&self) -> Spread {
        let mut spread = Spread::default();
        for (name, space) in self.spaces.iter().filter(|(_, space)| space.is_enabled) {
            spread.total += 1;
            if !self.is_met(name) {
                spread.behind += 1;
                let in_the_way = matches!(space.trouble, Some(Trouble::Owned(_) | Trouble::Contested(_)));
                spread.refused += usize::from(in_the_way);
            }
        }
        spread
    }

    /// One place that is behind, and what is in its way.
    pub(super) fn example(&self) -> Option<(Box<str>, Trouble)> {
        let behind = self.spaces.iter().filter(|(name, space)| space.is_enabled && !self.is_met(name));
        behind.filter_map(|(name, space)| Some((name.clone(), space.trouble.clone()?))).next()
    }

    /// Whether it is known what is where.
    pub(super) fn is_known(&self) -> bool {
        self.are_spaces_listed && self.are_maps_listed
    }

    fn is_met(&self, name: &str) -> bool {
        match (&self.wanted, self.maps.get(name)) {
            (Some(wanted), Some(seen)) => wanted.is_met_by(seen),
            _ => false,
        }
    }
}

impl Space {
    fn forget_failures(&mut self) {
        self.failures = 0;
        self.trouble = None;
        self.not_before = None;
    }

    /// What another owned is different now, so it is asked again at once.
    fn owner_may_have_changed(&mut self) {
        if matches!(self.trouble, Some(Trouble::Owned(_))) {
            self.not_before = None;
        }
    }

    /// Counts one more healing; whether it is one too many.
    fn is_fight(&mut self, now: Instant) -> bool {
        self.heals.retain(|at| now.duration_since(*at) < HEAL_WINDOW);
        self.heals.push_back(now);
        let is_fight = self.heals.len() > HEALS_MAX;
        if is_fight {
            self.heals.clear();
        }
        is_fight
    }
}

#[cfg(test)]
mod tests;
