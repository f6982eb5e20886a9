//! A rotation as it stands in a file: JSON with a version, checked as a whole when it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use signet_identity::{BundleError, Lifetime, Timestamp, TrustBundle, TrustDomain};

use super::rotation::{Generation, Inconsistent, PublishedRoot, Roots, Rotation};

/// Largest journal, in bytes: every generation with the roots of a large operator.
pub(super) const JOURNAL_MAX_BYTES: usize = 8 * 1024 * 1024;

/// The one form that this version reads and writes.
const VERSION: u32 = 1;

/// Why a text is no journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// Not the JSON that it should be.
    #[error("it is not a journal: {0}")]
    Malformed(String),
    /// Written by another version.
    #[error("it has version {version}, this program knows {VERSION}")]
    Version {
        /// The version.
        version: u32,
    },
    /// Roots in it cannot be used.
    #[error("roots of generation {id}: {source}")]
    Roots {
        /// Whose.
        id: u64,
        /// Why.
        source: BundleError,
    },
    /// What it says cannot be.
    #[error(transparent)]
    Inconsistent(#[from] Inconsistent),
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Journal {
    version: u32,
    trust_domain: String,
    bundle: u64,
    next_id: u64,
    roots: BTreeMap<String, RootEntry>,
    /// Key ids with the end of their certificates, in seconds since the Unix epoch.
    #[serde(default)]
    distrusted: BTreeMap<String, i64>,
    generations: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RootEntry {
    published_in: u64,
    served_secs: u64,
    is_known: bool,
}

/// Times are seconds since the Unix epoch.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: u64,
    phase: String,
    since: i64,
    origin: String,
    key_id: String,
    content: String,
    not_before: i64,
    not_after: i64,
    horizon: Option<i64>,
    anchors: BTreeSet<String>,
    is_armed: bool,
    #[serde(default)]
    longest_secs: u64,
    #[serde(default)]
    served_secs: u64,
    roots_pem: String,
}

/// Writes `rotation` as text.
pub(super) fn write(rotation: &Rotation, trust_domain: &TrustDomain) -> Result<String, JournalError> {
    let journal = Journal {
        version: VERSION,
        trust_domain: trust_domain.to_string(),
        bundle: rotation.bundle(),
        next_id: rotation.next_id(),
        roots: rotation.roots().iter().map(|(id, root)| (id.clone(), RootEntry::of(root))).collect(),
        distrusted: rotation.distrusted().iter().map(|(id, end)| (id.clone(), end.unix_secs())).collect(),
        generations: rotation.generations().iter().map(Entry::of).collect(),
    };
    serde_json::to_string_pretty(&journal).map_err(|error| JournalError::Malformed(error.to_string()))
}

/// Reads a text; the answer is whose it is, and the rotation.
pub(super) fn read(text: &[u8], trust_domain: &TrustDomain) -> Result<(String, Rotation), JournalError> {
    let malformed = |error: serde_json::Error| JournalError::Malformed(error.to_string());
    let Versioned { version } = serde_json::from_slice(text).map_err(malformed)?;
    if version != VERSION {
        return Err(JournalError::Version { version });
    }
    let journal: Journal = serde_json::from_slice(text).map_err(malformed)?;
    let generations = journal.generations.into_iter().map(|entry| entry.generation(trust_domain));
    let generations: Vec<Generation> = generations.collect::<Result<_, _>>()?;
    let roots = journal.roots.into_iter().map(|(id, entry)| (id, entry.root())).collect();
    let distrusted = journal.distrusted.into_iter().map(|(id, end)| (id, Timestamp::from_unix_secs(end))).collect();
    let rotation = Rotation::restored(generations, roots, journal.bundle, journal.next_id, distrusted)?;
    Ok((journal.trust_domain, rotation))
}

impl RootEntry {
    fn of(root: &PublishedRoot) -> Self {
        Self { published_in: root.published_in, served_secs: root.served.as_secs(), is_known: root.is_known }
    }

    fn root(self) -> PublishedRoot {
        let served = Duration::from_secs(self.served_secs);
        PublishedRoot { published_in: self.published_in, served, is_known: self.is_known }
    }
}

impl Entry {
    fn of(generation: &Generation) -> Self {
        Self {
            id: generation.id,
            phase: generation.phase.to_string(),
            since: generation.since.unix_secs(),
            origin: generation.origin.as_str().to_owned(),
            key_id: generation.key_id.clone(),
            content: generation.content.clone(),
            not_before: generation.usable.not_before().unix_secs(),
            not_after: generation.usable.not_after().unix_secs(),
            horizon: generation.horizon.map(Timestamp::unix_secs),
            anchors: generation.anchors.clone(),
            is_armed: generation.is_armed,
            // What is written down is not less than what is so.
            longest_secs: generation.longest.as_secs().saturating_add(u64::from(generation.longest.subsec_nanos() > 0)),
            served_secs: generation.served.as_secs(),
            roots_pem: generation.roots.pem().to_owned(),
        }
    }

    fn generation(self, trust_domain: &TrustDomain) -> Result<Generation, JournalError> {
        let at = Timestamp::from_unix_secs;
        let bundle = TrustBundle::from_pem(trust_domain.clone(), self.roots_pem.as_bytes())
            .map_err(|source| JournalError::Roots { id: self.id, source })?;
        Ok(Generation {
            id: self.id,
            phase: self.phase.parse().map_err(JournalError::Malformed)?,
            since: at(self.since),
            origin: self.origin.parse().map_err(JournalError::Malformed)?,
            key_id: self.key_id,
            content: self.content,
            roots: Roots::new(&self.roots_pem, &bundle),
            usable: Lifetime::new(at(self.not_before), at(self.not_after))
                .ok_or_else(|| JournalError::Malformed("a life ends before it begins".to_owned()))?,
            horizon: self.horizon.map(at),
            anchors: self.anchors,
            is_armed: self.is_armed,
            longest: Duration::from_secs(self.longest_secs),
            served: Duration::from_secs(self.served_secs),
        })
    }
}
