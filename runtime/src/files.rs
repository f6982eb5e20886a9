//! Files: bounded reads, and writes that are whole or not there at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Mode of files that hold keys.
pub const SECRET_MODE: u32 = 0o600;

/// Mode of directories that hold keys.
pub const SECRET_DIR_MODE: u32 = 0o700;

/// Opening must not wait for whoever holds the other end of a pipe.
const OPEN_FLAGS: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();

/// A file operation that failed: which, where, why.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system refused.
    #[error("cannot {verb} `{path}`: {source}")]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A pipe, a device or a directory, on which reading could wait for ever.
    #[error("`{path}` is not a regular file")]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// More bytes than the reader wants.
    #[error("`{path}` has more than {max} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Bytes accepted.
        max: usize,
    },
}

impl FileError {
    /// Names what was tried and on which file.
    pub fn io(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { verb, path, source }
    }

    /// Whether the file was simply not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Reads a whole regular file of at most `max` bytes. Never waits for another process, as opening a pipe would.
///
/// # Errors
/// [`FileError::Io`], [`FileError::NotAFile`], [`FileError::TooLarge`].
pub fn read(path: &Path, max: usize) -> Result<Vec<u8>, FileError> {
    let file =
        OpenOptions::new().read(true).custom_flags(OPEN_FLAGS).open(path).map_err(FileError::io("open", path))?;
    if !file.metadata().map_err(FileError::io("look at", path))?.is_file() {
        return Err(FileError::NotAFile { path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    file.take(max as u64 + 1).read_to_end(&mut bytes).map_err(FileError::io("read", path))?;
    if bytes.len() > max { Err(FileError::TooLarge { path: path.to_owned(), max }) } else { Ok(bytes) }
}

/// Whether nothing at all stands at `path`. A name that leads nowhere, or that may not be looked at, is not nothing.
pub fn is_absent(path: &Path) -> bool {
    matches!(fs::symlink_metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound)
}

/// Replaces a file in one step: a reader sees the old content or the new, also after a crash.
///
/// # Errors
/// [`FileError::Io`]; the old content is then still there.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), FileError> {
    let temporary = write_beside(path, content, mode)?;
    fs::rename(&temporary, path).map_err(FileError::io("rename onto", path))?;
    sync_parent(path)
}

/// Creates a file in one step, or says that it exists: of several processes that try, one wins.
///
/// # Errors
/// [`FileError::Io`], with [`io::ErrorKind::AlreadyExists`] for the losers.
pub fn create(path: &Path, content: &[u8], mode: u32) -> Result<(), FileError> {
    let temporary = write_beside(path, content, mode)?;
    let linked = fs::hard_link(&temporary, path).map_err(FileError::io("create", path));
    fs::remove_file(&temporary).map_err(FileError::io("remove", &temporary))?;
    linked?;
    sync_parent(path)
}

/// Makes a directory for keys (0700) with its parents; an existing one is left as it is.
///
/// # Errors
/// [`FileError::Io`].
pub fn create_secret_dir(path: &Path) -> Result<(), FileError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(SECRET_DIR_MODE)
        .create(path)
        .map_err(FileError::io("create directory", path))
}

/// A directory that this process alone writes to, for as long as this value lives; the end of the process ends it too.
#[derive(Debug)]
pub struct DirLock {
    _dir: File,
}

/// Locks a directory against other processes that lock it; `None` when one of them has it. Does not wait.
///
/// # Errors
/// [`FileError::Io`].
pub fn try_lock_dir(path: &Path) -> Result<Option<DirLock>, FileError> {
    let dir = File::open(path).map_err(FileError::io("open", path))?;
    match flock(&dir, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(DirLock { _dir: dir })),
        Err(error) if error == Errno::WOULDBLOCK => Ok(None),
        Err(error) => Err(FileError::io("lock", path)(error.into())),
    }
}

/// Makes the directory entry of `path` durable.
///
/// # Errors
/// [`FileError::Io`].
pub fn sync_parent(path: &Path) -> Result<(), FileError> {
    let parent = parent_of(path);
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(FileError::io("sync", parent))
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn write_beside(path: &Path, content: &[u8], mode: u32) -> Result<PathBuf, FileError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unique = fastrand::u64(..);
    let temporary = parent_of(path).join(format!(".{name}.{unique:016x}.tmp"));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()));
    match written {
        Ok(()) => Ok(temporary),
        Err(source) => {
            // The half-written file is useless; if it cannot even be removed, the first error still tells why.
            let _ = fs::remove_file(&temporary);
            Err(FileError::io("write", path)(source))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_replaced_file_has_the_new_content_the_mode_and_no_leftovers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        replace(&path, b"old", SECRET_MODE).unwrap();
        replace(&path, b"new", SECRET_MODE).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, SECRET_MODE);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn of_two_creators_one_wins_and_the_other_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root.pem");
        create(&path, b"first", SECRET_MODE).unwrap();
        let error = create(&path, b"second", SECRET_MODE).unwrap_err();
        assert!(matches!(error, FileError::Io { ref source, .. } if source.kind() == io::ErrorKind::AlreadyExists));
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_locked_directory_is_given_to_nobody_else_until_it_is_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let lock = try_lock_dir(dir.path()).unwrap();
        assert!(lock.is_some() && try_lock_dir(dir.path()).unwrap().is_none());
        drop(lock);
        assert!(try_lock_dir(dir.path()).unwrap().is_some());
        assert!(try_lock_dir(&dir.path().join("missing")).unwrap_err().is_missing());
    }

    #[test]
    fn what_is_no_regular_file_is_refused_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        for path in [pipe.as_path(), dir.path(), Path::new("/dev/zero")] {
            assert!(matches!(read(path, 10), Err(FileError::NotAFile { .. })), "{}", path.display());
        }
    }

    #[test]
    fn a_link_that_leads_nowhere_is_not_absent() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        assert!(is_absent(&link));
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        assert!(!is_absent(&link) && !link.exists());
    }

    #[test]
    fn a_file_over_the_bound_is_refused_without_reading_it_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("big");
        fs::write(&path, [0; 11]).unwrap();
        assert!(matches!(read(&path, 10), Err(FileError::TooLarge { max: 10, .. })));
        assert_eq!(read(&path, 11).unwrap().len(), 11);
    }
}
