//! Which generation of the authority signs, whose roots are trusted, and what happens next: a pure state machine.
//!
//! A generation is a key with its certificate and its roots. Its roots are published before it signs and stay published
//! until the last leaf under it has ended; exactly one signs. Each step is one change that is written down before it
//! takes effect. Must not know of files, keys, sockets or the clock: times and counts come in as values.

mod gate;
mod generation;
mod policy;
mod root;
mod step;
mod verbs;

pub use gate::Progress;
pub use generation::{Generation, Origin, Phase, Roots};
pub use policy::Policy;
pub use root::{PublishedRoot, Watching};
pub use step::{Change, Why};
pub use verbs::{Readiness, Refusal};

pub(crate) use generation::{Offer, fingerprint, root_id};
pub(crate) use step::{Event, Moment, Step};

use std::collections::{BTreeMap, BTreeSet};

use signet_identity::Timestamp;

/// Most generations that are waiting, signing, or trusted for what they signed.
pub const GENERATIONS_MAX: usize = 16;

/// Most generations that are over and still listed.
pub const HISTORY_MAX: usize = 8;

/// Most keys that are remembered as not to be believed.
pub const DISTRUSTED_MAX: usize = 256;

/// All generations, and the number of the bundle that they make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// In the order in which they came.
    pub(super) generations: Vec<Generation>,
    /// The published roots by their ids.
    pub(super) roots: BTreeMap<String, PublishedRoot>,
    /// Grows with each change of the published roots, and when a generation is tainted.
    pub(super) bundle: u64,
    /// The id that the next generation gets; none is used twice.
    pub(super) next_id: u64,
    /// Grows with each state that is written down.
    pub(super) revision: u64,
    /// Key ids of generations that were tainted or revoked, whatever became of them, and when their certificates end.
    pub(super) distrusted: BTreeMap<String, Timestamp>,
}

/// Why a written-down rotation cannot be true.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Inconsistent {
    /// Ids that repeat, go down or are yet to be given.
    #[error("ids of generations are out of order")]
    Ids,
    /// More than one signs.
    #[error("more than one generation is active")]
    Active,
    /// More than one waits.
    #[error("more than one generation is waiting")]
    Waiting,
    /// Roots that are said to be published are not those of the generations, or belong to a bundle yet to come.
    #[error("the published roots are not those of the trusted generations")]
    Roots,
    /// More generations than there can be.
    #[error("more than {} generations", GENERATIONS_MAX + HISTORY_MAX)]
    TooMany,
    /// More distrusted keys than are remembered.
    #[error("more than {DISTRUSTED_MAX} distrusted keys")]
    TooManyKeys,
}

impl Rotation {
    /// Nothing yet; the first bundle gets the number after `bundle`.
    pub(crate) fn new(bundle: u64) -> Self {
        let (generations, roots, distrusted) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        Self { generations, roots, bundle, next_id: 1, revision: 0, distrusted }
    }

    /// A rotation as it was written down.
    ///
    /// # Errors
    /// Every variant of [`Inconsistent`].
    pub(crate) fn restored(
        generations: Vec<Generation>,
        roots: BTreeMap<String, PublishedRoot>,
        bundle: u64,
        next_id: u64,
        distrusted: BTreeMap<String, Timestamp>,
    ) -> Result<Self, Inconsistent> {
        let mut rotation = Self { generations, roots, bundle, next_id, revision: 0, distrusted };
        // An earlier version of this program knew them by their phase alone.
        let is_distrusted = |found: &&Generation| matches!(found.phase, Phase::Tainted | Phase::Revoked);
        let ids: Vec<u64> = rotation.generations.iter().filter(is_distrusted).map(|found| found.id).collect();
        ids.into_iter().for_each(|id| rotation.distrust(id));
        let ids: Vec<u64> = rotation.generations.iter().map(|generation| generation.id).chain([next_id]).collect();
        if ids.is_sorted_by(|one, next| one < next) && ids.first().is_some_and(|first| *first > 0) {
            rotation.check().map(|()| rotation)
        } else {
            Err(Inconsistent::Ids)
        }
    }

    fn check(&self) -> Result<(), Inconsistent> {
        let count = |wanted: fn(Phase) -> bool| self.generations.iter().filter(|found| wanted(found.phase)).count();
        if self.generations.len() > GENERATIONS_MAX + HISTORY_MAX {
            return Err(Inconsistent::TooMany);
        }
        if self.distrusted.len() > DISTRUSTED_MAX {
            return Err(Inconsistent::TooManyKeys);
        }
        if count(|phase| phase == Phase::Active) > 1 {
            return Err(Inconsistent::Active);
        }
        if count(Phase::is_waiting) > 1 {
            return Err(Inconsistent::Waiting);
        }
        let is_early = self.roots.values().any(|root| root.published_in > self.bundle);
        if is_early || !self.trusted_roots().into_iter().eq(self.roots.keys().map(String::as_str)) {
            return Err(Inconsistent::Roots);
        }
        Ok(())
    }

    /// All generations that are known, oldest first.
    pub fn generations(&self) -> &[Generation] {
        &self.generations
    }

    /// The number of the published bundle; zero before the first.
    pub fn bundle(&self) -> u64 {
        self.bundle
    }

    /// The id that the next generation gets.
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id
    }

    /// How often a state was written down.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// The same, as the state that was written down as number `revision`.
    #[must_use]
    pub(crate) fn at(mut self, revision: u64) -> Self {
        self.revision = revision;
        self
    }

    /// The generation with this id.
    pub fn get(&self, id: u64) -> Option<&Generation> {
        self.generations.iter().find(|generation| generation.id == id)
    }

    /// The last generation that was made of exactly this: one that is over may have come back since.
    pub(crate) fn latest(&self, content: &str) -> Option<&Generation> {
        self.generations.iter().rfind(|generation| generation.content == content)
    }

    /// The one that signs.
    pub fn active(&self) -> Option<&Generation> {
        self.generations.iter().find(|generation| generation.phase == Phase::Active)
    }

    /// The one whose signatures are good at `now`: while the active one's life has not begun, since a wrong clock made it,
    /// the last one before it that may sign.
    pub(crate) fn acting(&self, now: Timestamp) -> Option<&Generation> {
        let active = self.active()?;
        let may_sign = |found: &&Generation| found.phase == Phase::Old && found.usable.contains(now);
        let before = self.generations.iter().filter(may_sign).max_by_key(|found| found.since);
        Some(if now < active.usable.not_before() { before.unwrap_or(active) } else { active })
    }

    /// The one that will sign next, if there is one.
    pub fn waiting(&self) -> Option<&Generation> {
        self.generations.iter().find(|generation| generation.phase.is_waiting())
    }

    /// Those whose roots are published: the active one first, then the others as they came.
    pub fn trusted(&self) -> impl Iterator<Item = &Generation> {
        let others = self.generations.iter().filter(|found| found.phase.is_trusted() && found.phase != Phase::Active);
        self.active().into_iter().chain(others)
    }

    /// Key ids of the generations whose certificates must be replaced now.
    pub fn tainted_key_ids(&self) -> Vec<String> {
        let tainted = self.generations.iter().filter(|generation| generation.phase == Phase::Tainted);
        tainted.map(|generation| generation.key_id.clone()).collect()
    }

    /// Key ids of the generations that are not believed any more: those that were tainted or revoked, also when they have
    /// retired since or are not listed any more.
    pub fn distrusted_key_ids(&self) -> Vec<String> {
        self.distrusted.keys().cloned().collect()
    }

    /// The keys that are not believed any more, each with the end of its certificates.
    pub(crate) fn distrusted(&self) -> &BTreeMap<String, Timestamp> {
        &self.distrusted
    }

    fn get_mut(&mut self, id: u64) -> Option<&mut Generation> {
        self.generations.iter_mut().find(|generation| generation.id == id)
    }

    /// The published roots, by SHA-256 over each certificate.
    pub fn roots(&self) -> &BTreeMap<String, PublishedRoot> {
        &self.roots
    }

    fn trusted_roots(&self) -> BTreeSet<&str> {
        self.trusted().flat_map(|generation| generation.roots.ids()).collect()
    }

    /// Whether there is room for another generation.
    fn is_full(&self) -> bool {
        self.generations.iter().filter(|generation| !generation.phase.is_over()).count() >= GENERATIONS_MAX
    }
}

#[cfg(test)]
mod tests;
