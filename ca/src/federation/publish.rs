//! The own bundle as others read it: roots and token keys, with a number that grows with each change.
//!
//! The number is kept in a file, so that it goes on growing over restarts. It is never below the time in seconds, so
//! that it grows even when the file was lost. Replicas that share an authority all have to give the same content the
//! same number: theirs follows from the numbers of what they share, the trust bundle and the set of token keys.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ring::digest;
use serde::{Deserialize, Serialize};
use signet_identity::{SpiffeBundle, SpiffeBundleError, Timestamp, TrustDomain, hex};
use signet_runtime::tasks::chain;
use signet_runtime::{Clock, files};
use tokio::sync::watch;

use crate::authority::Authority;
use crate::jwt::KeyRing;
use crate::web::{Document, Site};

/// The file that holds the number.
const SEQUENCE_FILE: &str = "bundle-sequence.json";

const SEQUENCE_FILE_MODE: u32 = 0o644;
const SEQUENCE_FILE_MAX_BYTES: usize = 4096;

/// The number of a published content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Numbered {
    sequence: u64,
    /// What it is the number of.
    digest: String,
}

impl Numbered {
    /// The number of the content with `digest` after `last`.
    fn after(last: Option<&Self>, digest: String, now: Timestamp) -> Self {
        let least = u64::try_from(now.unix_secs()).unwrap_or(0);
        match last {
            Some(last) if last.digest == digest => last.clone(),
            Some(last) => Self { sequence: last.sequence.saturating_add(1).max(least), digest },
            None => Self { sequence: least, digest },
        }
    }
}

/// Makes the document when it is asked for.
pub(super) struct Publisher {
    trust_domain: TrustDomain,
    authority: watch::Receiver<Arc<Authority>>,
    token_keys: Option<watch::Receiver<Arc<KeyRing>>>,
    refresh_hint: Duration,
    numbering: Numbering,
    clock: Clock,
}

/// Where numbers come from.
enum Numbering {
    /// A file of this process.
    Own { path: PathBuf, last: Mutex<Option<Numbered>> },
    /// What all replicas share.
    Shared,
}

impl Publisher {
    /// `state_dir` is where the number is kept; without one it follows from what replicas share.
    pub(super) fn new(
        trust_domain: TrustDomain,
        authority: watch::Receiver<Arc<Authority>>,
        token_keys: Option<watch::Receiver<Arc<KeyRing>>>,
        refresh_hint: Duration,
        state_dir: Option<&Path>,
        clock: Clock,
    ) -> Self {
        let numbering = match state_dir.map(|dir| dir.join(SEQUENCE_FILE)) {
            Some(path) => Numbering::Own { last: Mutex::new(read(&path)), path },
            None => Numbering::Shared,
        };
        Self { trust_domain, authority, token_keys, refresh_hint, numbering, clock }
    }

    /// The document at the endpoint's root.
    pub(super) fn site(self) -> Site {
        let max_age = self.refresh_hint;
        let page = move || Some(Document { json: self.document()?, max_age });
        Site::new(vec![("/".to_owned(), Box::new(page))])
    }

    fn document(&self) -> Option<serde_json::Value> {
        match self.bundle() {
            Ok(bundle) => Some(bundle.to_json()),
            Err(error) => {
                tracing::error!(error = chain(&error), "own bundle cannot be published");
                None
            }
        }
    }

    fn bundle(&self) -> Result<SpiffeBundle, SpiffeBundleError> {
        let published = self.authority.borrow().published().clone();
        let ring = self.token_keys.as_ref().map(|keys| keys.borrow().clone()).unwrap_or_default();
        let roots = published.roots.roots().to_vec();
        let bundle = SpiffeBundle::new(self.trust_domain.clone(), roots, ring.published.clone())?;
        let number = match &self.numbering {
            Numbering::Shared => published.generation.saturating_add(ring.version),
            Numbering::Own { path, last } => {
                let content = bundle.to_json().to_string();
                let digest = hex(digest::digest(&digest::SHA256, content.as_bytes()).as_ref());
                self.number(digest, path, last)
            }
        };
        Ok(bundle.numbered(number, self.refresh_hint))
    }

    /// A new number is kept before it is told. When it cannot be, it is told all the same: a root that others do not
    /// hear of is worse than a number that is skipped, and the time keeps it growing.
    fn number(&self, digest: String, path: &Path, last: &Mutex<Option<Numbered>>) -> u64 {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        let next = Numbered::after(last.as_ref(), digest, Timestamp::from(self.clock.now()));
        if last.as_ref() != Some(&next) {
            keep(path, &next);
            tracing::info!(sequence = next.sequence, "own bundle has changed");
        }
        let sequence = next.sequence;
        *last = Some(next);
        sequence
    }
}

fn read(path: &Path) -> Option<Numbered> {
    match files::read(path, SEQUENCE_FILE_MAX_BYTES) {
        Ok(text) => {
            let read = serde_json::from_slice(&text);
            if read.is_err() {
                tracing::warn!(path = %path.display(), "number of the own bundle cannot be read, it goes on from the time");
            }
            read.ok()
        }
        Err(error) if error.is_missing() => None,
        Err(error) => {
            tracing::warn!(error = chain(&error), "number of the own bundle cannot be read, it goes on from the time");
            None
        }
    }
}

fn keep(path: &Path, numbered: &Numbered) {
    let parent = path.parent().unwrap_or(Path::new("."));
    let text = serde_json::json!(numbered).to_string();
    let kept =
        files::create_secret_dir(parent).and_then(|()| files::replace(path, text.as_bytes(), SEQUENCE_FILE_MODE));
    if let Err(error) = kept {
        tracing::error!(error = chain(&error), "number of the own bundle cannot be kept");
    }
}

#[cfg(test)]
mod tests;
