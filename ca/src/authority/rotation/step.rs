//! One step: an event and a moment in, the next state and at most one change out.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use signet_identity::Timestamp;

use super::{Generation, HISTORY_MAX, Offer, Phase, Policy, Readiness, Refusal, Rotation, Watching};

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// Time has passed.
    Look,
    /// An operator wants a new generation.
    Prepare,
    /// A source has one.
    Offered(Offer),
    /// One was in use before anything was written down.
    Found(Offer),
    /// An operator wants this one to sign.
    Activate { id: u64, readiness: Readiness },
    /// An operator does not trust the key of this one any more.
    Taint { id: u64 },
    /// An operator wants this one out of the bundle.
    Revoke { id: u64 },
}

/// The circumstances of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) now: Timestamp,
    /// How long the bundle in force has been published since the look before.
    pub(crate) served: Duration,
    /// Who has which bundle.
    pub(crate) watching: Watching,
    /// Whether the source can make generations.
    pub(crate) can_make: bool,
}

/// Why something changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// There was none before.
    First,
    /// It signed before anything was written down.
    Found,
    /// The active generation's life nears its end.
    Due,
    /// An operator said so.
    Operator,
    /// An operator said so against the gate.
    Forced,
    /// The source holds another one.
    Source,
    /// Its roots are known everywhere.
    KnownRoots,
    /// Enough agents have its roots.
    Acknowledged,
    /// The longest wait is over.
    Deadline,
    /// The active generation has ended, so there is nothing left to lose.
    Expired,
    /// A later one took its place.
    Superseded,
    /// Its key exists, so its roots can be told.
    Made,
    /// The last leaf under it has ended.
    LeavesEnded,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "there is none yet",
            Self::Found => "it was in use before",
            Self::Due => "the active generation nears its end",
            Self::Operator => "an operator asked for it",
            Self::Forced => "an operator forced it",
            Self::Source => "the source changed",
            Self::KnownRoots => "its roots are known everywhere",
            Self::Acknowledged => "enough agents have its roots",
            Self::Deadline => "its roots were published for the longest wait",
            Self::Expired => "a life has ended",
            Self::Superseded => "another one took its place",
            Self::Made => "its key is there",
            Self::LeavesEnded => "the last certificate under it has ended",
        })
    }
}

/// What a step changed. It must be written down before it takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A generation entered a phase.
    Entered {
        /// Which.
        id: u64,
        /// The phase.
        phase: Phase,
        /// Why.
        why: Why,
    },
    /// A generation will sign as soon as its roots are known everywhere.
    Armed {
        /// Which.
        id: u64,
    },
    /// Leaves may now live until a later instant.
    HorizonMoved {
        /// Under which.
        id: u64,
        /// The instant.
        to: Timestamp,
    },
    /// Roots were published for a while longer.
    Served,
    /// A root counts as known everywhere.
    RootKnown {
        /// Why.
        why: Why,
    },
    /// A generation that is over is not listed any more.
    Forgotten {
        /// Which.
        id: u64,
    },
}

/// What follows from an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) next: Rotation,
    /// What changed and has to be written down; after it, another look may change more.
    pub(crate) change: Option<Change>,
    /// A generation has to be made and offered.
    pub(crate) make: Option<Why>,
}

impl Rotation {
    /// What follows from `event`.
    ///
    /// # Errors
    /// The rule that an operator's or a source's wish breaks. A look is never refused.
    pub(crate) fn step(&self, event: Event, policy: &Policy, moment: &Moment) -> Result<Step, Refusal> {
        let mut next = self.clone();
        let (mut change, mut make) = (None, None);
        match event {
            Event::Look => (change, make) = next.look(policy, moment),
            Event::Prepare => make = Some(next.may_prepare(moment)?),
            Event::Offered(offer) => change = Some(next.take(offer, policy, moment.now)?),
            Event::Found(offer) => change = Some(next.find(offer, policy, moment.now)?),
            Event::Activate { id, readiness } => change = Some(next.activate(id, readiness, policy, moment)?),
            Event::Taint { id } => change = Some(next.taint(id, moment.now)?),
            Event::Revoke { id } => change = Some(next.revoke(id, moment.now)?),
        }
        if next.trusted_roots() != self.trusted_roots() || next.tainted_key_ids() != self.tainted_key_ids() {
            next.bundle += 1;
        }
        next.note_roots();
        Ok(Step { next, change, make })
    }

    /// The most urgent change first; at most one of both.
    fn look(&mut self, policy: &Policy, moment: &Moment) -> (Option<Change>, Option<Why>) {
        let served = self.serve(moment.served, policy.away);
        let urgent = self
            .notice_known(policy, &moment.watching)
            .or_else(|| self.publish_prepared(moment.now))
            .or_else(|| self.activate_waiting(policy, moment));
        if urgent.is_some() {
            return (urgent, None);
        }
        let make = self.reason_to_make(policy, moment);
        if make.is_some() {
            return (served, make);
        }
        let change = self
            .extend_horizon(policy, moment.now)
            .or_else(|| self.retire(policy, moment.now))
            .or_else(|| self.forget())
            .or(served);
        (change, None)
    }

    fn publish_prepared(&mut self, now: Timestamp) -> Option<Change> {
        let prepared = self.generations.iter_mut().find(|found| found.phase == Phase::Prepared)?;
        prepared.enter(Phase::Published, now);
        Some(Change::Entered { id: prepared.id, phase: Phase::Published, why: Why::Made })
    }

    fn activate_waiting(&mut self, policy: &Policy, moment: &Moment) -> Option<Change> {
        let why = self.reason_to_activate(policy, moment)?;
        let id = self.waiting()?.id;
        Some(self.switch_to(id, why, policy, moment.now))
    }

    fn reason_to_activate(&self, policy: &Policy, moment: &Moment) -> Option<Why> {
        let waiting = self.waiting().filter(|found| !found.has_ended(moment.now))?;
        let Some(active) = self.active() else { return Some(Why::First) };
        if active.has_ended(moment.now) {
            return Some(Why::Expired);
        }
        if self.missing(waiting, policy, &moment.watching).is_some() {
            return None;
        }
        let is_due = || Policy::is_due(active.usable, moment.now, |life| policy.activate_before(life));
        (waiting.is_armed || policy.automatic && is_due()).then_some(Why::KnownRoots)
    }

    /// Lets `id` sign instead of whoever does.
    pub(super) fn switch_to(&mut self, id: u64, why: Why, policy: &Policy, now: Timestamp) -> Change {
        if let Some(active) = self.generations.iter_mut().find(|found| found.phase == Phase::Active) {
            active.enter(Phase::Old, now);
        }
        let mut anchors = BTreeSet::new();
        if let Some(next) = self.get_mut(id) {
            next.enter(Phase::Active, now);
            next.is_armed = false;
            next.horizon = next.horizon.max(Some(policy.horizon(next.usable, now)));
            next.longest = next.longest.max(policy.longest(next.usable));
            anchors.clone_from(&next.anchors);
        }
        // Whoever does not know them by now has lost already; waiting for them again would help nobody.
        self.note_roots();
        anchors.iter().for_each(|anchor| self.mark_known(anchor));
        Change::Entered { id, phase: Phase::Active, why }
    }

    fn reason_to_make(&self, policy: &Policy, moment: &Moment) -> Option<Why> {
        if !moment.can_make || self.waiting().is_some() || self.is_full() {
            return None;
        }
        let Some(active) = self.active() else { return Some(Why::First) };
        if !policy.automatic {
            return None;
        }
        if active.has_ended(moment.now) {
            return Some(Why::Expired);
        }
        Policy::is_due(active.usable, moment.now, |life| policy.prepare_before(life)).then_some(Why::Due)
    }

    /// Moves the horizon before a leaf could need it.
    fn extend_horizon(&mut self, policy: &Policy, now: Timestamp) -> Option<Change> {
        let active = self.generations.iter_mut().find(|found| found.phase == Phase::Active)?;
        let longest = policy.longest(active.usable);
        if active.horizon >= Some(policy.horizon_min(active.usable, now)) && active.longest >= longest {
            return None;
        }
        let to = policy.horizon(active.usable, now).max(active.horizon.unwrap_or(now));
        (active.horizon, active.longest) = (Some(to), active.longest.max(longest));
        Some(Change::HorizonMoved { id: active.id, to })
    }

    /// Ends what nobody needs any more: a generation whose leaves have all ended, or one that ended while it waited.
    fn retire(&mut self, policy: &Policy, now: Timestamp) -> Option<Change> {
        let is_unneeded = |found: &&mut Generation| match found.phase {
            Phase::Old | Phase::Tainted => found.has_no_leaves(now, policy.keep_old, policy.away),
            Phase::Prepared | Phase::Published => found.has_ended(now),
            Phase::Active | Phase::Retired | Phase::Revoked => false,
        };
        let over = self.generations.iter_mut().find(is_unneeded)?;
        let why = if over.phase.is_waiting() { Why::Expired } else { Why::LeavesEnded };
        over.enter(Phase::Retired, now);
        Some(Change::Entered { id: over.id, phase: Phase::Retired, why })
    }

    fn forget(&mut self) -> Option<Change> {
        let over = |found: &Generation| found.phase.is_over();
        if self.generations.iter().filter(|found| over(found)).count() <= HISTORY_MAX {
            return None;
        }
        let oldest = self.generations.iter().position(over)?;
        Some(Change::Forgotten { id: self.generations.remove(oldest).id })
    }
}
