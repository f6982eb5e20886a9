//! What an operator should know about an authority that works: told by readiness, and in the log when it changes.

use signet_identity::Timestamp;

use super::conductor::Conductor;
use super::rotation::{Change, Generation, Phase, Rotation};

impl Conductor {
    /// What is wrong although something signs, the most urgent first.
    pub(super) fn remark(&self, now: Timestamp) -> Option<String> {
        let refused = self.plugged_in.as_ref().and_then(|plugged_in| plugged_in.refused.clone());
        if let Some(refused) = refused {
            return Some(format!("plugged-in files are not in force: {refused}"));
        }
        if let Some(overruled) = self.taken().and_then(overruled) {
            return Some(overruled);
        }
        let active = self.rotation.active()?;
        if !self.store.lasts() && self.is_changing(active) {
            return Some(
                "a restart would lose the change of roots that is under way: `authority.state_dir` is `none`".into(),
            );
        }
        if let Some(acting) = self.rotation.acting(now).filter(|acting| acting.id != active.id) {
            let begins = active.usable.not_before();
            return Some(format!(
                "generation {} begins at {begins}, by a clock that was wrong, and {} signs meanwhile: activate that one",
                active.id, acting.id
            ));
        }
        let end = active.usable.not_after();
        if active.has_ended(now) || self.rotation.waiting().is_some() {
            // Readiness itself tells of the former; in the latter the cure is under way.
            return None;
        }
        let remaining = active.usable.remaining(now);
        if remaining < self.policy.leaf_usual {
            return Some(format!("certificates are cut short: generation {} ends at {end}", active.id));
        }
        let life = end.since(active.usable.not_before());
        let is_due = remaining < self.policy.tell_before(life, active.origin);
        is_due.then(|| format!("generation {} ends at {end} and no successor is prepared", active.id))
    }

    /// Whether more is needed than the generation that signs.
    fn is_changing(&self, active: &Generation) -> bool {
        self.rotation.waiting().is_some() || self.rotation.roots().len() > active.roots.ids().count()
    }
}

/// An operator's word outweighs the directory from which a generation was taken.
fn overruled(taken: &Generation) -> Option<String> {
    let is_overruled = taken.phase != Phase::Active && !taken.phase.is_waiting();
    is_overruled.then(|| format!("plugged-in files are not in force: their generation {} is {}", taken.id, taken.phase))
}

/// Logs a change that was written down.
pub(super) fn tell(rotation: &Rotation, change: Change) {
    let bundle = rotation.bundle();
    match change {
        Change::Entered { id, phase, why } => {
            let key_id = rotation.get(id).map(|generation| generation.key_id.as_str());
            tracing::info!(generation = id, phase = phase.as_str(), reason = %why, key_id, bundle, "authority rotation");
        }
        Change::Armed { id } => tracing::info!(generation = id, "generation signs as soon as its roots are known"),
        Change::HorizonMoved { id, to } => tracing::debug!(generation = id, horizon = %to, "horizon moved"),
        Change::Served => tracing::debug!("wait written down"),
        Change::RootKnown { why } => tracing::info!(reason = %why, bundle, "a root counts as known everywhere"),
        Change::Forgotten { id } => tracing::debug!(generation = id, "generation is not listed any more"),
    }
}
