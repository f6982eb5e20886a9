//! What an operator sees of the rotation: plain values, ready to be printed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use signet_identity::{Lifetime, Timestamp};

use super::conductor::Conductor;
use super::rotation::{Generation, Watching};

/// The rotation at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overview {
    /// Whose authority it is.
    pub trust_domain: String,
    /// Whether this process is the one that writes.
    pub leads: bool,
    /// What is wrong, or will be.
    pub remark: Option<String>,
    /// What an operator plugged in, where there is something or has to be.
    pub directory: Option<DirectoryView>,
    /// What is published.
    pub bundle: BundleView,
    /// What signs, and when its end is an alarm. Not printed: operators have it from the generation's own times.
    #[serde(skip)]
    pub(crate) ending: Option<Ending>,
    /// All generations, oldest first.
    pub generations: Vec<GenerationView>,
}

/// The end of what signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ending {
    /// When what it signs is trusted; not cut to what was written down of it.
    pub(crate) usable: Lifetime,
    /// Time left when it should have been replaced.
    pub(crate) alarm_before: Duration,
}

/// The directory of a plugged-in authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DirectoryView {
    /// Where it is.
    pub path: PathBuf,
    /// Whether what stands there signs, or waits to.
    pub is_in_force: bool,
    /// Why not.
    pub refused: Option<String>,
}

/// The published bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BundleView {
    /// Its number.
    pub generation: u64,
    /// Agents that watch it.
    pub watchers: usize,
    /// Those of them that have it.
    pub acknowledged: usize,
    /// Its roots by SHA-256 over each certificate.
    pub roots: BTreeMap<String, RootView>,
}

/// A published root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RootView {
    /// The first bundle that held it.
    pub published_in: u64,
    /// For how long it has been published, in seconds; not counted any more once it is known.
    pub served_secs: u64,
    /// Whether it counts as known everywhere.
    pub is_known: bool,
}

/// One generation. Times are RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GenerationView {
    /// Its number.
    pub id: u64,
    /// Where it stands.
    pub phase: &'static str,
    /// Whether nothing more comes of it.
    pub is_over: bool,
    /// Since when.
    pub since: String,
    /// Who made it.
    pub origin: &'static str,
    /// The key identifier that its leaves name.
    pub key_id: String,
    /// When its leaves begin to be trusted.
    pub not_before: String,
    /// When they cease to be.
    pub not_after: String,
    /// The same in seconds since the Unix epoch.
    pub not_after_unix: i64,
    /// No leaf under it lives longer.
    pub horizon: Option<String>,
    /// What keeps it from signing, while it waits.
    pub waits_for: Option<String>,
    /// Whether it signs as soon as it may.
    pub is_armed: bool,
    /// Its roots by SHA-256 over each certificate.
    pub roots: Vec<String>,
}

impl Conductor {
    pub(super) fn overview(&self, now: Timestamp, watching: &Watching) -> Overview {
        let rotation = &self.rotation;
        let roots = rotation.roots().iter().map(|(id, root)| {
            let served_secs = root.served.as_secs();
            (id.clone(), RootView { published_in: root.published_in, served_secs, is_known: root.is_known })
        });
        Overview {
            trust_domain: self.trust_domain.to_string(),
            leads: self.leads,
            remark: self.remark(now),
            directory: self.plugged_in.as_ref().filter(|_| !self.is_left_empty()).map(|plugged_in| DirectoryView {
                path: plugged_in.directory.path().to_owned(),
                is_in_force: self.is_in_force(),
                refused: plugged_in.refused.clone(),
            }),
            bundle: BundleView {
                generation: rotation.bundle(),
                watchers: watching.watchers(),
                acknowledged: watching.reached(rotation.bundle()),
                roots: roots.collect(),
            },
            ending: rotation.active().map(|active| self.ending(active)),
            generations: rotation.generations().iter().map(|found| self.view(found, watching)).collect(),
        }
    }

    fn ending(&self, active: &Generation) -> Ending {
        let life = active.usable.not_after().since(active.usable.not_before());
        Ending { usable: active.usable, alarm_before: self.policy.alarm_before(life, active.origin) }
    }

    fn view(&self, generation: &Generation, watching: &Watching) -> GenerationView {
        let waits_for = self.rotation.missing(generation, &self.policy, watching);
        GenerationView {
            id: generation.id,
            phase: generation.phase.as_str(),
            is_over: generation.phase.is_over(),
            since: generation.since.to_string(),
            origin: generation.origin.as_str(),
            key_id: generation.key_id.clone(),
            not_before: generation.usable.not_before().to_string(),
            not_after: generation.usable.not_after().to_string(),
            not_after_unix: generation.usable.not_after().unix_secs(),
            horizon: generation.horizon.map(|horizon| horizon.to_string()),
            waits_for: waits_for.filter(|_| generation.phase.is_waiting()).map(|progress| progress.to_string()),
            is_armed: generation.is_armed,
            roots: generation.roots.ids().map(str::to_owned).collect(),
        }
    }
}
