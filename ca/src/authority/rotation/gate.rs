//! May a published generation sign yet, and if not, what is missing?

use std::fmt;
use std::time::Duration;

use super::{Generation, Policy, PublishedRoot, Rotation, Watching};

/// What a closed gate waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// How long the root has been published by a running authority.
    pub served: Duration,
    /// How long it must be at least.
    pub min_wait: Duration,
    /// After how long nobody is waited for.
    pub deadline: Duration,
    /// Agents that watch now.
    pub watchers: usize,
    /// Those of them that have the root.
    pub reached: usize,
    /// How many of them must.
    pub wanted: usize,
    /// The places where bundles are published in which it does not stand.
    pub missing_in: Vec<&'static str>,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = |span: Duration| humantime::format_duration(Duration::from_secs(span.as_secs()));
        write!(f, "its root is published for {}, at least {} are needed", span(self.served), span(self.min_wait))?;
        let Self { watchers, reached, wanted, .. } = self;
        if *watchers == 0 {
            write!(f, "; no agent watches")?;
        } else {
            write!(f, "; {reached} of {watchers} watching agents have it, {wanted} are needed")?;
        }
        for place in &self.missing_in {
            write!(f, "; it is not in {place}")?;
        }
        write!(f, "; after {} nobody is waited for", span(self.deadline))
    }
}

impl Policy {
    /// How far `root` is on its way to everyone.
    pub(super) fn progress(&self, root: &PublishedRoot, watching: &Watching) -> Progress {
        let watchers = watching.watchers();
        let share = u64::try_from(watchers).unwrap_or(u64::MAX).saturating_mul(self.acknowledged_percent);
        Progress {
            served: root.served,
            min_wait: self.min_wait,
            deadline: self.deadline,
            watchers,
            reached: watching.reached(root.published_in),
            wanted: usize::try_from(share.div_ceil(100)).unwrap_or(usize::MAX),
            missing_in: watching.missing_in(root.published_in),
        }
    }
}

impl Rotation {
    /// What keeps `generation` from signing; `None` when a root that makes its leaves trusted is known everywhere.
    pub(crate) fn missing(&self, generation: &Generation, policy: &Policy, watching: &Watching) -> Option<Progress> {
        match self.nearest(&generation.anchors) {
            Some(root) if root.is_known => None,
            Some(root) => Some(policy.progress(root, watching)),
            None => Some(Progress { min_wait: policy.min_wait, deadline: policy.deadline, ..Progress::default() }),
        }
    }
}
