//! Takes up a chain where the last process left it: checks its end, and puts aside what a crash left unfinished.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use signet_identity::Timestamp;
use signet_runtime::files::{self, FileError, SECRET_MODE};

use super::chain::Link;
use super::reader::{Flaw, LINE_MAX_BYTES, Next, SegmentReader};
use super::segment::{CHAINS_MAX, Chain, Header, Segment};
use super::store::{Keeping, Store};
use super::walk::Break;

/// Most bytes kept of an unfinished end.
const TORN_MAX_BYTES: u64 = 1024 * 1024;

/// Most files with unfinished ends that are kept; the oldest go first.
const TORN_FILES_MAX: usize = 8;

const TORN_EXTENSION: &str = "torn";

/// Why there is no ledger to write to.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// As many processes as may write this directory do so.
    #[error("`{dir}` is written by {CHAINS_MAX} processes already: give this one a `ledger.dir` of its own")]
    Taken {
        /// The directory.
        dir: PathBuf,
    },
    /// What is there is not what was written. It is left as it is.
    #[error(
        "ledger was changed at {found}; keep `{chain}` as evidence: move it out of `ledger.dir`, and the next start \
         begins a new chain"
    )]
    Broken {
        /// The chain's directory.
        chain: PathBuf,
        /// The place.
        found: Break,
    },
}

/// Where a segment ends.
struct End {
    link: Link,
    next: u64,
    bytes: u64,
    /// The last record that is said to be on the disk.
    synced: u64,
    /// Whether something unfinished stands behind it.
    is_torn: bool,
}

/// Takes a chain in `dir` for this process. Tells how many bytes of unfinished records were put aside.
///
/// # Errors
/// Every variant of [`OpenError`].
pub(super) fn open(dir: &Path, keeping: Keeping, now: Timestamp) -> Result<(Store, u64), OpenError> {
    files::create_secret_dir(dir)?;
    files::sync_parent(dir)?;
    let Some((chain, lock)) = Chain::take(dir)? else { return Err(OpenError::Taken { dir: dir.to_owned() }) };
    remove_temporaries(&chain)?;
    let segments = chain.segments()?;
    let Some((last, before)) = segments.split_last() else {
        let header = Header { first: 1, previous: Link::ORIGIN, opened: now };
        let (segment, file, bytes, link) = chain.create(header)?;
        let (opened, next, synced, is_doubtful, lines) = (now, 1, 0, false, Vec::new());
        let store =
            Store { chain, lock, segment, file, opened, bytes, link, next, synced, is_doubtful, keeping, lines };
        return Ok((store, 0));
    };
    let broken = |error| match error {
        ReadError::File(error) => OpenError::File(error),
        ReadError::Broken(found) => OpenError::Broken { chain: chain.path.clone(), found },
    };
    let (header, end) = read(last, true).map_err(broken)?;
    if let Some(before) = before.last() {
        let (_, before) = read(before, false).map_err(broken)?;
        if (before.link, before.next) != (header.previous, header.first) {
            return Err(broken(ReadError::at(last, 1, None, Flaw::Joint)));
        }
    }
    let torn_bytes = if end.is_torn { put_aside(&chain, last, end.bytes)? } else { 0 };
    let file = last.append()?;
    let (segment, opened, lines) = (last.clone(), header.opened, Vec::new());
    // The process before may have ended because the disk failed it.
    let End { bytes, link, next, synced, .. } = end;
    let is_doubtful = true;
    let mut store =
        Store { chain, lock, segment, file, opened, bytes, link, next, synced, is_doubtful, keeping, lines };
    if let Err(error) = store.sync() {
        tracing::warn!(%error, "ledger's last records may not be on the disk");
    }
    Ok((store, torn_bytes))
}

enum ReadError {
    File(FileError),
    Broken(Break),
}

impl ReadError {
    fn at(segment: &Segment, line: u64, record: Option<u64>, flaw: Flaw) -> Self {
        Self::Broken(Break { segment: segment.path.clone(), line, record, flaw })
    }
}

/// Reads a segment to its end; only the last one of a chain may end in something unfinished.
fn read(segment: &Segment, is_last: bool) -> Result<(Header, End), ReadError> {
    let failed = |source| ReadError::File(FileError::io("read", &segment.path)(source));
    let mut reader =
        SegmentReader::open(segment).map_err(ReadError::File)?.map_err(|flaw| ReadError::at(segment, 1, None, flaw))?;
    // A segment is begun when all before it is on the disk.
    let mut synced = segment.first.saturating_sub(1);
    let flaw = loop {
        match reader.next().map_err(failed)? {
            Next::Record(entry) => synced = synced.max(entry.head.synced),
            Next::End => break None,
            Next::Flaw(flaw) => break Some(flaw),
        }
    };
    let (record, line) = (Some(reader.next_number()), reader.lines());
    let end = |is_torn, reader: &SegmentReader| End {
        link: reader.link(),
        next: reader.next_number(),
        bytes: reader.believed_bytes(),
        synced,
        is_torn,
    };
    let found = (reader.header(), end(flaw.is_some(), &reader));
    match flaw {
        Some(flaw) if !is_last || !reader.is_torn(flaw).map_err(failed)? => {
            Err(ReadError::at(segment, line, record, flaw))
        }
        _ => Ok(found),
    }
}

/// Cuts `segment` to the `bytes` that count; what stood behind them is kept in a file, as far as that is possible.
fn put_aside(chain: &Chain, segment: &Segment, bytes: u64) -> Result<u64, FileError> {
    let failed = |verb| FileError::io(verb, &segment.path);
    let mut file = fs::File::open(&segment.path).map_err(failed("open"))?;
    let torn_bytes = file.metadata().map_err(failed("look at"))?.len().saturating_sub(bytes);
    let mut torn = Vec::with_capacity(LINE_MAX_BYTES);
    file.seek(SeekFrom::Start(bytes)).map_err(failed("read"))?;
    file.take(TORN_MAX_BYTES).read_to_end(&mut torn).map_err(failed("read"))?;
    let path = chain.path.join(format!("{:020}-{bytes}.{TORN_EXTENSION}", segment.first));
    match files::replace(&path, &torn, SECRET_MODE) {
        Ok(()) => {
            let file = path.display();
            tracing::warn!(torn_bytes, %file, "ledger ended in unfinished records, which were put aside");
        }
        Err(error) => tracing::warn!(torn_bytes, %error, "ledger ended in unfinished records, which are given up"),
    }
    let cut = fs::OpenOptions::new().write(true).open(&segment.path).map_err(failed("open"))?;
    cut.set_len(bytes).and_then(|()| cut.sync_all()).map_err(failed("cut"))?;
    remove_oldest_torn(chain)?;
    Ok(torn_bytes)
}

fn remove_oldest_torn(chain: &Chain) -> Result<(), FileError> {
    let mut torn = files_of(chain)?;
    torn.retain(|path| path.extension().is_some_and(|extension| extension == TORN_EXTENSION));
    torn.sort();
    let surplus = torn.len().saturating_sub(TORN_FILES_MAX);
    torn.iter().take(surplus).try_for_each(|path| fs::remove_file(path).map_err(FileError::io("remove", path)))
}

/// Removes what a process left that was killed while it made a file.
fn remove_temporaries(chain: &Chain) -> Result<(), FileError> {
    let mut paths = files_of(chain)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "tmp"));
    paths.iter().try_for_each(|path| fs::remove_file(path).map_err(FileError::io("remove", path)))
}

fn files_of(chain: &Chain) -> Result<Vec<PathBuf>, FileError> {
    let failed = |source| FileError::io("read directory", &chain.path)(source);
    let entries = fs::read_dir(&chain.path).map_err(failed)?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect()
}
