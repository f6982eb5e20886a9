//! What is to be done about an Envoy process: pure, so that every hour of its life can be tried in no time.
//!
//! Is told what happened and when, and answers with what to do now. Knows no process, no signal and no socket.

use std::fmt;
use std::time::Duration;

use signet_runtime::Backoff;

use crate::config::{DrainConfig, Restart};

/// How long Envoy has to end after it was told to, before it is killed.
pub const END_MAX: Duration = Duration::from_secs(5);

/// Unanswered questions without which no silence counts as hung: time alone also passes while the agent is stopped.
const UNHEARD_MIN: u32 = 5;

/// Unanswered questions in a row after which nobody knows how many connections there are.
const UNCOUNTED_MAX: u32 = 5;

/// How long a live Envoy must have run for its failures before to be forgotten.
const STEADY: Duration = Duration::from_secs(60);

/// The wait before the first restart; each one doubles it.
const RESTART_FIRST: Duration = Duration::from_secs(1);

/// The longest wait before a restart.
const RESTART_WAIT_MAX: Duration = Duration::from_secs(30);

/// Share of each wait that is random.
const RESTART_JITTER: f64 = 0.2;

/// What is wanted of this Envoy.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// How its end begins.
    pub drain: DrainConfig,
    /// Whether it is started again after a failure.
    pub restart: Restart,
    /// How often in a row.
    pub restarts_max: u32,
    /// The silence after which it is killed, if ever.
    pub hung_after: Option<Duration>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With this status.
    Status(u8),
    /// By this signal.
    Signal(u8),
}

impl End {
    /// The status by which a shell would tell it.
    pub fn code(self) -> u8 {
        match self {
            Self::Status(code) => code,
            Self::Signal(signal) => signal.saturating_add(128),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(code) => write!(f, "status {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// What somebody wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Drain, and then wait to be told to end.
    Drain,
    /// Drain and end; a second time: end now; a third time: at once.
    Stop,
    /// End now.
    Quit,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Nothing but that time has passed.
    Time,
    /// The admin interface answered.
    Heard {
        /// Whether Envoy serves.
        live: bool,
    },
    /// The admin interface did not answer.
    Unheard,
    /// So many connections are open, if that is known.
    Connections(Option<u64>),
    /// The process has ended.
    Ended(End),
    /// Somebody wants something.
    Asked(Ask),
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Start the process.
    Start,
    /// Tell Envoy to drain.
    Drain,
    /// Tell the process to end.
    Terminate,
    /// End it.
    Kill,
    /// It is over: end with this status.
    Exit(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting { until: Duration },
    Up { since: Duration, heard: Duration, unheard: u32, live: bool },
    Draining { since: Duration, leave: bool, uncounted: u32 },
    Drained,
    Ending { since: Duration },
    Killed,
    Over,
}

/// How it stands, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Is about to be started, for the first time or after its end.
    Waiting {
        /// How it ended before.
        last: Option<End>,
        /// How often in a row.
        failures: u32,
        /// How often it may.
        of: u32,
    },
    /// Runs.
    Up {
        /// For how long the admin interface has been silent, since it last answered or since the start.
        silent: Option<Duration>,
    },
    /// Lets its connections end.
    Draining,
    /// Was told to end, or has.
    Ending,
}

/// One Envoy's life, over all its processes. Times are counted from any one moment.
#[derive(Debug)]
pub struct Supervision {
    policy: Policy,
    phase: Phase,
    /// Whether it is to end anyhow.
    stopping: bool,
    last: Option<End>,
    failures: u32,
    backoff: Backoff,
}

impl Supervision {
    /// An Envoy that is to be started at once.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            phase: Phase::Waiting { until: Duration::ZERO },
            stopping: false,
            last: None,
            failures: 0,
            backoff: Backoff::new(RESTART_FIRST, RESTART_WAIT_MAX, RESTART_JITTER),
        }
    }

    /// When to say [`Event::Time`] at the latest, if ever.
    pub fn wake(&self) -> Option<Duration> {
        let drain = self.policy.drain;
        match self.phase {
            Phase::Waiting { until } => Some(until),
            Phase::Draining { since, .. } if drain.until_idle => Some(since + drain.max),
            Phase::Draining { since, .. } => Some(since + drain.time),
            Phase::Ending { since } => Some(since + END_MAX),
            Phase::Up { .. } | Phase::Drained | Phase::Killed | Phase::Over => None,
        }
    }

    /// Whether somebody waits for the last connection to end.
    pub fn counts(&self) -> bool {
        matches!(self.phase, Phase::Draining { .. }) && self.policy.drain.until_idle
    }

    /// Whether there is nothing left to drain.
    pub fn is_drained(&self) -> bool {
        matches!(self.phase, Phase::Drained | Phase::Ending { .. } | Phase::Killed | Phase::Over)
    }

    /// How it stands at `now`.
    pub fn standing(&self, now: Duration) -> Standing {
        match self.phase {
            Phase::Waiting { .. } => {
                Standing::Waiting { last: self.last, failures: self.failures, of: self.policy.restarts_max }
            }
            Phase::Up { heard, unheard, .. } => {
                Standing::Up { silent: (unheard > 0).then(|| now.saturating_sub(heard)) }
            }
            Phase::Draining { .. } | Phase::Drained => Standing::Draining,
            Phase::Ending { .. } | Phase::Killed | Phase::Over => Standing::Ending,
        }
    }

    /// Takes note of what happened at `now`; what is to be done about it.
    pub fn on(&mut self, event: Event, now: Duration) -> Option<Action> {
        match event {
            Event::Time => self.time(now),
            Event::Heard { live } => self.heard(live, now),
            Event::Unheard => self.unheard(now),
            Event::Connections(count) => self.connections(count, now),
            Event::Ended(end) => self.ended(end, now),
            Event::Asked(ask) => self.asked(ask, now),
        }
    }

    fn time(&mut self, now: Duration) -> Option<Action> {
        if self.wake().is_none_or(|wake| wake > now) {
            return None;
        }
        match self.phase {
            Phase::Waiting { .. } => {
                self.phase = Phase::Up { since: now, heard: now, unheard: 0, live: false };
                Some(Action::Start)
            }
            Phase::Draining { leave, .. } => self.drained(leave, now),
            Phase::Ending { .. } => Some(self.kill()),
            Phase::Up { .. } | Phase::Drained | Phase::Killed | Phase::Over => None,
        }
    }

    fn heard(&mut self, now_live: bool, now: Duration) -> Option<Action> {
        if let Phase::Up { heard, unheard, live, .. } = &mut self.phase {
            (*heard, *unheard) = (now, 0);
            *live |= now_live;
        }
        None
    }

    fn unheard(&mut self, now: Duration) -> Option<Action> {
        let Phase::Up { heard, unheard, .. } = &mut self.phase else { return None };
        *unheard = unheard.saturating_add(1);
        let silent = now.saturating_sub(*heard);
        let hung = *unheard >= UNHEARD_MIN && self.policy.hung_after.is_some_and(|limit| silent >= limit);
        hung.then(|| self.kill())
    }

    fn connections(&mut self, count: Option<u64>, now: Duration) -> Option<Action> {
        let drain = self.policy.drain;
        let Phase::Draining { since, leave, uncounted } = &mut self.phase else { return None };
        let (since, leave) = (*since, *leave);
        *uncounted = if count.is_none() { uncounted.saturating_add(1) } else { 0 };
        let idle = count == Some(0) || *uncounted >= UNCOUNTED_MAX;
        if drain.until_idle && idle && now >= since + drain.min { self.drained(leave, now) } else { None }
    }

    fn drained(&mut self, leave: bool, now: Duration) -> Option<Action> {
        if leave {
            return Some(self.terminate(now));
        }
        self.phase = Phase::Drained;
        None
    }

    fn asked(&mut self, ask: Ask, now: Duration) -> Option<Action> {
        self.stopping = true;
        match (&mut self.phase, ask) {
            (Phase::Up { live: true, .. }, Ask::Drain | Ask::Stop) => {
                self.phase = Phase::Draining { since: now, leave: ask == Ask::Stop, uncounted: 0 };
                Some(Action::Drain)
            }
            // Nothing was ever accepted.
            (Phase::Up { .. }, Ask::Drain) => {
                self.phase = Phase::Drained;
                None
            }
            (Phase::Draining { leave, .. }, Ask::Stop) if !*leave => {
                *leave = true;
                None
            }
            (Phase::Up { .. } | Phase::Draining { .. } | Phase::Drained, Ask::Stop | Ask::Quit) => {
                Some(self.terminate(now))
            }
            (Phase::Ending { .. }, Ask::Stop | Ask::Quit) => Some(self.kill()),
            (Phase::Waiting { .. }, _) => Some(self.exit()),
            (Phase::Draining { .. } | Phase::Drained | Phase::Ending { .. }, Ask::Drain)
            | (Phase::Killed | Phase::Over, _) => None,
        }
    }

    fn ended(&mut self, end: End, now: Duration) -> Option<Action> {
        let steady = matches!(self.phase, Phase::Up { since, live: true, .. } if now.saturating_sub(since) >= STEADY);
        self.last = Some(end);
        if self.stopping || end == End::Status(0) || self.policy.restart == Restart::Never {
            return Some(self.exit());
        }
        if steady {
            self.failures = 0;
        }
        if self.failures >= self.policy.restarts_max {
            return Some(self.exit());
        }
        let wait = self.backoff.wait(self.failures);
        self.failures += 1;
        self.phase = Phase::Waiting { until: now + wait };
        None
    }

    fn terminate(&mut self, now: Duration) -> Action {
        self.phase = Phase::Ending { since: now };
        Action::Terminate
    }

    fn kill(&mut self) -> Action {
        self.phase = Phase::Killed;
        Action::Kill
    }

    fn exit(&mut self) -> Action {
        self.phase = Phase::Over;
        Action::Exit(self.last.map_or(0, End::code))
    }
}

#[cfg(test)]
mod tests;
