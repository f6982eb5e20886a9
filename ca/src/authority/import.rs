//! Takes up what stands in the directory of a plugged-in authority: as a whole, or not at all.

use std::collections::BTreeSet;
use std::path::PathBuf;

use signet_identity::{Certificate, Timestamp, TrustBundle};
use signet_runtime::tasks::chain;

use super::PluggedInError;
use super::conductor::Conductor;
use super::material::Material;
use super::plugged_in::{Directory, Seen};
use super::rotation::{Event, Generation, Offer, Origin, Phase, Refusal, root_id};
use super::signing::{Signing, UnfitError};
use super::store::StateError;

/// What became of a content of the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reload {
    /// It is a generation now.
    Taken,
    /// It is in force already.
    Same,
    /// It was refused, for a reason of this kind.
    Refused(&'static str),
}

impl PluggedInError {
    /// A stable word for metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Incomplete { .. } => "incomplete",
            Self::File(_) => "unreadable",
            Self::Certificates { .. } | Self::NotText { .. } => "certificates",
            Self::Key { .. } => "key",
            Self::Unfit { source: UnfitError::KeyMismatch, .. } => "key_mismatch",
            Self::Unfit { source: UnfitError::Expired { .. }, .. } => "expired",
            Self::Unfit { source: UnfitError::NotYetValid { .. }, .. } => "not_yet_valid",
            Self::Unfit { source: UnfitError::NoPath(_), .. } => "untrusted",
            Self::Unfit { source: UnfitError::Token(_), .. } => "token",
            Self::Unfit { .. } => "unfit",
        }
    }
}

impl PluggedInError {
    /// Whether time, or what becomes of the token, will change what is thought of the same files.
    fn is_for_now(&self) -> bool {
        matches!(self, Self::Unfit { source: UnfitError::NotYetValid { .. } | UnfitError::Token(_), .. })
    }

    /// Whether it may be gone at the next attempt without anybody's doing.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Unfit { source, .. } if source.is_passing())
    }
}

/// The directory, and what was last wrong with it.
#[derive(Debug)]
pub(crate) struct PluggedIn {
    pub(super) directory: Directory,
    /// Why what stands there is not in force.
    pub(super) refused: Option<String>,
    /// What was last taken, by its content.
    taken: Option<String>,
    /// What became of each content that was judged since these were last taken.
    pub(super) reloads: Vec<Reload>,
}

/// Whether a content that was judged has to be judged again while it stays the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Final,
    /// Time will change what is thought of it.
    ForNow,
}

impl PluggedIn {
    pub(crate) fn new(directory: Directory) -> Self {
        Self { directory, refused: None, taken: None, reloads: Vec::new() }
    }
}

impl Conductor {
    /// What became of the contents that were judged since this was last asked.
    pub(super) fn take_reloads(&mut self) -> Vec<Reload> {
        self.plugged_in.as_mut().map(|plugged_in| std::mem::take(&mut plugged_in.reloads)).unwrap_or_default()
    }

    /// Takes up what stands in the directory at start. What cannot be used there stops the start, unless something is
    /// kept that signs.
    pub(super) fn import_first(&mut self, now: Timestamp) -> Result<Result<(), PluggedInError>, StateError> {
        let Some(plugged_in) = &mut self.plugged_in else { return Ok(Ok(())) };
        if self.own_roots.is_some() && plugged_in.directory.is_empty() {
            return Ok(Ok(()));
        }
        let judged = plugged_in.directory.look_at_once();
        let has_signer = self.rotation.active().is_some_and(|active| !active.has_ended(now));
        match self.import(judged, now)? {
            Err(error) if !has_signer => Ok(Err(error)),
            _ => Ok(Ok(())),
        }
    }

    /// Whether no file of an authority is there, where none has to be and none was taken up before.
    pub(super) fn is_left_empty(&self) -> bool {
        let is_plugged_in = |found: &Generation| found.origin == Origin::PluggedIn && !found.phase.is_over();
        self.own_roots.is_some()
            && self.plugged_in.as_ref().is_some_and(|plugged_in| plugged_in.directory.is_empty())
            && !self.rotation.generations().iter().any(is_plugged_in)
    }

    /// Whether what stands in the directory signs, or waits to. Who follows leaves that to the one that leads.
    pub(super) fn is_in_force(&self) -> bool {
        let is_judged = |plugged_in: &PluggedIn| plugged_in.refused.is_none() && plugged_in.directory.is_judged();
        let is_live = || self.taken().is_some_and(|of| of.phase == Phase::Active || of.phase.is_waiting());
        !self.leads || self.plugged_in.as_ref().is_some_and(is_judged) && is_live()
    }

    /// The generation that was last taken from the directory.
    pub(super) fn taken(&self) -> Option<&Generation> {
        self.rotation.latest(self.plugged_in.as_ref()?.taken.as_deref()?)
    }

    /// Takes up what stands in the directory, if it is something new.
    pub(super) fn import_changes(&mut self, now: Timestamp) -> Result<(), StateError> {
        let is_left_empty = self.is_left_empty();
        let Some(plugged_in) = &mut self.plugged_in else { return Ok(()) };
        if is_left_empty {
            plugged_in.refused = None;
            return Ok(());
        }
        let Seen::Fresh(judged) = plugged_in.directory.look() else { return Ok(()) };
        self.import(*judged, now).map(|_| ())
    }

    fn import(
        &mut self,
        judged: Result<Material, PluggedInError>,
        now: Timestamp,
    ) -> Result<Result<(), PluggedInError>, StateError> {
        let fit = judged.and_then(|material| self.fit(material, now));
        let verdict = match &fit {
            Ok((material, offer)) => self.take_up(material, offer.clone(), now),
            Err(error) => {
                self.refuse(error.reason(), &chain(error));
                Ok(if error.is_for_now() { Verdict::ForNow } else { Verdict::Final })
            }
        };
        if let Some(plugged_in) = self.plugged_in.as_mut().filter(|_| !matches!(verdict, Ok(Verdict::Final))) {
            plugged_in.directory.judge_again();
        }
        verdict.map(|_| fit.map(|_| ()))
    }

    fn fit(&self, material: Material, now: Timestamp) -> Result<(Material, Offer), PluggedInError> {
        let unfit = |source| PluggedInError::Unfit { dir: self.directory_path(), source };
        let signing = Signing::new(&material, self.tokens.as_ref(), &self.trust_domain, now).map_err(unfit)?;
        let mut offer = material.offer(&signing.roots, signing.usable, Origin::PluggedIn);
        offer.anchors = anchors(&signing, now);
        offer.is_armed = true;
        Ok((material, offer))
    }

    /// Nothing is kept of what is refused.
    fn take_up(&mut self, material: &Material, offer: Offer, now: Timestamp) -> Result<Verdict, StateError> {
        let content = offer.content.clone();
        let step = match self.judge(Event::Offered(offer), now) {
            Ok(step) => step,
            Err(Refusal::Known { .. }) => {
                self.accept(content, Reload::Same);
                return Ok(Verdict::Final);
            }
            Err(refusal) => {
                let is_distrusted = matches!(refusal, Refusal::Distrusted { .. } | Refusal::DistrustedKey { .. });
                self.refuse(if is_distrusted { "distrusted" } else { "rotation" }, &refusal.to_string());
                // There will be room once old certificates have ended.
                return Ok(if refusal == Refusal::TooMany { Verdict::ForNow } else { Verdict::Final });
            }
        };
        let id = self.rotation.next_id();
        if self.rotation.generations().is_empty() {
            self.store.check_first(Some(material))?;
        }
        if step.next.next_id() > id {
            self.store.keep(id, material.try_clone()?)?;
        }
        self.carry_out(step, now)?;
        self.accept(content, Reload::Taken);
        Ok(Verdict::Final)
    }

    fn directory_path(&self) -> PathBuf {
        self.plugged_in.as_ref().map(|plugged_in| plugged_in.directory.path().to_owned()).unwrap_or_default()
    }

    /// Remembers, and tells once, why what stands in the directory is not in force.
    fn refuse(&mut self, reason: &'static str, why: &str) {
        let Some(plugged_in) = &mut self.plugged_in else { return };
        if plugged_in.refused.as_deref() != Some(why) {
            tracing::error!(reason, error = why, "plugged-in files are refused as a whole, what was in force stays");
            plugged_in.refused = Some(why.to_owned());
            plugged_in.reloads.push(Reload::Refused(reason));
        }
    }

    fn accept(&mut self, content: String, reload: Reload) {
        let Some(plugged_in) = &mut self.plugged_in else { return };
        plugged_in.refused = None;
        plugged_in.taken = Some(content);
        plugged_in.reloads.push(reload);
    }
}

/// Those roots of `signing`, by their ids, that alone make its leaves trusted.
fn anchors(signing: &Signing, now: Timestamp) -> BTreeSet<String> {
    let alone = |root: &&Certificate| {
        TrustBundle::new(signing.roots.trust_domain().clone(), vec![(*root).clone()])
            .is_ok_and(|bundle| signing.is_trusted_by(&bundle, now))
    };
    signing.roots.roots().iter().filter(alone).map(root_id).collect()
}
