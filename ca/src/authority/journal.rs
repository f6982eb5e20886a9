//! A rotation as it stands in a file: JSON with a version, checked as a whole when it is read.
//!
//! Replicas of two releases read it during an update, and one that meets a word it does not know refuses the whole rather
//! than lose it with its next write. So a new word is read by one release, and written by the next at the earliest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use signet_identity::{BundleError, Lifetime, Timestamp, TrustBundle, TrustDomain};

use super::rotation::{Generation, Inconsistent, Phase, PublishedRoot, Roots, Rotation};

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

/// Texts of roots by the generations that they stand in.
type Texts = BTreeMap<u64, String>;

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
    #[serde(default)]
    revision: u64,
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
    /// The text of its roots, unless it is the same as that of generation `roots_of`, or nobody needs it any more.
    #[serde(default)]
    roots_pem: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    roots_of: Option<u64>,
    /// Which roots these were, once it is over.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    root_ids: BTreeSet<String>,
}

/// Writes `rotation` as text.
pub(super) fn write(rotation: &Rotation, trust_domain: &TrustDomain) -> Result<String, JournalError> {
    let mut texts = BTreeMap::new();
    let journal = Journal {
        version: VERSION,
        trust_domain: trust_domain.to_string(),
        bundle: rotation.bundle(),
        next_id: rotation.next_id(),
        revision: rotation.revision(),
        roots: rotation.roots().iter().map(|(id, root)| (id.clone(), RootEntry::of(root))).collect(),
        distrusted: rotation.distrusted().iter().map(|(id, end)| (id.clone(), end.unix_secs())).collect(),
        generations: rotation.generations().iter().map(|found| Entry::of(found, &mut texts)).collect(),
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
    let mut texts = BTreeMap::new();
    let generations = journal.generations.into_iter().map(|entry| entry.generation(trust_domain, &mut texts));
    let generations: Vec<Generation> = generations.collect::<Result<_, _>>()?;
    let roots = journal.roots.into_iter().map(|(id, entry)| (id, entry.root())).collect();
    let distrusted = journal.distrusted.into_iter().map(|(id, end)| (id, Timestamp::from_unix_secs(end))).collect();
    let rotation = Rotation::restored(generations, roots, journal.bundle, journal.next_id, distrusted)?;
    Ok((journal.trust_domain, rotation.at(journal.revision)))
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
    /// `texts` says in which generations texts of roots stand already: each stands once, for all that stands in a Secret
    /// has little room.
    fn of<'a>(generation: &'a Generation, texts: &mut BTreeMap<&'a str, u64>) -> Self {
        let (is_over, text) = (generation.phase.is_over(), generation.roots.pem());
        let first = *texts.entry(text).or_insert(generation.id);
        let roots_of = (!is_over && first != generation.id).then_some(first);
        let roots_pem = if is_over || roots_of.is_some() { String::new() } else { text.to_owned() };
        let root_ids = generation.roots.ids().filter(|_| is_over).map(str::to_owned).collect();
        Self {
            roots_pem,
            roots_of,
            root_ids,
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
        }
    }

    fn roots(&self, phase: Phase, trust_domain: &TrustDomain, texts: &mut Texts) -> Result<Roots, JournalError> {
        if phase.is_over() && self.roots_pem.is_empty() {
            return Ok(Roots::over(self.root_ids.clone()));
        }
        let text = match self.roots_of {
            Some(of) => texts.get(&of).cloned().unwrap_or_default(),
            None => self.roots_pem.clone(),
        };
        let bundle = TrustBundle::from_pem(trust_domain.clone(), text.as_bytes())
            .map_err(|source| JournalError::Roots { id: self.id, source })?;
        let roots = Roots::new(&text, &bundle);
        texts.insert(self.id, text);
        Ok(if phase.is_over() { roots.without_text() } else { roots })
    }

    fn generation(self, trust_domain: &TrustDomain, texts: &mut Texts) -> Result<Generation, JournalError> {
        let at = Timestamp::from_unix_secs;
        let phase = self.phase.parse().map_err(JournalError::Malformed)?;
        let roots = self.roots(phase, trust_domain, texts)?;
        Ok(Generation {
            id: self.id,
            phase,
            since: at(self.since),
            origin: self.origin.parse().map_err(JournalError::Malformed)?,
            key_id: self.key_id,
            content: self.content,
            roots,
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
