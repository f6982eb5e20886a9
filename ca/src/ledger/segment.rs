//! Where a ledger's lines are: a directory of chains, each a directory of segments, each a file that begins with a
//! header. Finds and makes them; what stands after a header is not known here.
//!
//! Each process that writes has a chain of its own, so that several replicas may share a directory, and a new process
//! can begin while the one that it replaces still goes on. A chain belongs to who holds the lock on its `lock` file.

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::Deserialize;
use signet_identity::Timestamp;
use signet_runtime::files::{self, FileError, SECRET_MODE};

use super::chain::{Link, seal};
use super::instant;

/// Most chains of one ledger, so most processes that write one directory at the same time.
pub const CHAINS_MAX: u32 = 16;

/// Most segments of one chain.
pub const SEGMENTS_MAX: usize = 65_536;

/// The form of segments that this program writes and reads.
const FORMAT: u32 = 1;

const SEGMENT_EXTENSION: &str = "jsonl";

/// Digits in the name of a segment, as many as the largest number has.
const NAME_DIGITS: usize = 20;

/// Longest header, in bytes: shorter than any header with a record.
const HEADER_MAX_BYTES: u64 = 256;

const LOCK_FILE: &str = "lock";

/// What a segment begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// The number of its first record.
    pub(super) first: u64,
    /// Where the chain stood before it.
    pub(super) previous: Link,
    /// When it was begun, so after every record of the segment before it.
    pub(super) opened: Timestamp,
}

impl Header {
    /// The line, and its link.
    pub(super) fn to_line(self) -> (Vec<u8>, Link) {
        let (first, previous, opened) = (self.first, self.previous, instant::print(self.opened));
        let mut line =
            format!(r#"{{"format":{FORMAT},"first":{first},"previous":"{previous}","opened":"{opened}""#).into_bytes();
        let link = seal(&mut line, 0, previous);
        (line, link)
    }

    /// `None` when `line` is no header of this form.
    pub(super) fn from_line(line: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Raw<'a> {
            format: u32,
            first: u64,
            #[serde(borrow)]
            previous: Cow<'a, str>,
            #[serde(with = "instant")]
            opened: Timestamp,
        }
        let raw: Raw<'_> = serde_json::from_slice(line).ok()?;
        let previous = raw.previous.parse().ok()?;
        (raw.format == FORMAT).then_some(Self { first: raw.first, previous, opened: raw.opened })
    }
}

/// A segment that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The number of its first record, as its name says.
    pub first: u64,
    /// The file.
    pub path: PathBuf,
}

/// Says that a chain is ours, until it is dropped or the process ends.
#[derive(Debug)]
pub(super) struct Lock {
    pub(super) file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough where a child process has a copy. What cannot be unlocked ends with the process.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// One chain of a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// From 1 to [`CHAINS_MAX`].
    pub number: u32,
    /// Its directory.
    pub path: PathBuf,
}

impl Chain {
    fn new(ledger: &Path, number: u32) -> Self {
        Self { number, path: ledger.join(number.to_string()) }
    }

    /// The chains of the ledger in `dir`, by number.
    ///
    /// # Errors
    /// When `dir` cannot be read.
    pub fn all(dir: &Path) -> Result<Vec<Self>, FileError> {
        fs::read_dir(dir).map_err(FileError::io("read directory", dir))?;
        let chains = (1..=CHAINS_MAX).map(|number| Self::new(dir, number));
        Ok(chains.filter(|chain| !files::is_absent(&chain.path)).collect())
    }

    /// Its segments, oldest first.
    ///
    /// # Errors
    /// When its directory cannot be read, or holds more than [`SEGMENTS_MAX`].
    pub fn segments(&self) -> Result<Vec<Segment>, FileError> {
        let failed = |source| FileError::io("read directory", &self.path)(source);
        let mut segments = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if let Some(first) = first_of(&path) {
                segments.push(Segment { first, path });
            }
            if segments.len() > SEGMENTS_MAX {
                return Err(failed(io::Error::other(format!("there are more than {SEGMENTS_MAX} segments"))));
            }
        }
        segments.sort_by_key(|segment| segment.first);
        Ok(segments)
    }

    /// Makes the segment that begins with `header`, whole and durable or not at all. Gives it open at its end.
    ///
    /// # Errors
    /// What the file system says; a file of that name is never replaced.
    pub(super) fn create(&self, header: Header) -> Result<(Segment, File, u64, Link), FileError> {
        let path = self.path_of(header.first);
        let (line, link) = header.to_line();
        files::create(&path, &line, SECRET_MODE)?;
        let segment = Segment { first: header.first, path };
        let file = segment.append()?;
        Ok((segment, file, line.len() as u64, link))
    }

    /// Removes the segment that begins with record `first`, if it is there and has no records.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn remove_bare(&self, first: u64) -> Result<(), FileError> {
        let path = self.path_of(first);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.len() <= HEADER_MAX_BYTES => {
                fs::remove_file(&path).map_err(FileError::io("remove", &path))?;
                files::sync_parent(&path)
            }
            _ => Ok(()),
        }
    }

    fn path_of(&self, first: u64) -> PathBuf {
        self.path.join(format!("{first:0NAME_DIGITS$}.{SEGMENT_EXTENSION}"))
    }

    /// Takes the chain, or says that another has it.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn lock(&self) -> Result<Option<Lock>, FileError> {
        let path = self.path.join(LOCK_FILE);
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(SECRET_MODE).open(&path);
        let file = file.map_err(FileError::io("open", &path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock { file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(FileError::io("lock", &path)(error.into())),
        }
    }

    /// Makes the first chain of `dir` that no other process has, or takes it up; `None` when all are taken.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn take(dir: &Path) -> Result<Option<(Self, Lock)>, FileError> {
        for number in 1..=CHAINS_MAX {
            let chain = Self::new(dir, number);
            files::create_secret_dir(&chain.path)?;
            if let Some(lock) = chain.lock()? {
                // What is on the disk must also be found there.
                files::sync_parent(&chain.path)?;
                return Ok(Some((chain, lock)));
            }
        }
        Ok(None)
    }
}

impl Segment {
    /// Opens it to be written at its end.
    pub(super) fn append(&self) -> Result<File, FileError> {
        OpenOptions::new().append(true).open(&self.path).map_err(FileError::io("open", &self.path))
    }
}

/// The number in the name of a segment; `None` when it is no segment's name.
fn first_of(path: &Path) -> Option<u64> {
    let stem = path.file_stem()?.to_str()?;
    let is_segment = path.extension()? == SEGMENT_EXTENSION && stem.len() == NAME_DIGITS;
    is_segment.then(|| stem.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_header_reads_back(first: u64, millis in 0..4_102_444_800_000i64) {
            let opened = Timestamp::from_unix_millis(millis);
            let header = Header { first, previous: Link::ORIGIN, opened };
            let (line, _) = header.to_line();
            prop_assert_eq!(Header::from_line(&line), Some(header));
        }

        #[test]
        fn no_line_makes_the_header_panic(line: Vec<u8>) {
            prop_assert_eq!(Header::from_line(&line), None);
        }
    }

    #[test]
    fn only_names_of_segments_are_segments() {
        let first = |name: &str| first_of(Path::new(name));
        assert_eq!(first("d/00000000000000000042.jsonl"), Some(42));
        for name in [
            "42.jsonl",
            "00000000000000000042.torn",
            "0000000000000000004x.jsonl",
            "lock",
            "99999999999999999999.jsonl",
        ] {
            assert_eq!(first(name), None, "{name}");
        }
    }
}
