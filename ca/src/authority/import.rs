//! Takes up what stands in the directory of a plugged-in authority: as a whole, or not at all.

use std::collections::BTreeSet;
use std::path::PathBuf;

use signet_identity::{Certificate, Timestamp, TrustBundle};
use signet_runtime::tasks::chain;

use super::PluggedInError;
use super::conductor::Conductor;
use super::material::Material;
use super::plugged_in::{Directory, Seen};
use super::rotation::{Event, Offer, Origin, Phase, Refusal, root_id};
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
            Self::Unfit { .. } => "unfit",
        }
    }
}

/// The directory, and what was last wrong with it.
#[derive(Debug)]
pub(crate) struct PluggedIn {
    pub(super) directory: Directory,
    /// Why what stands there is not in force.
    pub(super) refused: Option<String>,
    /// What became of each content that was judged since these were last taken.
    pub(super) reloads: Vec<Reload>,
}

impl PluggedIn {
    pub(crate) fn new(directory: Directory) -> Self {
        Self { directory, refused: None, reloads: Vec::new() }
    }

    /// Whether what was last seen is what was taken.
    pub(super) fn is_in_force(&self) -> bool {
        self.refused.is_none() && self.directory.is_judged()
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
        if self.root_ttl.is_some() && plugged_in.directory.is_empty() {
            return Ok(Ok(()));
        }
        let judged = plugged_in.directory.look_at_once();
        let has_signer = self.rotation.active().is_some_and(|active| !active.has_ended(now));
        match self.import(judged, now)? {
            Err(error) if !has_signer => Ok(Err(error)),
            _ => Ok(Ok(())),
        }
    }

    /// Takes up what stands in the directory, if it is something new.
    pub(super) fn import_changes(&mut self, now: Timestamp) -> Result<(), StateError> {
        let Some(plugged_in) = &mut self.plugged_in else { return Ok(()) };
        let Seen::Fresh(judged) = plugged_in.directory.look() else { return Ok(()) };
        let imported = self.import(*judged, now);
        let is_early =
            matches!(&imported, Ok(Err(PluggedInError::Unfit { source: UnfitError::NotYetValid { .. }, .. })));
        if let Some(plugged_in) = self.plugged_in.as_mut().filter(|_| is_early || imported.is_err()) {
            // Time will change what is thought of it, not the files.
            plugged_in.directory.judge_again();
        }
        imported.map(|_| ())
    }

    fn import(
        &mut self,
        judged: Result<Material, PluggedInError>,
        now: Timestamp,
    ) -> Result<Result<(), PluggedInError>, StateError> {
        let fit = judged.and_then(|material| self.fit(material, now));
        match &fit {
            Ok((material, offer)) => self.take_up(material, offer.clone(), now)?,
            Err(error) => self.refuse(error.reason(), &chain(error)),
        }
        Ok(fit.map(|_| ()))
    }

    fn fit(&self, material: Material, now: Timestamp) -> Result<(Material, Offer), PluggedInError> {
        let unfit = |source| PluggedInError::Unfit { dir: self.directory_path(), source };
        let signing = Signing::new(&material, &self.trust_domain, now).map_err(unfit)?;
        let mut offer = material.offer(&signing.roots, signing.usable, Origin::PluggedIn);
        offer.anchors = anchors(&signing, now);
        offer.is_armed = true;
        Ok((material, offer))
    }

    fn take_up(&mut self, material: &Material, offer: Offer, now: Timestamp) -> Result<(), StateError> {
        let same = self.rotation.generations().iter().find(|found| found.content == offer.content);
        let phase = same.map(|same| same.phase);
        if matches!(phase, Some(Phase::Active | Phase::Prepared | Phase::Published)) {
            self.accept(Reload::Same);
            return Ok(());
        }
        if matches!(phase, None | Some(Phase::Retired)) {
            let copy = material.try_clone().map_err(StateError::Make)?;
            self.store.keep(self.rotation.next_id(), copy)?;
        }
        match self.offer(Event::Offered(offer), now)? {
            Ok(()) => self.accept(Reload::Taken),
            Err(refusal @ Refusal::Distrusted { .. }) => self.refuse("distrusted", &refusal.to_string()),
            Err(refusal) => self.refuse("rotation", &refusal.to_string()),
        }
        Ok(())
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

    fn accept(&mut self, reload: Reload) {
        let Some(plugged_in) = &mut self.plugged_in else { return };
        plugged_in.refused = None;
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
