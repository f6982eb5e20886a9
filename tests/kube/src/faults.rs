//! What goes wrong on purpose.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::call::Seen;

/// What happens to a request instead of its answer, or to its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// This status, with a `Status` object that fits.
    Status(u16),
    /// 429, with the wish that the client come back after so many seconds.
    TooMany(u32),
    /// The right answer, later.
    Slow(Duration),
    /// No answer at all while the connection stays open.
    Silence,
    /// The right answer, whose connection breaks after so many bytes of the body.
    CutAfter(usize),
    /// The right answer, which stops after so many bytes of the body while the connection stays open.
    StallAfter(usize),
    /// 200 with this body.
    Body(String),
}

struct Rule {
    matches: Box<dyn Fn(&Seen) -> bool + Send + Sync>,
    effect: Effect,
    left: Option<usize>,
}

/// All faults that are switched on.
#[derive(Default)]
pub struct Faults {
    rules: Mutex<Vec<Rule>>,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faults")
    }
}

impl Faults {
    /// Every request that `matches` meets `effect`, until [`Faults::clear`].
    pub fn always(&self, effect: Effect, matches: impl Fn(&Seen) -> bool + Send + Sync + 'static) {
        self.add(Rule { matches: Box::new(matches), effect, left: None });
    }

    /// The next `count` requests that `matches` meet `effect`.
    pub fn times(&self, count: usize, effect: Effect, matches: impl Fn(&Seen) -> bool + Send + Sync + 'static) {
        self.add(Rule { matches: Box::new(matches), effect, left: Some(count) });
    }

    /// Nothing goes wrong any more.
    pub fn clear(&self) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(crate) fn of(&self, seen: &Seen) -> Option<Effect> {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let rule = rules.iter_mut().find(|rule| rule.left != Some(0) && (rule.matches)(seen))?;
        rule.left = rule.left.map(|left| left - 1);
        Some(rule.effect.clone())
    }

    fn add(&self, rule: Rule) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).push(rule);
    }
}
