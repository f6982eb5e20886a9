//! Puts rotation into effect: asks what follows, writes it down, publishes, and only then lets it sign.
//!
//! The order of every step is the promise: material, journal, published roots, signature. Each can fail, and each is
//! done again at the next look. Knows no tasks and no clock.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use signet_identity::bundle::BUNDLE_PEM_MAX_BYTES;
use signet_identity::{Certificate, Lifetime, Timestamp, TrustBundle, TrustDomain};

use super::import::PluggedIn;
use super::plugged_in::Directory;
use super::remark::tell;
use super::rotation::{
    Change, Event, Generation, Moment, Origin, Phase, Policy, Refusal, Rotation, Step, Watching, Why, root_id,
};
use super::self_signed::{OwnRoots, make_root};
use super::signing::{Signing, UnfitError};
use super::state_dir::StateDir;
use super::store::{StateError, Store};
use super::wish::{Wish, WishError};
use super::{Authority, AuthorityError, Published};
use crate::token::TokenKeys;

/// Most steps of one look. Each generation takes a few; what is left over follows at the next look.
const STEPS_MAX: usize = 64;

/// How far this machine's clock may be from that of whoever keeps the state, before it ends generations.
const SKEW_MAX: Duration = Duration::from_secs(300);

/// The longest life that a leaf may have had before horizons were written down: the default of `leaf.max_ttl`, in
/// case a smaller one is in force now.
const LEAF_BEFORE_HORIZONS_MAX: Duration = Duration::from_secs(2160 * 3600);

/// The rotation with its store and what is in effect of it.
pub(crate) struct Conductor {
    pub(super) store: Box<dyn Store>,
    pub(super) trust_domain: TrustDomain,
    pub(super) policy: Policy,
    /// What a root that is made here is like; `None` where none may be made.
    pub(super) own_roots: Option<OwnRoots>,
    /// Where an operator puts generations.
    pub(super) plugged_in: Option<PluggedIn>,
    /// Where keys are that never leave their place.
    pub(super) tokens: Option<TokenKeys>,
    pub(super) rotation: Rotation,
    pub(super) leads: bool,
    /// What signs, and as which generation.
    pub(super) signing: Option<(u64, Arc<Signing>)>,
    /// What requests are given, once there is something.
    pub(super) authority: Option<Arc<Authority>>,
    /// Whether everything that was written down is also published and in use.
    is_effective: bool,
}

impl Conductor {
    pub(crate) fn new(
        store: Box<dyn Store>,
        trust_domain: TrustDomain,
        policy: Policy,
        own_roots: Option<OwnRoots>,
        directory: Option<Directory>,
    ) -> Self {
        Self {
            store,
            trust_domain,
            policy,
            own_roots,
            plugged_in: directory.map(PluggedIn::new),
            tokens: None,
            rotation: Rotation::new(0),
            leads: false,
            signing: None,
            authority: None,
            is_effective: false,
        }
    }

    /// What requests are given.
    pub(crate) fn authority(&self) -> Option<&Arc<Authority>> {
        self.authority.as_ref()
    }

    /// Does everything that is due. `served` is how much time has passed since the look before,
    /// by a clock that cannot be set.
    pub(crate) fn look(&mut self, now: Timestamp, served: Duration, watching: Watching) -> Result<(), StateError> {
        match self.take_lead() {
            Ok(true) => {}
            Ok(false) => return self.follow(now),
            Err(error) => {
                self.stop_if_unheard(now);
                return Err(error);
            }
        }
        if !self.is_effective {
            self.take_effect(now)?;
        }
        // What waits in a directory holds up nothing else.
        let imported = self.import_changes(now);
        let mut moment = Moment { now, served, watching, can_make: self.can_make() };
        for _ in 0..STEPS_MAX {
            let Ok(step) = self.rotation.step(Event::Look, &self.policy, &moment) else { break };
            moment.served = Duration::ZERO;
            if is_for_the_clock_alone(&step) {
                self.check_clock(now)?;
            }
            match (step.change, step.make) {
                (Some(change), _) => self.apply(step.next, change, now)?,
                (None, Some(why)) => {
                    self.rotation = step.next;
                    self.make(why, now)?;
                }
                (None, None) => {
                    self.rotation = step.next;
                    break;
                }
            }
        }
        imported
    }

    /// Does what an operator wants, and what follows from it.
    pub(crate) fn wish(&mut self, wish: Wish, now: Timestamp, watching: Watching) -> Result<(), WishError> {
        self.look(now, Duration::ZERO, watching.clone())?;
        if !self.leads {
            return Err(WishError::NotLeading);
        }
        // Both leave dates behind that this machine's clock says; taking trust away must always be possible.
        if matches!(wish, Wish::Prepare | Wish::Activate { .. }) {
            self.check_clock(now)?;
        }
        let event = match wish {
            Wish::Prepare => Event::Prepare,
            Wish::Activate { id, readiness } => Event::Activate { id, readiness },
            Wish::Taint { id } => Event::Taint { id },
            Wish::Revoke { id } => Event::Revoke { id },
        };
        let moment = Moment { now, served: Duration::ZERO, watching, can_make: self.can_make() };
        let step = self.rotation.step(event, &self.policy, &moment)?;
        if let Some(change) = step.change {
            self.apply(step.next, change, now)?;
        } else if let Some(why) = step.make {
            self.make(why, now)?;
        }
        Ok(self.look(now, Duration::ZERO, moment.watching)?)
    }

    /// Whether roots of our own may be made. Never beside a plugged-in authority: that would be a fall back that nobody
    /// asked for.
    fn can_make(&self) -> bool {
        self.own_roots.is_some() && (self.plugged_in.is_none() || self.is_left_empty())
    }

    /// Whether this process writes. One that begins to, or that was written past, goes on from what is written down.
    pub(super) fn take_lead(&mut self) -> Result<bool, StateError> {
        let leads = self.store.leads();
        if !matches!(leads, Ok(true)) {
            self.stand_back();
        }
        let leads = leads?;
        if leads && (self.store.has_changed() || !self.leads) {
            // Until it was read, nothing is written over it.
            self.stand_back();
            let kept = self.load()?;
            self.rotation = kept.unwrap_or_else(|| Rotation::new(self.store.numbered_from()));
            self.is_effective = false;
        }
        self.leads = leads;
        Ok(leads)
    }

    /// That this machine's clock may be believed.
    fn check_clock(&self, now: Timestamp) -> Result<(), StateError> {
        match self.store.time().filter(|there| now.since(*there).max(there.since(now)) > SKEW_MAX) {
            Some(there) => Err(StateError::Skewed { now, there }),
            None => Ok(()),
        }
    }

    /// Another process may go on from here: what is in use is not the latest for certain.
    fn stand_back(&mut self) {
        self.leads = false;
        if let Some(authority) = self.authority.as_mut().filter(|of| self.store.is_shared() && !of.is_followed()) {
            *authority = Arc::new(authority.followed());
            self.is_effective = false;
        }
    }

    /// Signs nothing more once nothing was heard for longer than it may go on so: what is in use may have been revoked.
    fn stop_if_unheard(&mut self, now: Timestamp) {
        let Some(authority) = self.authority.as_mut().filter(|of| of.usable().not_after() > now) else { return };
        if self.store.silence() > self.policy.away {
            *authority = Arc::new(authority.ending(now));
            self.is_effective = false;
        }
    }

    /// What is written down, if it is not older than what is in use.
    pub(super) fn load(&self) -> Result<Option<Rotation>, StateError> {
        let known = &self.rotation;
        let Some(found) = self.store.load()? else {
            let path = self.store.place(known.active().map_or(1, |active| active.id));
            return if known.generations().is_empty() { Ok(None) } else { Err(StateError::JournalLost { path }) };
        };
        let numbers = |of: &Rotation| [of.revision(), of.bundle(), of.next_id()];
        if numbers(&found).iter().zip(numbers(known)).any(|(found, known)| *found < known) {
            let path = self.store.place(found.active().map_or(1, |active| active.id));
            return Err(StateError::WentBack { path, known: known.revision(), found: found.revision() });
        }
        Ok(Some(found))
    }

    /// Uses what the process that leads has written down.
    fn follow(&mut self, now: Timestamp) -> Result<(), StateError> {
        let Some(rotation) = self.load()? else { return Ok(()) };
        if rotation != self.rotation || !self.is_effective {
            self.rotation = rotation;
            self.is_effective = false;
            self.use_it(now)?;
            self.is_effective = true;
        }
        Ok(())
    }

    /// Makes a root of our own, unless the one that is to come next is there already: a process that was killed before
    /// it could write that down, or an earlier version of this program, left it.
    pub(super) fn make(&mut self, why: Why, now: Timestamp) -> Result<(), StateError> {
        let (id, is_first) = (self.rotation.next_id(), self.rotation.generations().is_empty());
        let found = self.store.unwritten(id)?;
        let is_found = found.is_some();
        let material = match (found, self.own_roots) {
            (Some(found), _) => found,
            (None, Some(own)) => {
                // Everybody would have to live with its dates.
                self.check_clock(now)?;
                if is_first {
                    self.store.check_first(None)?;
                }
                make_root(&self.trust_domain, own, now)?
            }
            (None, None) => return Err(StateError::NoSigner),
        };
        let usable = material.certificate.lifetime();
        let roots = TrustBundle::from_pem(self.trust_domain.clone(), material.roots_pem.as_bytes())
            .map_err(|error| self.unfit(id, error.into()))?;
        let mut offer = material.offer(&roots, usable, Origin::SelfSigned);
        offer.anchors = BTreeSet::from([root_id(&material.certificate)]);
        if !is_found {
            // One that cannot sign must not be kept, or it would be found again and again.
            Signing::new(&material, None, &self.trust_domain, now).map_err(|error| self.unfit(id, error))?;
            self.store.keep(id, material)?;
            tracing::info!(generation = id, place = %self.store.place(id).display(), reason = %why, "root made");
        }
        let event = if is_found && is_first {
            offer.horizon = Some(self.horizon_before(usable, now));
            Event::Found(offer)
        } else {
            Event::Offered(offer)
        };
        let place = self.store.place(id);
        let step = self.judge(event, now).map_err(|source| StateError::NotTaken { place, source })?;
        self.carry_out(step, now)
    }

    fn horizon_before(&self, usable: Lifetime, now: Timestamp) -> Timestamp {
        now.plus(self.policy.leaf_max.max(LEAF_BEFORE_HORIZONS_MAX)).min(usable.not_after()).whole_secs()
    }

    /// What follows when a source has a generation. Nothing is changed.
    pub(super) fn judge(&self, event: Event, now: Timestamp) -> Result<Step, Refusal> {
        let moment = Moment { now, served: Duration::ZERO, watching: Watching::default(), can_make: false };
        self.rotation.step(event, &self.policy, &moment)
    }

    /// Does what follows; the material of a new generation must be kept.
    pub(super) fn carry_out(&mut self, step: Step, now: Timestamp) -> Result<(), StateError> {
        step.change.map_or(Ok(()), |change| self.apply(step.next, change, now))
    }

    /// Writes `next` down and puts it into effect.
    fn apply(&mut self, next: Rotation, change: Change, now: Timestamp) -> Result<(), StateError> {
        if let Change::Entered { id, phase: Phase::Active, .. } = change {
            // What cannot sign is not written down as what signs; unless it has ended, which is known.
            if let Some(generation) = next.get(id).filter(|generation| !generation.has_ended(now)) {
                self.signing_of(generation, now)?;
            }
        }
        let next = next.at(self.rotation.revision() + 1);
        self.store.save(&next)?;
        self.rotation = next;
        self.is_effective = false;
        tell(&self.rotation, change);
        if matches!(change, Change::Served) {
            self.is_effective = true;
            return Ok(());
        }
        self.take_effect(now)
    }

    fn take_effect(&mut self, now: Timestamp) -> Result<(), StateError> {
        if let Some(pem) = published_pem(&self.rotation) {
            self.store.publish(&self.rotation, &pem)?;
        }
        self.use_it(now)?;
        self.is_effective = self.store.sweep(&self.rotation);
        Ok(())
    }

    /// Gives requests what the rotation says.
    fn use_it(&mut self, now: Timestamp) -> Result<(), StateError> {
        let Some(active) = self.rotation.acting(now) else { return Ok(()) };
        let (id, horizon) = (active.id, active.horizon.unwrap_or(active.usable.not_before()));
        let in_use = self.signing.as_ref().is_some_and(|(of, _)| *of == id);
        if active.has_ended(now) && !in_use {
            // It signs nothing more; its successor comes, or the start says why there is none.
            return Ok(());
        }
        let signing = self.signing_of(active, now)?;
        let published = self.published(id)?;
        self.signing = Some((id, signing.clone()));
        let authority = Authority::new(id, signing, published, horizon);
        let is_followed = self.store.is_shared() && !self.leads;
        self.authority = Some(Arc::new(if is_followed { authority.followed() } else { authority }));
        Ok(())
    }

    fn published(&self, active: u64) -> Result<Arc<Published>, StateError> {
        let pem = published_pem(&self.rotation).unwrap_or_default();
        let roots = TrustBundle::from_pem(self.trust_domain.clone(), pem.as_bytes())
            .map_err(|error| self.unfit(active, error.into()))?;
        Ok(Arc::new(Published {
            generation: self.rotation.bundle(),
            roots,
            pem,
            tainted_key_ids: self.rotation.tainted_key_ids(),
            distrusted_key_ids: self.rotation.distrusted_key_ids(),
            renewal_spread: self.policy.renewal_spread,
        }))
    }

    /// The signing part of a generation, tried out when it is first wanted.
    pub(super) fn signing_of(&self, generation: &Generation, now: Timestamp) -> Result<Arc<Signing>, StateError> {
        let id = generation.id;
        if let Some((_, signing)) = self.signing.as_ref().filter(|(of, _)| *of == id) {
            return Ok(signing.clone());
        }
        let material = self.store.material(generation)?;
        let signing = Signing::new(&material, self.tokens.as_ref(), &self.trust_domain, now)
            .map_err(|error| self.unfit(id, error))?;
        Ok(Arc::new(signing))
    }

    fn unfit(&self, id: u64, source: UnfitError) -> StateError {
        StateError::Unfit { path: self.store.place(id), source }
    }
}

/// Whether nothing but the clock of this machine says that it is time for `step`, which cannot be taken back.
fn is_for_the_clock_alone(step: &Step) -> bool {
    matches!(step.change, Some(Change::Entered { why: Why::Expired, .. }))
        || step.change.is_none() && matches!(step.make, Some(Why::Expired | Why::Due))
}

/// The text of all published roots: the active generation's as its source gave them, then what others add.
fn published_pem(rotation: &Rotation) -> Option<String> {
    let mut trusted = rotation.trusted();
    let first = trusted.next()?;
    let mut text = first.roots.pem().to_owned();
    let mut known: BTreeSet<String> = first.roots.ids().map(str::to_owned).collect();
    for other in trusted {
        let roots = Certificate::list_from_pem(other.roots.pem().as_bytes(), BUNDLE_PEM_MAX_BYTES).unwrap_or_default();
        for root in roots.iter().filter(|root| known.insert(root_id(root))) {
            if !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&root.to_pem());
        }
    }
    Some(text)
}

/// Opens a self-signed authority that never rotates by itself.
pub(super) fn open_self_signed(
    dir: &Path,
    trust_domain: &TrustDomain,
    own_roots: OwnRoots,
    now: Timestamp,
) -> Result<Authority, AuthorityError> {
    let store = Box::new(StateDir::new(dir, trust_domain.clone()));
    let mut conductor = Conductor::new(store, trust_domain.clone(), Policy::by_hand(), Some(own_roots), None);
    Ok(Arc::unwrap_or_clone(conductor.start(now)?))
}

#[cfg(test)]
mod tests;
