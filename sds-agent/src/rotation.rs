//! When to renew, when to try again, when to stop serving: a pure state machine over two clocks.
//!
//! The wall clock can jump, the uptime clock (which counts suspension too) cannot, but it may stand still while a
//! virtual machine is paused. So a renewal is due when either clock says so, and an identity has expired only when
//! both do: a jump can make the agent ask early, never make it drop what is valid. Knows no I/O; the rotator feeds it
//! events and performs its effects.

use std::time::Duration;

use signet_identity::Timestamp;
use signet_runtime::Backoff;

/// Longest time between two looks at the clocks.
pub const CHECK_WAIT_MAX: Duration = Duration::from_secs(30);

/// Shortest time between two looks at the clocks.
pub const CHECK_WAIT_MIN: Duration = Duration::from_millis(5);

/// Shortest time between the starts of two requests, whatever clocks and answers say.
pub const REQUEST_GAP_MIN: Duration = Duration::from_millis(500);

/// Wait after the first failure; it doubles each time.
const RETRY_FIRST: Duration = Duration::from_millis(500);

/// Longest wait while much life is left.
const RETRY_MAX: Duration = Duration::from_secs(150);

/// Longest wait while little life is left.
const RETRY_URGENT_MAX: Duration = Duration::from_secs(15);

/// Longest wait while there is nothing to serve.
const RETRY_ABSENT_MAX: Duration = Duration::from_secs(5);

/// Longest wait that the CA may ask for while there is something to serve.
const HINT_MAX: Duration = Duration::from_secs(10 * 60);

/// Longest wait that the CA may ask for while there is nothing to serve.
const HINT_ABSENT_MAX: Duration = Duration::from_secs(60);

/// Share of each wait that is random.
const RETRY_JITTER: f64 = 0.2;

/// A retry waits for at most one part in so many of what is left.
const RETRIES_IN_REST: u32 = 10;

/// Renewal is urgent when less than one part in so many of the life is left.
const URGENT_PARTS: u32 = 10;

/// The same instant on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Civil time; may jump.
    pub wall: Timestamp,
    /// Time since the machine started, suspension included; never goes back.
    pub uptime: Duration,
}

impl Moment {
    /// This moment moved later on both clocks.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self { wall: self.wall.plus(span), uptime: self.uptime.saturating_add(span) }
    }

    /// How long until this moment, by each clock.
    fn until(self, now: Self) -> (Duration, Duration) {
        (self.wall.since(now.wall), self.uptime.saturating_sub(now.uptime))
    }

    fn soonest(self, now: Self) -> Duration {
        let (wall, uptime) = self.until(now);
        wall.min(uptime)
    }

    fn latest(self, now: Self) -> Duration {
        let (wall, uptime) = self.until(now);
        wall.max(uptime)
    }
}

/// When renewal begins: a share of life that is left, moved at random by up to `jitter` to both sides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// Share of life left, 0 to 1.
    pub ratio: f64,
    /// Largest random move of that share, 0 to 1.
    pub jitter: f64,
}

/// What can be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing: none came yet, or the last one expired.
    Absent {
        /// Failed requests since the last success.
        failures: u32,
    },
    /// An identity, and the last request succeeded.
    Current {
        /// Its time.
        term: Term,
    },
    /// An identity whose renewal is failing.
    Overdue {
        /// Its time.
        term: Term,
        /// Failed requests since the last success.
        failures: u32,
    },
}

/// The time of an identity as this machine sees it: from receipt, not from the certificate's backdated beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    begun: Moment,
    ends: Moment,
}

impl Term {
    fn life(self) -> Duration {
        self.ends.uptime.saturating_sub(self.begun.uptime)
    }

    fn has_ended(self, now: Moment) -> bool {
        self.ends.latest(now).is_zero()
    }

    fn is_urgent(self, now: Moment) -> bool {
        self.ends.soonest(now) < self.life() / URGENT_PARTS
    }
}

/// How renewal stands, as operators see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Standing {
    /// Nothing to serve.
    Absent,
    /// All is well.
    Current,
    /// Renewal is failing, there is time.
    Overdue,
    /// Renewal is failing and time is short.
    Urgent,
}

impl Standing {
    /// The word for it in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Current => "current",
            Self::Overdue => "overdue",
            Self::Urgent => "urgent",
        }
    }

    /// All of them.
    pub const ALL: [Self; 4] = [Self::Absent, Self::Current, Self::Overdue, Self::Urgent];
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Time passed.
    Tick,
    /// The request succeeded: a verified identity that ends then.
    Issued {
        /// The certificate's end.
        not_after: Timestamp,
    },
    /// The request failed.
    Failed {
        /// How long the CA wants to be left alone, if it said so.
        retry_after: Option<Duration>,
    },
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Ask the CA.
    Request,
    /// Serve what was just issued.
    Publish,
    /// Serve no identity any more: it has expired.
    Withdraw,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Waiting { due: Moment },
    Requesting,
}

/// One identity's rotation.
#[derive(Debug, Clone)]
pub struct Rotation {
    policy: Policy,
    rng: fastrand::Rng,
    state: State,
    work: Work,
    /// Uptime at which the next request may start at the earliest.
    gap_ends: Duration,
}

impl Rotation {
    /// A rotation with nothing to serve and a request due at once.
    pub fn new(policy: Policy, now: Moment, rng: fastrand::Rng) -> Self {
        let state = State::Absent { failures: 0 };
        Self { policy, rng, state, work: Work::Waiting { due: now }, gap_ends: now.uptime }
    }

    /// Takes in what happened by `now` and says what is to be done, in order.
    pub fn step(&mut self, event: Event, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Tick => {}
            // One that has ended by arrival is of no use; the next try must wait as after any failure.
            Event::Issued { not_after } if not_after <= now.wall => self.fail(None, now),
            Event::Issued { not_after } => {
                self.succeed(not_after, now);
                effects.push(Effect::Publish);
            }
            Event::Failed { retry_after } => self.fail(retry_after, now),
        }
        if let State::Current { term } | State::Overdue { term, .. } = self.state
            && term.has_ended(now)
        {
            self.state = State::Absent { failures: self.failures() };
            effects.push(Effect::Withdraw);
        }
        if let Work::Waiting { due } = self.work
            && self.wait_for(due, now).is_zero()
        {
            self.work = Work::Requesting;
            self.gap_ends = now.uptime.saturating_add(REQUEST_GAP_MIN);
            effects.push(Effect::Request);
        }
        effects
    }

    /// How long to sleep before the next [`Event::Tick`].
    pub fn wake_in(&self, now: Moment) -> Duration {
        let due = match self.work {
            Work::Waiting { due } => self.wait_for(due, now),
            Work::Requesting => CHECK_WAIT_MAX,
        };
        let end = match self.state {
            State::Current { term } | State::Overdue { term, .. } => term.ends.latest(now),
            State::Absent { .. } => CHECK_WAIT_MAX,
        };
        due.min(end).clamp(CHECK_WAIT_MIN, CHECK_WAIT_MAX)
    }

    /// The identity must be replaced before its time: the next request is due at a random moment within `spread` from
    /// `earliest` on, unless it is due before that anyway.
    pub fn hasten(&mut self, earliest: Duration, spread: Duration, now: Moment) {
        let sooner = now.plus(earliest.saturating_add(spread.mul_f64(self.rng.f64())));
        if let Work::Waiting { due } = &mut self.work
            && sooner.soonest(now) < due.soonest(now)
        {
            *due = sooner;
        }
    }

    /// What can be served.
    pub fn state(&self) -> State {
        self.state
    }

    /// How renewal stands at `now`.
    pub fn standing(&self, now: Moment) -> Standing {
        match self.state {
            State::Absent { .. } => Standing::Absent,
            State::Current { .. } => Standing::Current,
            State::Overdue { term, .. } if term.is_urgent(now) => Standing::Urgent,
            State::Overdue { .. } => Standing::Overdue,
        }
    }

    /// Failed requests since the last success.
    pub fn failures(&self) -> u32 {
        match self.state {
            State::Absent { failures } | State::Overdue { failures, .. } => failures,
            State::Current { .. } => 0,
        }
    }

    fn wait_for(&self, due: Moment, now: Moment) -> Duration {
        due.soonest(now).max(self.gap_ends.saturating_sub(now.uptime))
    }

    fn succeed(&mut self, not_after: Timestamp, now: Moment) {
        let life = not_after.since(now.wall);
        let term = Term { begun: now, ends: now.plus(life) };
        let swing = self.policy.jitter * (2.0 * self.rng.f64() - 1.0);
        let left = (self.policy.ratio + swing).clamp(0.0, 1.0);
        self.state = State::Current { term };
        self.work = Work::Waiting { due: now.plus(life.mul_f64(1.0 - left)) };
        self.gap_ends = now.uptime.saturating_add(REQUEST_GAP_MIN);
    }

    fn fail(&mut self, retry_after: Option<Duration>, now: Moment) {
        let failures = self.failures().saturating_add(1);
        self.state = match self.state {
            State::Absent { .. } => State::Absent { failures },
            State::Current { term } | State::Overdue { term, .. } => State::Overdue { term, failures },
        };
        let mut backoff = Backoff::new(RETRY_FIRST, self.retry_max(now), RETRY_JITTER).seeded(self.rng.u64(..));
        let hint = retry_after.unwrap_or_default().min(self.hint_max(now));
        let wait = backoff.wait(failures - 1).max(REQUEST_GAP_MIN).max(hint);
        self.work = Work::Waiting { due: now.plus(wait) };
        self.gap_ends = now.uptime.saturating_add(REQUEST_GAP_MIN);
    }

    /// How long the CA is left alone at its wish: never past half of what is left.
    fn hint_max(&self, now: Moment) -> Duration {
        match self.state {
            State::Absent { .. } => HINT_ABSENT_MAX,
            State::Current { term } | State::Overdue { term, .. } => HINT_MAX.min(term.ends.soonest(now) / 2),
        }
    }

    fn retry_max(&self, now: Moment) -> Duration {
        match self.state {
            State::Absent { .. } => RETRY_ABSENT_MAX,
            State::Current { term } | State::Overdue { term, .. } => {
                let ceiling = if term.is_urgent(now) { RETRY_URGENT_MAX } else { RETRY_MAX };
                ceiling.min(term.ends.latest(now) / RETRIES_IN_REST).max(REQUEST_GAP_MIN)
            }
        }
    }
}

#[cfg(test)]
mod tests;
