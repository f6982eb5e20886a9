//! Token keys as they stand in a file: JSON with a version, keys and schedule in one, checked as a whole when read.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize, Serializer};
use signet_identity::{KeyAlgorithm, KeyError, PrivateKey, Timestamp, TrustDomain};
use zeroize::Zeroizing;

use super::schedule::{Entry, Inconsistent, KEYS_MAX, Phase, Schedule};

/// Largest journal, in bytes. A key with what is known of it has some 400.
pub(crate) const JOURNAL_MAX_BYTES: usize = 64 * 1024;

const ENTRY_BYTES: usize = JOURNAL_MAX_BYTES / (KEYS_MAX + 1);

/// The one form that this version reads and writes.
const VERSION: u32 = 1;

/// Why a text is no journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// Not the JSON that it should be. The text is not repeated: it holds keys.
    #[error("it is not a journal of token keys: line {line}, column {column}")]
    Malformed {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// Written by another version.
    #[error("it has version {version}, this program knows {VERSION}")]
    Version {
        /// The version.
        version: u32,
    },
    /// Made for another trust domain.
    #[error("its keys were made for another trust domain than `{trust_domain}`")]
    TrustDomain {
        /// The one in force.
        trust_domain: TrustDomain,
    },
    /// A key in it cannot be used.
    #[error("key `{kid}` in it cannot be used: {source}")]
    Key {
        /// Which.
        kid: String,
        /// Why.
        source: KeyError,
    },
    /// What it says cannot be.
    #[error(transparent)]
    Inconsistent(#[from] Inconsistent),
}

/// Token keys by their names.
pub(crate) type Keys = BTreeMap<String, PrivateKey>;

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Journal {
    version: u32,
    trust_domain: String,
    published_version: u64,
    keys: Vec<Line>,
}

/// Times are seconds since the Unix epoch.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    kid: String,
    phase: Word,
    since: i64,
    served_secs: u64,
    horizon: i64,
    longest_secs: u64,
    pkcs8: Secret,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Next,
    Active,
    Old,
}

/// A key's document in base64, wiped when dropped.
struct Secret(Zeroizing<String>);

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Borrowed, since the library's own copy would not be wiped; base64 needs no escapes.
        <&str>::deserialize(deserializer).map(|text| Self(Zeroizing::new(text.to_owned())))
    }
}

/// Writes keys and schedule as text. Entries without a key are left out; there are none.
pub(crate) fn write(schedule: &Schedule, keys: &Keys, trust_domain: &TrustDomain) -> Zeroizing<Vec<u8>> {
    let lines = schedule.entries().iter().filter_map(|entry| Some(Line::of(entry, keys.get(&entry.kid)?)));
    let journal = Journal {
        version: VERSION,
        trust_domain: trust_domain.to_string(),
        published_version: schedule.version(),
        keys: lines.collect(),
    };
    // Large enough never to grow, since growing would leave copies behind that nobody wipes.
    let mut text = Zeroizing::new(Vec::with_capacity((journal.keys.len() + 1) * ENTRY_BYTES));
    // Writing plain values to memory cannot fail.
    let _ = serde_json::to_writer_pretty(&mut *text, &journal);
    text
}

/// Reads a text.
///
/// # Errors
/// Every variant of [`JournalError`].
pub(crate) fn read(text: &[u8], trust_domain: &TrustDomain) -> Result<(Schedule, Keys), JournalError> {
    let malformed = |error: serde_json::Error| JournalError::Malformed { line: error.line(), column: error.column() };
    let Versioned { version } = serde_json::from_slice(text).map_err(malformed)?;
    if version != VERSION {
        return Err(JournalError::Version { version });
    }
    let journal: Journal = serde_json::from_slice(text).map_err(malformed)?;
    if journal.trust_domain != trust_domain.as_str() {
        return Err(JournalError::TrustDomain { trust_domain: trust_domain.clone() });
    }
    let entries = journal.keys.iter().map(Line::entry).collect();
    let schedule = Schedule::restored(entries, journal.published_version)?;
    let keys: Result<Keys, JournalError> = journal.keys.into_iter().map(Line::key).collect();
    Ok((schedule, keys?))
}

impl Line {
    fn of(entry: &Entry, key: &PrivateKey) -> Self {
        Self {
            kid: entry.kid.clone(),
            phase: match entry.phase {
                Phase::Next => Word::Next,
                Phase::Active => Word::Active,
                Phase::Old => Word::Old,
            },
            since: entry.since.unix_secs(),
            served_secs: entry.served.as_secs(),
            horizon: entry.horizon.unix_secs(),
            longest_secs: entry.longest.as_secs(),
            pkcs8: Secret(Zeroizing::new(STANDARD.encode(&*key.to_pkcs8()))),
        }
    }

    fn entry(&self) -> Entry {
        Entry {
            kid: self.kid.clone(),
            phase: match self.phase {
                Word::Next => Phase::Next,
                Word::Active => Phase::Active,
                Word::Old => Phase::Old,
            },
            since: Timestamp::from_unix_secs(self.since),
            served: Duration::from_secs(self.served_secs),
            horizon: Timestamp::from_unix_secs(self.horizon),
            longest: Duration::from_secs(self.longest_secs),
        }
    }

    fn key(self) -> Result<(String, PrivateKey), JournalError> {
        let failed = |source| JournalError::Key { kid: self.kid.clone(), source };
        let pkcs8 = STANDARD.decode(&*self.pkcs8.0).map(Zeroizing::new).map_err(|_| failed(KeyError::Malformed))?;
        let key = PrivateKey::from_pkcs8(pkcs8).map_err(failed)?;
        if key.public().algorithm() == KeyAlgorithm::EcP256 {
            Ok((self.kid, key))
        } else {
            Err(failed(KeyError::Algorithm))
        }
    }
}

#[cfg(test)]
mod tests;
