//! Where token keys are kept: the seam between their schedule and what holds it. A store keeps one text and decides
//! nothing.

use std::fs;
use std::path::{Path, PathBuf};

use signet_runtime::files::{self, DirLock, FileError, SECRET_MODE};
use zeroize::Zeroizing;

use super::journal::JOURNAL_MAX_BYTES;

/// The file that holds keys and schedule.
const JOURNAL_FILE: &str = "jwt-keys.json";

/// Keeps one text. Each write is whole or not there at all, also after a crash.
pub(crate) trait Store: Send {
    /// Whether this process may write. Asked before each look, since that may change.
    fn leads(&mut self) -> Result<bool, FileError>;

    /// What was kept last; `None` before the first time.
    fn load(&self) -> Result<Option<Zeroizing<Vec<u8>>>, FileError>;

    /// Keeps `text` in place of what was there.
    fn save(&mut self, text: &[u8]) -> Result<(), FileError>;

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
    fn leads(&mut self) -> Result<bool, FileError> {
        if self.lock.is_none() {
            files::create_secret_dir(&self.dir)?;
            self.lock = files::try_lock_dir(&self.dir)?;
            if self.lock.is_some() {
                self.sweep();
            }
        }
        Ok(self.lock.is_some())
    }

    fn load(&self) -> Result<Option<Zeroizing<Vec<u8>>>, FileError> {
        match files::read(&self.place(), JOURNAL_MAX_BYTES) {
            Ok(text) => Ok(Some(Zeroizing::new(text))),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn save(&mut self, text: &[u8]) -> Result<(), FileError> {
        files::replace(&self.place(), text, SECRET_MODE)
    }

    fn place(&self) -> PathBuf {
        self.dir.join(JOURNAL_FILE)
    }
}
