//! What is known about a root from the moment it is published: since which bundle, for how long, and whether everyone
//! who has to know it does.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Change, Generation, Policy, Rotation, Why};

/// Most time that one look credits to a root: what is longer was a sleep, or a clock that was set.
pub(super) const SERVED_PER_LOOK_MAX: Duration = Duration::from_secs(600);

/// How much served time may be lost when the process is killed.
pub(super) const SERVED_UNSAVED_MAX: Duration = Duration::from_secs(600);

/// A root in the bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedRoot {
    /// The first bundle that held it.
    pub published_in: u64,
    /// For how long a running authority has published it; not counted any more once it is known.
    pub served: Duration,
    /// Whether everyone who has to know it does.
    pub is_known: bool,
}

/// Who has which bundle: how many agents that watch have each generation of it, and which one stood in each of the other
/// places where bundles are published.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watching {
    counts: BTreeMap<u64, usize>,
    published: BTreeMap<&'static str, u64>,
}

impl Watching {
    /// So many agents have these generations.
    pub(crate) fn new(counts: BTreeMap<u64, usize>) -> Self {
        Self { counts, published: BTreeMap::new() }
    }

    /// The same where bundles are also published in `place`, and `bundle` is the latest that was seen there.
    #[must_use]
    pub(crate) fn published(mut self, place: &'static str, bundle: u64) -> Self {
        self.published.insert(place, bundle);
        self
    }

    /// The places where bundles are published in which neither `bundle` nor a later one stood.
    pub fn missing_in(&self, bundle: u64) -> Vec<&'static str> {
        self.published.iter().filter(|(_, published)| **published < bundle).map(|(place, _)| *place).collect()
    }

    /// How many agents watch.
    pub fn watchers(&self) -> usize {
        self.counts.values().sum()
    }

    /// How many of them have `bundle` or a later one.
    pub fn reached(&self, bundle: u64) -> usize {
        self.counts.range(bundle..).map(|(_, count)| count).sum()
    }
}

impl Rotation {
    /// Credits time to the roots that are not known yet, and to the generations whose leaves live on. Told when it is
    /// worth writing down.
    pub(super) fn serve(&mut self, span: Duration, away: Duration) -> Option<Change> {
        let steps = |span: Duration| span.as_secs() / SERVED_UNSAVED_MAX.as_secs();
        let mut is_step = false;
        let unknown = self.roots.values_mut().filter(|root| !root.is_known);
        let is_waited_for = |found: &&mut Generation| found.phase.is_leaving() && found.may_have_leaves(away);
        let leaving = self.generations.iter_mut().filter(is_waited_for);
        let roots = unknown.map(|root| (&mut root.served, span.min(SERVED_PER_LOOK_MAX)));
        for (served, span) in roots.chain(leaving.map(|found| (&mut found.served, span))) {
            let before = steps(*served);
            *served = served.saturating_add(span);
            is_step |= steps(*served) > before;
        }
        is_step.then_some(Change::Served)
    }

    /// Notes that a root is known everywhere now.
    pub(super) fn notice_known(&mut self, policy: &Policy, watching: &Watching) -> Option<Change> {
        let opens = |root: &PublishedRoot| if root.is_known { None } else { policy.opening(root, watching) };
        let (id, why) = self.roots.iter().find_map(|(id, root)| Some((id.clone(), opens(root)?)))?;
        self.mark_known(&id);
        Some(Change::RootKnown { why })
    }

    pub(super) fn mark_known(&mut self, id: &str) {
        if let Some(root) = self.roots.get_mut(id) {
            root.is_known = true;
        }
    }

    /// Brings the published roots in line with the trusted generations, as bundle number `self.bundle`.
    pub(super) fn note_roots(&mut self) {
        let trusted: Vec<String> = self.trusted_roots().into_iter().map(str::to_owned).collect();
        self.roots.retain(|id, _| trusted.contains(id));
        let fresh = PublishedRoot { published_in: self.bundle, served: Duration::ZERO, is_known: false };
        for id in trusted {
            self.roots.entry(id).or_insert(fresh);
        }
    }

    /// Of the roots that make the leaves of `anchors` trusted, the one that is nearest to being known.
    pub(super) fn nearest<'a>(&self, anchors: impl IntoIterator<Item = &'a String>) -> Option<&PublishedRoot> {
        let published = anchors.into_iter().filter_map(|id| self.roots.get(id));
        published.max_by_key(|root| (root.is_known, root.served))
    }
}

impl Policy {
    /// Why `root` counts as known everywhere. With nobody watching only the longest wait does: silence is no consent.
    fn opening(&self, root: &PublishedRoot, watching: &Watching) -> Option<Why> {
        let progress = self.progress(root, watching);
        if progress.served >= self.deadline {
            return Some(Why::Deadline);
        }
        let is_known = progress.watchers > 0 && progress.reached >= progress.wanted && progress.missing_in.is_empty();
        (is_known && progress.served >= self.min_wait).then_some(Why::Acknowledged)
    }
}
