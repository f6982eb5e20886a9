//! Goes over a whole chain, record by record and segment by segment. Takes no lock, so it works beside the process that
//! writes; memory does not grow with the chain.

use std::collections::VecDeque;
use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;

use signet_identity::Timestamp;
use signet_runtime::files::FileError;

use super::chain::Link;
use super::reader::{Entry, Flaw, Next, SegmentReader};
use super::segment::{Chain, Segment};

/// A place where a chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// The segment.
    pub segment: PathBuf,
    /// The line in it, the header being line 1.
    pub line: u64,
    /// The number of the record that should stand there; `None` for a header.
    pub record: Option<u64>,
    /// What is wrong with it.
    pub flaw: Flaw,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`, line {}", self.segment.display(), self.line)?;
        match self.record {
            Some(record) => write!(f, ", where record {record} should stand: {}", self.flaw),
            None => write!(f, ", the segment's header: {}", self.flaw),
        }
    }
}

/// A place in time and order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// A record's number.
    pub seq: u64,
    /// When it was written, by the clock of its writer.
    pub time: Timestamp,
}

/// What was seen of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Segments begun.
    pub segments: u64,
    /// Records.
    pub records: u64,
    /// Bytes of headers and records.
    pub bytes: u64,
    /// The oldest record.
    pub first: Option<Mark>,
    /// The newest one.
    pub last: Option<Mark>,
    /// Where the chain stands after it.
    pub link: Link,
    /// Bytes at the end that are being written, or are what a crash left of records that nobody was told of.
    pub unfinished_bytes: u64,
}

/// Who goes along.
pub trait Visitor {
    /// A header or record was believed, and the chain stands at `link` after it.
    fn link(&mut self, link: Link) -> ControlFlow<()> {
        let _ = link;
        ControlFlow::Continue(())
    }

    /// A record.
    fn record(&mut self, entry: &Entry<'_>) -> ControlFlow<()>;

    /// A place where the chain does not hold; to go on is to believe what stands behind it.
    fn broken(&mut self, found: Break) -> ControlFlow<()>;
}

/// Shows `chain` to `visitor`, oldest record first, until it has enough.
///
/// # Errors
/// When a file cannot be read.
pub fn walk<'v>(chain: &'v Chain, visitor: &'v mut dyn Visitor) -> Result<Seen, FileError> {
    let mut waiting = VecDeque::from(chain.segments()?);
    let mut walk = Walk { chain, seen: Seen::nothing(), end: None, newest: None, visitor };
    while let Some(segment) = waiting.pop_front() {
        let missed = walk.missed_before(&segment)?;
        if !missed.is_empty() {
            waiting.push_front(segment);
            missed.into_iter().rev().for_each(|segment| waiting.push_front(segment));
            continue;
        }
        if walk.segment(&segment, waiting.is_empty())?.is_break() {
            break;
        }
        walk.newest = Some(segment.first);
    }
    Ok(walk.seen)
}

impl Seen {
    fn nothing() -> Self {
        Self { segments: 0, records: 0, bytes: 0, first: None, last: None, link: Link::ORIGIN, unfinished_bytes: 0 }
    }
}

struct Walk<'v> {
    chain: &'v Chain,
    seen: Seen,
    /// Where the segment before ended: its link, and the next record's number.
    end: Option<(Link, u64)>,
    /// First record of the segment before.
    newest: Option<u64>,
    visitor: &'v mut dyn Visitor,
}

impl Walk<'_> {
    /// Segments that belong before `segment` and were not listed with it. A directory that is read while segments are
    /// begun in it may show the later of two and not the earlier.
    fn missed_before(&self, segment: &Segment) -> Result<Vec<Segment>, FileError> {
        match (self.newest, self.end) {
            (Some(newest), Some((_, next))) if segment.first > next => {
                let listed = self.chain.segments()?.into_iter();
                Ok(listed.filter(|other| other.first > newest && other.first < segment.first).collect())
            }
            _ => Ok(Vec::new()),
        }
    }

    fn segment(&mut self, segment: &Segment, is_last: bool) -> Result<ControlFlow<()>, FileError> {
        let at_header = |flaw| Break { segment: segment.path.clone(), line: 1, record: None, flaw };
        let mut reader = match SegmentReader::open(segment) {
            Ok(Ok(reader)) => reader,
            Ok(Err(flaw)) => {
                self.end = None;
                return Ok(self.visitor.broken(at_header(flaw)));
            }
            // The oldest segments may be pruned before we come to them, and those before them with them.
            Err(error) if error.is_missing() && self.is_pruned(segment)? => {
                self.end = None;
                return Ok(ControlFlow::Continue(()));
            }
            Err(error) => return Err(error),
        };
        self.seen.segments += 1;
        let header = reader.header();
        if self.end.is_some_and(|end| end != (header.previous, header.first))
            && self.visitor.broken(at_header(Flaw::Joint)).is_break()
        {
            return Ok(ControlFlow::Break(()));
        }
        self.seen.link = reader.link();
        if self.visitor.link(reader.link()).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let flow = self.records(&mut reader, segment, is_last)?;
        self.seen.bytes += reader.believed_bytes();
        self.end = Some((reader.link(), reader.next_number()));
        Ok(flow)
    }

    /// Whether nothing as old as `segment` is left.
    fn is_pruned(&self, segment: &Segment) -> Result<bool, FileError> {
        Ok(self.chain.segments()?.first().is_some_and(|oldest| oldest.first > segment.first))
    }

    fn records(
        &mut self,
        reader: &mut SegmentReader,
        segment: &Segment,
        is_last: bool,
    ) -> Result<ControlFlow<()>, FileError> {
        let failed = |source| FileError::io("read", &segment.path)(source);
        loop {
            let (record, line) = (reader.next_number(), reader.lines() + 1);
            let flaw = match reader.next().map_err(failed)? {
                Next::End => return Ok(ControlFlow::Continue(())),
                Next::Flaw(flaw) => flaw,
                Next::Record(entry) => {
                    if self.saw(&entry).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                    self.seen.link = reader.link();
                    if self.visitor.link(reader.link()).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                    continue;
                }
            };
            if is_last && reader.is_torn(flaw).map_err(failed)? {
                let whole = std::fs::metadata(&segment.path).map_err(failed)?.len();
                self.seen.unfinished_bytes = whole.saturating_sub(reader.believed_bytes());
                return Ok(ControlFlow::Continue(()));
            }
            let found = Break { segment: segment.path.clone(), line, record: Some(record), flaw };
            if self.visitor.broken(found).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            reader.resume();
        }
    }

    fn saw(&mut self, entry: &Entry<'_>) -> ControlFlow<()> {
        let mark = Mark { seq: entry.head.seq, time: entry.head.time };
        self.seen.records += 1;
        self.seen.first.get_or_insert(mark);
        self.seen.last = Some(mark);
        self.visitor.record(entry)
    }
}
