//! What an operator or a source may ask for, and in which order: only a published generation may sign, only one that
//! signed can be tainted, only a tainted one can be taken away from those who hold its leaves.

use signet_identity::Timestamp;

use super::step::{Change, Moment, Why};
use super::{DISTRUSTED_MAX, Generation, Offer, Origin, Phase, Policy, Progress, Rotation};

/// Whether an operator waits for the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// Sign now, if the roots are known everywhere.
    Now,
    /// Sign as soon as they are.
    WhenKnown,
    /// Sign now, whoever does not know them; also back to a generation that signed before.
    Whatever,
}

/// The rule that a wish breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such id.
    #[error("there is no generation {id}")]
    Unknown {
        /// The id.
        id: u64,
    },
    /// One waits already.
    #[error("generation {id} is waiting already: activate it, or revoke it")]
    AlreadyWaiting {
        /// The one that waits.
        id: u64,
    },
    /// The source cannot make keys.
    #[error("the authority is plugged in: put the new files into its directory")]
    CannotMake,
    /// Too many are still needed.
    #[error(
        "{} generations are still needed by certificates or waiting, which is the most there can be",
        super::GENERATIONS_MAX
    )]
    TooMany,
    /// Exactly this is there already.
    #[error("generation {id} is the same")]
    Known {
        /// The one that is there.
        id: u64,
    },
    /// Exactly this was tainted or revoked.
    #[error("generation {id} is the same, and is {phase}")]
    Distrusted {
        /// The one that was.
        id: u64,
        /// What it is.
        phase: Phase,
    },
    /// Its key was that of one that was tainted or revoked.
    #[error("key {key_id} was tainted or revoked")]
    DistrustedKey {
        /// The key's identifier.
        key_id: String,
    },
    /// Its roots are not known everywhere.
    #[error("generation {id} may not sign yet: {progress}")]
    NotYet {
        /// Which.
        id: u64,
        /// What is missing.
        progress: Box<Progress>,
    },
    /// It signed before.
    #[error("generation {id} signed before: going back to it has to be forced")]
    SignedBefore {
        /// Which.
        id: u64,
    },
    /// Its own life is over.
    #[error("generation {id} has ended")]
    Ended {
        /// Which.
        id: u64,
    },
    /// A phase from which nothing leads to signing.
    #[error("generation {id} is {phase}, only a published one can be activated")]
    NotActivatable {
        /// Which.
        id: u64,
        /// Its phase.
        phase: Phase,
    },
    /// The one that signs.
    #[error("generation {id} signs: prepare and activate another one before it is tainted")]
    Signs {
        /// Which.
        id: u64,
    },
    /// Only one that signed and does not any more can be tainted.
    #[error("generation {id} is {phase}, only an old one can be tainted")]
    NotTaintable {
        /// Which.
        id: u64,
        /// Its phase.
        phase: Phase,
    },
    /// Only a tainted one, or one that never signed, can be revoked.
    #[error("generation {id} is {phase}, only a tainted one, or one that never signed, can be revoked")]
    NotRevocable {
        /// Which.
        id: u64,
        /// Its phase.
        phase: Phase,
    },
}

impl Rotation {
    fn known(&self, id: u64) -> Result<&Generation, Refusal> {
        self.get(id).ok_or(Refusal::Unknown { id })
    }

    /// Lets `id` enter `phase`, where its own phase allows that.
    fn enter(&mut self, id: u64, phase: Phase, why: Why, now: Timestamp) -> Change {
        if let Some(generation) = self.generations.iter_mut().find(|found| found.id == id) {
            generation.enter(phase, now);
        }
        Change::Entered { id, phase, why }
    }

    pub(super) fn may_prepare(&self, moment: &Moment) -> Result<Why, Refusal> {
        match self.waiting() {
            Some(waiting) => Err(Refusal::AlreadyWaiting { id: waiting.id }),
            None if !moment.can_make => Err(Refusal::CannotMake),
            None if self.is_full() => Err(Refusal::TooMany),
            None => Ok(Why::Operator),
        }
    }

    /// Takes what a source offers. One that signed before and comes back signs again: its roots never went away.
    pub(super) fn take(&mut self, offer: Offer, policy: &Policy, now: Timestamp) -> Result<Change, Refusal> {
        let same = self.latest(&offer.content);
        match same.map(|same| (same.id, same.phase)) {
            None | Some((_, Phase::Retired)) => {}
            Some((id, Phase::Old)) if !offer.usable.contains(now) => return Err(Refusal::Ended { id }),
            Some((id, Phase::Old)) => {
                self.supersede(now);
                return Ok(self.switch_to(id, Why::KnownRoots, policy, now));
            }
            Some((id, phase @ (Phase::Tainted | Phase::Revoked))) => return Err(Refusal::Distrusted { id, phase }),
            Some((id, Phase::Active)) if offer.origin == Origin::PluggedIn => {
                return self.withdraw(now).ok_or(Refusal::Known { id });
            }
            Some((id, Phase::Prepared | Phase::Published | Phase::Active)) => return Err(Refusal::Known { id }),
        }
        if self.distrusted.contains_key(&offer.key_id) {
            return Err(Refusal::DistrustedKey { key_id: offer.key_id });
        }
        self.supersede(now);
        if self.is_full() {
            return Err(Refusal::TooMany);
        }
        let id = self.next_id;
        self.next_id += 1;
        self.generations.push(Generation::offered(id, offer, now));
        Ok(Change::Entered { id, phase: Phase::Prepared, why: Why::Source })
    }

    /// What signs is what is plugged in again, so what was plugged in meanwhile, and waits, is not wanted any more.
    fn withdraw(&mut self, now: Timestamp) -> Option<Change> {
        let is_unwanted = |found: &&mut Generation| found.phase.is_waiting() && found.origin == Origin::PluggedIn;
        let unwanted = self.generations.iter_mut().find(is_unwanted)?;
        unwanted.enter(Phase::Retired, now);
        Some(Change::Entered { id: unwanted.id, phase: Phase::Retired, why: Why::Superseded })
    }

    /// Takes over what signed before there was a rotation. Its horizon comes with it, for nobody wrote it down.
    pub(super) fn find(&mut self, offer: Offer, policy: &Policy, now: Timestamp) -> Result<Change, Refusal> {
        self.take(offer, policy, now)?;
        let id = self.waiting().ok_or(Refusal::TooMany)?.id;
        Ok(self.switch_to(id, Why::Found, policy, now))
    }

    /// A generation that waits has signed nothing, so it can go at once.
    fn supersede(&mut self, now: Timestamp) {
        if let Some(waiting) = self.generations.iter_mut().find(|found| found.phase.is_waiting()) {
            waiting.enter(Phase::Retired, now);
        }
    }

    pub(super) fn activate(
        &mut self,
        id: u64,
        readiness: Readiness,
        policy: &Policy,
        moment: &Moment,
    ) -> Result<Change, Refusal> {
        let generation = self.known(id)?;
        let phase = generation.phase;
        if generation.has_ended(moment.now) {
            return Err(Refusal::Ended { id });
        }
        let why = match (phase, readiness) {
            (Phase::Published, Readiness::Whatever) | (Phase::Old, Readiness::Whatever) => Why::Forced,
            (Phase::Old, _) => return Err(Refusal::SignedBefore { id }),
            (Phase::Published, _) => match self.missing(generation, policy, &moment.watching) {
                None => Why::Operator,
                Some(_) if readiness == Readiness::WhenKnown => {
                    self.generations.iter_mut().filter(|found| found.id == id).for_each(|found| found.is_armed = true);
                    return Ok(Change::Armed { id });
                }
                Some(progress) => return Err(Refusal::NotYet { id, progress: Box::new(progress) }),
            },
            _ => return Err(Refusal::NotActivatable { id, phase }),
        };
        Ok(self.switch_to(id, why, policy, moment.now))
    }

    pub(super) fn taint(&mut self, id: u64, now: Timestamp) -> Result<Change, Refusal> {
        match self.known(id)?.phase {
            Phase::Old => {
                self.distrust(id);
                Ok(self.enter(id, Phase::Tainted, Why::Operator, now))
            }
            Phase::Active => Err(Refusal::Signs { id }),
            phase => Err(Refusal::NotTaintable { id, phase }),
        }
    }

    pub(super) fn revoke(&mut self, id: u64, now: Timestamp) -> Result<Change, Refusal> {
        match self.known(id)?.phase {
            Phase::Tainted | Phase::Prepared | Phase::Published => {
                self.distrust(id);
                Ok(self.enter(id, Phase::Revoked, Why::Operator, now))
            }
            phase => Err(Refusal::NotRevocable { id, phase }),
        }
    }

    /// Remembers that the key of `id` is not to be believed, whatever becomes of the generation. Where there are too many,
    /// the one whose certificates end first is forgotten; none is for its age alone, as the clock may be wrong.
    pub(super) fn distrust(&mut self, id: u64) {
        let Some(found) = self.get(id) else { return };
        let (key_id, end) = (found.key_id.clone(), found.usable.not_after());
        let known = self.distrusted.entry(key_id).or_insert(end);
        *known = end.max(*known);
        if self.distrusted.len() > DISTRUSTED_MAX {
            let first = self.distrusted.iter().min_by_key(|(_, end)| **end).map(|(key_id, _)| key_id.clone());
            self.distrusted.retain(|key_id, _| first.as_ref() != Some(key_id));
        }
    }
}
