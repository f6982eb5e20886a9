//! Where token keys are kept: the seam between their schedule and what holds it. A store keeps one text and decides
//! nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use signet_runtime::files::{self, DirLock, FileError, SECRET_MODE};
use zeroize::Zeroizing;

use super::journal::JOURNAL_MAX_BYTES;
use crate::shared::{Changes, Share, SharedError, SharedObject};

/// The file that holds keys and schedule.
const JOURNAL_FILE: &str = "jwt-keys.json";

/// Why what is kept is out of reach.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// What all replicas share.
    #[error(transparent)]
    Shared(#[from] SharedError),
}

/// Keeps one text. Each write is whole or not there at all, also after a crash.
pub(crate) trait Store: Send {
    /// Whether this process may write. Asked before each look, since that may change.
    fn leads(&mut self) -> Result<bool, StoreError>;

    /// Whether another process wrote since this was last asked, or may have.
    fn has_changed(&mut self) -> bool {
        false
    }

    /// What was kept last; `None` before the first time.
    fn load(&self) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError>;

    /// Keeps `text` in place of what was there.
    fn save(&mut self, text: &[u8]) -> Result<(), StoreError>;

    /// Names the place in messages.
    fn place(&self) -> PathBuf;
}

/// A file in a directory. Of several processes with one directory, the one that holds its lock writes.
#[derive(Debug)]
pub(crate) struct StateDir {
    dir: PathBuf,
    lock: Option<DirLock>,
}

impl StateDir {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), lock: None }
    }

    /// Removes what a process that was killed while writing left behind: copies of keys that nobody needs.
    fn sweep(&self) {
        let leftover = |name: &str| name.starts_with(&format!(".{JOURNAL_FILE}.")) && name.ends_with(".tmp");
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            if leftover(&entry.file_name().to_string_lossy())
                && let Err(error) = fs::remove_file(entry.path())
            {
                tracing::warn!(path = %entry.path().display(), %error, "leftover of a killed process stays");
            }
        }
    }
}

impl Store for StateDir {
    fn leads(&mut self) -> Result<bool, StoreError> {
        if self.lock.is_none() {
            files::create_secret_dir(&self.dir)?;
            self.lock = files::try_lock_dir(&self.dir)?;
            if self.lock.is_some() {
                self.sweep();
            }
        }
        Ok(self.lock.is_some())
    }

    fn load(&self) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        match files::read(&self.place(), JOURNAL_MAX_BYTES) {
            Ok(text) => Ok(Some(Zeroizing::new(text))),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn save(&mut self, text: &[u8]) -> Result<(), StoreError> {
        Ok(files::replace(&self.place(), text, SECRET_MODE)?)
    }

    fn place(&self) -> PathBuf {
        self.dir.join(JOURNAL_FILE)
    }
}

/// An entry of what all replicas share; the one that leads writes.
pub(crate) struct SharedStore(Share);

impl SharedStore {
    pub(crate) fn new(object: Arc<dyn SharedObject>) -> Self {
        Self(Share::new(object))
    }
}

impl Store for SharedStore {
    fn leads(&mut self) -> Result<bool, StoreError> {
        Ok(self.0.refresh()?)
    }

    fn has_changed(&mut self) -> bool {
        self.0.take_notice()
    }

    fn load(&self) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        Ok(self.0.entry(JOURNAL_FILE).map(|text| Zeroizing::new(text.to_vec())))
    }

    fn save(&mut self, text: &[u8]) -> Result<(), StoreError> {
        Ok(self.0.change(Changes::from([(JOURNAL_FILE.to_owned(), Some(Zeroizing::new(text.to_vec())))]))?)
    }

    fn place(&self) -> PathBuf {
        self.0.place_of(JOURNAL_FILE)
    }
}
