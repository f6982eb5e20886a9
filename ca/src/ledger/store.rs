//! The end of the chain that this process writes: adds records in groups, begins new segments, and puts itself in order
//! after a failure. Blocks on the disk; knows nothing of who waits.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use signet_identity::Timestamp;
use signet_runtime::files::{self, FileError};

use super::chain::{Link, seal};
use super::reader::{Next, SegmentReader};
use super::record::Body;
use super::segment::{Chain, Header, Lock, Segment};

/// What the line of a record has beside its members, at most: two numbers, two names, a link.
const ENVELOPE_MAX_BYTES: usize = 160;

/// Segments last this share of the time that records are kept, so that none is kept much longer than that.
const SEGMENTS_PER_AGE: u32 = 8;

/// Room that there must be before writing goes on after a failure.
const ROOM_BYTES: u64 = 256 * 1024;

/// Bytes that are written again at once.
const COPY_BYTES: usize = 64 * 1024;

/// How large segments get, and how long and how much of them is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// A segment ends before the group of records that would take it beyond this.
    pub segment_max_bytes: u64,
    /// The oldest segments go when all together have more.
    pub max_bytes: u64,
    /// A segment goes when all its records are older.
    pub max_age: Duration,
    /// How long what is recorded may be valid. That a younger segment went is told.
    pub life_max: Duration,
}

/// Where the next record goes.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) chain: Chain,
    /// Held as long as the chain is ours.
    pub(super) lock: Lock,
    pub(super) segment: Segment,
    pub(super) file: File,
    /// When the segment was begun.
    pub(super) opened: Timestamp,
    /// Bytes of the segment that count: up to here somebody was told of the records.
    pub(super) bytes: u64,
    /// Where the chain stands there.
    pub(super) link: Link,
    /// The next record's number.
    pub(super) next: u64,
    /// The last record known to be on the disk.
    pub(super) synced: u64,
    /// Whether the system may take records after that one for written, and be wrong: it was once asked to write them and
    /// failed, as far as we know. Asking again proves nothing then.
    pub(super) is_doubtful: bool,
    pub(super) keeping: Keeping,
    /// The lines of one group.
    pub(super) lines: Vec<u8>,
}

/// Why a group was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("segment `{path}` was removed while it was written")]
    Removed { path: PathBuf },
    #[error("`{path}` was removed, and another process writes there now")]
    Taken { path: PathBuf },
}

impl Store {
    /// Makes the segment that follows, after which the one before it is complete.
    fn begin_segment(&mut self, now: Timestamp) -> Result<(), FileError> {
        let header = Header { first: self.next, previous: self.link, opened: now };
        let (segment, file, bytes, link) = self.chain.create(header)?;
        (self.segment, self.file, self.bytes, self.link, self.opened) = (segment, file, bytes, link, now);
        self.is_doubtful = false;
        Ok(())
    }

    /// Begins a new segment where `more` bytes do not fit any more, or the segment lasted long enough.
    fn make_room(&mut self, more: u64, now: Timestamp) -> Result<bool, FileError> {
        let is_empty = self.next == self.segment.first;
        let is_full = self.bytes.saturating_add(more) > self.keeping.segment_max_bytes;
        let is_old = now.since(self.opened) >= self.keeping.max_age / SEGMENTS_PER_AGE;
        if is_empty || !(is_full || is_old) {
            return Ok(false);
        }
        // A complete segment must not depend on later ones for what is on the disk.
        self.sync()?;
        self.begin_segment(now)?;
        tracing::info!(
            segment = %self.segment.path.display(),
            records = self.next - 1,
            hash = %self.link,
            "ledger began a segment"
        );
        Ok(true)
    }

    /// Adds `bodies` as records, and waits for the disk where `sync` says so. All of them count then, or none. Tells
    /// how many bytes they took, and whether a segment was begun.
    pub(super) fn append<'b>(
        &mut self,
        bodies: impl Iterator<Item = &'b Body> + Clone,
        sync: bool,
        now: Timestamp,
    ) -> Result<(u64, bool), WriteError> {
        let more: usize = bodies.clone().map(|body| body.members().len() + ENVELOPE_MAX_BYTES).sum();
        let began = self.make_room(more as u64, now)?;
        let (mut link, mut next) = (self.link, self.next);
        self.lines.clear();
        for body in bodies {
            let start = self.lines.len();
            // Writing into memory does not fail.
            let _ = write!(self.lines, r#"{{"seq":{next},"synced":{},"#, self.synced);
            self.lines.extend_from_slice(body.members());
            link = seal(&mut self.lines, start, link);
            next += 1;
        }
        self.file.write_all(&self.lines).map_err(FileError::io("write", &self.segment.path))?;
        if !self.is_there()? {
            return Err(WriteError::Removed { path: self.segment.path.clone() });
        }
        if sync {
            self.wait_for_disk()?;
            if !self.is_doubtful {
                self.synced = next - 1;
            }
        }
        let bytes = self.lines.len() as u64;
        (self.bytes, self.link, self.next) = (self.bytes + bytes, link, next);
        Ok((bytes, began))
    }

    /// Waits until all that counts is on the disk.
    pub(super) fn sync(&mut self) -> Result<(), FileError> {
        if self.is_doubtful {
            self.write_again()?;
        }
        self.wait_for_disk()?;
        (self.synced, self.is_doubtful) = (self.next - 1, false);
        Ok(())
    }

    fn wait_for_disk(&mut self) -> Result<(), FileError> {
        let waited = self.file.sync_data().map_err(FileError::io("sync", &self.segment.path));
        self.is_doubtful |= waited.is_err();
        waited
    }

    /// Writes once more what is not known to be on the disk. It is what the system remembers, so it is compared with the
    /// chain first.
    fn write_again(&self) -> Result<(), FileError> {
        let failed = |verb| FileError::io(verb, &self.segment.path);
        let unfit = |what: String| failed("write again")(io::Error::other(what));
        let mut reader = SegmentReader::open(&self.segment)?.map_err(|flaw| unfit(flaw.to_string()))?;
        let mut at = reader.believed_bytes();
        loop {
            if reader.next_number() <= self.synced + 1 {
                at = reader.believed_bytes();
            }
            if !matches!(reader.next().map_err(failed("read"))?, Next::Record(_)) {
                break;
            }
        }
        if (reader.link(), reader.believed_bytes()) != (self.link, self.bytes) {
            return Err(unfit("records that were written do not read back".to_owned()));
        }
        let file = OpenOptions::new().read(true).write(true).open(&self.segment.path).map_err(failed("open"))?;
        let mut buffer = vec![0; COPY_BYTES];
        while at < self.bytes {
            let length = usize::try_from(self.bytes - at).unwrap_or(COPY_BYTES).min(COPY_BYTES);
            let part = buffer.get_mut(..length).unwrap_or_default();
            file.read_exact_at(part, at).and_then(|()| file.write_all_at(part, at)).map_err(failed("write again"))?;
            at += length as u64;
        }
        Ok(())
    }

    /// After a failure: takes away what does not count, or begins anew where everything was taken away from us.
    pub(super) fn repair(&mut self, now: Timestamp) -> Result<(), WriteError> {
        if self.next != self.segment.first {
            // A segment that was made, but not known to be durable.
            self.chain.remove_bare(self.next)?;
        }
        if self.is_there()? {
            self.file.set_len(self.bytes).map_err(FileError::io("cut", &self.segment.path))?;
            self.find_room()?;
            self.file.sync_all().map_err(FileError::io("sync", &self.segment.path))?;
            return Ok(self.sync()?);
        }
        files::create_secret_dir(&self.chain.path)?;
        if !has_name(&self.lock.file).map_err(FileError::io("look at", &self.chain.path))? {
            let taken = || WriteError::Taken { path: self.chain.path.clone() };
            self.lock = self.chain.lock()?.ok_or_else(taken)?;
        }
        Ok(self.begin_segment(now)?)
    }

    /// Takes room for many records at once, so that a disk with room for one does not open and close issuing in turns.
    fn find_room(&self) -> Result<(), FileError> {
        match fallocate(&self.file, FallocateFlags::KEEP_SIZE, self.bytes, ROOM_BYTES) {
            // Where room cannot be taken beforehand, the next write finds out.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(error) => Err(FileError::io("find room for", &self.segment.path)(error.into())),
        }
    }

    /// Whether the segment still has a name, so that what is written to it can be found.
    fn is_there(&self) -> Result<bool, FileError> {
        has_name(&self.file).map_err(FileError::io("look at", &self.segment.path))
    }
}

fn has_name(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.nlink() > 0)
}

#[cfg(test)]
mod tests;
