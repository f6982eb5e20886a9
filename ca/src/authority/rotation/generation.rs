//! One generation: what is known about it without its key.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use ring::digest;
use signet_identity::{Certificate, Lifetime, Timestamp, TrustBundle, hex};

/// Where a generation stands on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Its key exists; nobody has been told.
    Prepared,
    /// Its roots are published; it waits until they are known everywhere.
    Published,
    /// It signs.
    Active,
    /// It signed, and its leaves live on.
    Old,
    /// As old, and its leaves must be replaced now.
    Tainted,
    /// Its last leaf has ended.
    Retired,
    /// It was taken out of the bundle by an operator.
    Revoked,
}

impl Phase {
    const ALL: [Self; 7] =
        [Self::Prepared, Self::Published, Self::Active, Self::Old, Self::Tainted, Self::Retired, Self::Revoked];

    /// Whether its roots are in the bundle.
    pub fn is_trusted(self) -> bool {
        matches!(self, Self::Published | Self::Active | Self::Old | Self::Tainted)
    }

    /// Whether it is to sign next.
    pub fn is_waiting(self) -> bool {
        matches!(self, Self::Prepared | Self::Published)
    }

    /// Whether it signed, and signs no more.
    pub(super) fn is_leaving(self) -> bool {
        matches!(self, Self::Old | Self::Tainted)
    }

    /// Whether nothing more comes.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Retired | Self::Revoked)
    }

    /// The word for it in state, logs, metrics and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::Published => "published",
            Self::Active => "active",
            Self::Old => "old",
            Self::Tainted => "tainted",
            Self::Retired => "retired",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Phase {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == word).ok_or_else(|| format!("`{word}` is no phase"))
    }
}

/// Who made a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Signet: a root of its own.
    SelfSigned,
    /// An operator, by a directory.
    PluggedIn,
}

impl Origin {
    /// The word for it in state, logs and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SelfSigned => "self-signed",
            Self::PluggedIn => "plugged-in",
        }
    }
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let found = [Self::SelfSigned, Self::PluggedIn].into_iter().find(|origin| origin.as_str() == word);
        found.ok_or_else(|| format!("`{word}` is no origin"))
    }
}

/// The roots of one generation: their text as the source gave it, and which certificates these are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    pem: Arc<str>,
    ids: BTreeSet<String>,
}

impl Roots {
    /// The roots of `bundle`, which was read from `pem`.
    pub(crate) fn new(pem: &str, bundle: &TrustBundle) -> Self {
        Self { pem: pem.into(), ids: bundle.roots().iter().map(root_id).collect() }
    }

    /// Which roots these were, of a generation that is over.
    pub(crate) fn over(ids: BTreeSet<String>) -> Self {
        Self { pem: Arc::from(""), ids }
    }

    /// The same, once nobody needs their text any more.
    pub(crate) fn without_text(&self) -> Self {
        Self::over(self.ids.clone())
    }

    /// The text; empty once the generation is over.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// SHA-256 of each certificate, lower-case hexadecimal.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.ids.iter().map(String::as_str)
    }
}

/// The name of a root: SHA-256 over the certificate, lower-case hexadecimal.
pub(crate) fn root_id(root: &Certificate) -> String {
    hex(digest::digest(&digest::SHA256, root.der()).as_ref())
}

/// SHA-256 over `parts`, each with its length, lower-case hexadecimal.
pub(crate) fn fingerprint(parts: &[&[u8]]) -> String {
    let mut digest = digest::Context::new(&digest::SHA256);
    for part in parts {
        digest.update(&part.len().to_be_bytes());
        digest.update(part);
    }
    hex(digest.finish().as_ref())
}

/// A generation as its source offers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) origin: Origin,
    pub(crate) key_id: String,
    pub(crate) content: String,
    pub(crate) roots: Roots,
    pub(crate) usable: Lifetime,
    /// Those of its roots that alone make its leaves trusted.
    pub(crate) anchors: BTreeSet<String>,
    /// Whether it is to sign as soon as its roots are known everywhere.
    pub(crate) is_armed: bool,
    /// The last instant at which a leaf signed with it before may end.
    pub(crate) horizon: Option<Timestamp>,
}

/// One generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Its number; each is given once.
    pub id: u64,
    /// Where it stands.
    pub phase: Phase,
    /// Since when.
    pub since: Timestamp,
    /// Who made it.
    pub origin: Origin,
    /// The subject key identifier of its signing certificate, which leaves repeat as their authority key identifier, in
    /// lower-case hexadecimal; of a certificate without one, SHA-256 over its SubjectPublicKeyInfo.
    pub key_id: String,
    /// SHA-256 over everything that it is made of except the key.
    pub content: String,
    /// Its roots.
    pub roots: Roots,
    /// When its leaves are trusted: the validity of its path.
    pub usable: Lifetime,
    /// No leaf signed by it lives longer than this; `None` while it has never signed.
    pub horizon: Option<Timestamp>,
    /// Those of its roots, by their ids, that alone make its leaves trusted. One that is known everywhere is enough.
    pub anchors: BTreeSet<String>,
    /// Whether it signs as soon as its roots are known everywhere, without waiting for the old one's end.
    pub is_armed: bool,
    /// The longest life that a leaf signed by it may have.
    pub longest: Duration,
    /// How much time has passed since it signed last, while an authority ran; not counted for longer than it matters.
    pub served: Duration,
}

impl Generation {
    pub(super) fn offered(id: u64, offer: Offer, now: Timestamp) -> Self {
        let Offer { origin, key_id, content, roots, anchors, usable, is_armed, horizon } = offer;
        let (phase, since) = (Phase::Prepared, now.whole_secs());
        let (longest, served) = (Duration::ZERO, Duration::ZERO);
        Self { id, phase, since, origin, key_id, content, roots, anchors, usable, horizon, is_armed, longest, served }
    }

    /// Whether its own life is over.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        now > self.usable.not_after()
    }

    pub(super) fn enter(&mut self, phase: Phase, now: Timestamp) {
        self.phase = phase;
        self.since = now.whole_secs();
        if phase.is_over() {
            self.roots = self.roots.without_text();
        }
        if phase == Phase::Active {
            self.served = Duration::ZERO;
        }
    }

    /// Whether the last leaf under it has ended: by the wall clock, which says when leaves end, and by the time that
    /// has passed, for the wall clock may have been ahead. A replica may have signed with it for as long as `away` after it
    /// was replaced.
    pub(super) fn has_no_leaves(&self, now: Timestamp, keep: Duration, away: Duration) -> bool {
        let last = self.horizon.unwrap_or(self.since).max(self.since);
        now > last.plus(keep) && !self.may_have_leaves(away)
    }

    pub(super) fn may_have_leaves(&self, away: Duration) -> bool {
        self.served < self.longest.saturating_add(away)
    }
}

#[cfg(test)]
impl Roots {
    /// Roots that are called so.
    pub(super) fn named(names: &[&str]) -> Self {
        Self { pem: names.concat().into(), ids: names.iter().map(|name| (*name).to_owned()).collect() }
    }
}
