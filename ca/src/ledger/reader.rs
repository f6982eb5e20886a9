//! Reads one segment line by line and believes only what follows from the line before. Bounded memory on any input.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;
use signet_runtime::files::FileError;

use super::chain::{Link, Sealed};
use super::record::{Head, Issued, RECORD_MAX_BYTES};
use super::segment::{Header, Segment};

/// Longest line, in bytes: a record, its numbers and its link.
pub(super) const LINE_MAX_BYTES: usize = RECORD_MAX_BYTES + 256;

const READ_BYTES: usize = 64 * 1024;

/// Why a line is not what a writer left there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// The file ends in the middle of it.
    Cut,
    /// It is longer than any that is written.
    TooLong,
    /// It is no record, or no header, of a known form.
    Form,
    /// It was changed, or the one before it was, or lines are missing or in another order: its hash does not fit.
    Link,
    /// Its number is not the next one.
    Number {
        /// The next one.
        expected: u64,
        /// Its number.
        found: u64,
    },
    /// Its segment does not begin where the one before it ends: one is missing, or was replaced.
    Joint,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => f.write_str("the file ends in the middle of it"),
            Self::TooLong => write!(f, "it is longer than {LINE_MAX_BYTES} bytes"),
            Self::Form => f.write_str("it is not of a known form"),
            Self::Link => f.write_str("its hash does not fit what stands there and before it"),
            Self::Number { expected, found } => write!(f, "its number is {found}, {expected} would be next"),
            Self::Joint => f.write_str("the segment does not follow the one before it"),
        }
    }
}

/// What stands next in a segment.
#[derive(Debug)]
pub(super) enum Next<'a> {
    /// A record that follows from what stands before it.
    Record(Entry<'a>),
    /// A line that does not.
    Flaw(Flaw),
    /// Nothing: the segment ends after a whole line.
    End,
}

/// A record as it stands in a segment.
#[derive(Debug)]
pub struct Entry<'a> {
    /// What every record begins with.
    pub head: Head<'a>,
    /// All of it, JSON, without the line feed.
    pub line: &'a [u8],
}

impl<'a> Entry<'a> {
    /// What it says about a certificate; `None` when it is about something else.
    pub fn issued(&self) -> Option<Issued<'a>> {
        self.head.is_issued().then(|| serde_json::from_slice(self.line).ok())?
    }
}

/// A segment that is being read. Its header is believed as far as its own hash fits.
#[derive(Debug)]
pub(super) struct SegmentReader<R = BufReader<File>> {
    input: R,
    line: Vec<u8>,
    header: Header,
    /// Where the chain stands after the last line that was believed.
    link: Link,
    /// The number that the next record must have.
    next: u64,
    /// Lines read, the header too.
    lines: u64,
    /// Bytes up to and with the last line that was believed.
    believed_bytes: u64,
}

impl SegmentReader {
    /// Opens `segment` and reads its header; the inner error is what is wrong with that.
    pub(super) fn open(segment: &Segment) -> Result<Result<Self, Flaw>, FileError> {
        let failed = |source| FileError::io("read", &segment.path)(source);
        // Opening must not wait for whoever holds the other end of a pipe.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&segment.path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(FileError::NotAFile { path: segment.path.clone() });
        }
        Self::over(BufReader::with_capacity(READ_BYTES, file), segment.first).map_err(failed)
    }
}

impl<R: BufRead> SegmentReader<R> {
    /// Reads the header of what `input` holds: a segment whose first record has the number `first`.
    fn over(mut input: R, first: u64) -> io::Result<Result<Self, Flaw>> {
        let mut line = Vec::new();
        match read_line(&mut input, &mut line)? {
            Ending::Feed => {}
            Ending::TooLong => return Ok(Err(Flaw::TooLong)),
            Ending::File => return Ok(Err(Flaw::Cut)),
        }
        let (Some(sealed), Some(header)) = (Sealed::split(&line), Header::from_line(&line)) else {
            return Ok(Err(Flaw::Form));
        };
        if !sealed.follows(header.previous) {
            return Ok(Err(Flaw::Link));
        }
        if header.first != first {
            return Ok(Err(Flaw::Number { expected: first, found: header.first }));
        }
        let (link, believed_bytes) = (sealed.link, line.len() as u64 + 1);
        Ok(Ok(Self { input, line, header, link, next: header.first, lines: 1, believed_bytes }))
    }

    pub(super) fn header(&self) -> Header {
        self.header
    }

    pub(super) fn link(&self) -> Link {
        self.link
    }

    pub(super) fn next_number(&self) -> u64 {
        self.next
    }

    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    pub(super) fn believed_bytes(&self) -> u64 {
        self.believed_bytes
    }

    /// Reads one line more. After a flaw it stays where it was believed last; the flawed line is then behind it.
    pub(super) fn next(&mut self) -> io::Result<Next<'_>> {
        self.lines += 1;
        let ending = read_line(&mut self.input, &mut self.line)?;
        match ending {
            Ending::File if self.line.is_empty() => {
                self.lines -= 1;
                return Ok(Next::End);
            }
            // A whole line and something that is no line feed was not cut.
            Ending::File if self.is_line_and_more() => return Ok(Next::Flaw(Flaw::Form)),
            Ending::File => return Ok(Next::Flaw(Flaw::Cut)),
            Ending::TooLong => return Ok(Next::Flaw(Flaw::TooLong)),
            Ending::Feed => {}
        }
        let Some(sealed) = Sealed::split(&self.line) else { return Ok(Next::Flaw(Flaw::Form)) };
        if !sealed.follows(self.link) {
            return Ok(Next::Flaw(Flaw::Link));
        }
        let Ok(head) = serde_json::from_slice::<Head<'_>>(&self.line) else { return Ok(Next::Flaw(Flaw::Form)) };
        if head.seq != self.next {
            return Ok(Next::Flaw(Flaw::Number { expected: self.next, found: head.seq }));
        }
        self.link = sealed.link;
        self.next = self.next.saturating_add(1);
        self.believed_bytes += self.line.len() as u64 + 1;
        Ok(Next::Record(Entry { head, line: &self.line }))
    }

    /// After a flaw: goes on behind the flawed line as if that had been believed, for whoever looks for what is left.
    pub(super) fn resume(&mut self) {
        if let Some(sealed) = Sealed::split(&self.line) {
            self.link = sealed.link;
        }
        if let Ok(head) = serde_json::from_slice::<Head<'_>>(&self.line) {
            self.next = head.seq;
        }
        self.next = self.next.saturating_add(1);
    }

    /// After a flaw: whether what stands from there to the end of the file is a write that was never finished, as a
    /// crash leaves it, so that nobody was told of a record in it. Reads to the end.
    ///
    /// A process that is killed leaves the beginning of what it wrote. A machine that loses power may also leave holes,
    /// which read as zeros, with later parts behind them. Records that name the hole's as being on the disk when they
    /// were written prove that it was no such hole.
    pub(super) fn is_torn(&mut self, flaw: Flaw) -> io::Result<bool> {
        if flaw == Flaw::Cut {
            return Ok(true);
        }
        if !self.line.contains(&0) {
            return Ok(false);
        }
        let lost = self.next;
        let mut previous: Option<Link> = None;
        loop {
            match read_line(&mut self.input, &mut self.line)? {
                Ending::File => return Ok(true),
                Ending::TooLong => previous = None,
                Ending::Feed => {
                    let sealed = Sealed::split(&self.line);
                    let follows = sealed.zip(previous).is_some_and(|(sealed, previous)| sealed.follows(previous));
                    let head = serde_json::from_slice::<Head<'_>>(&self.line).ok();
                    if follows && head.is_some_and(|head| head.synced >= lost) {
                        return Ok(false);
                    }
                    previous = sealed.map(|sealed| sealed.link);
                }
            }
        }
    }

    /// Whether the last line read begins with a whole one that follows.
    fn is_line_and_more(&self) -> bool {
        self.line.split_last().is_some_and(|(_, line)| Sealed::split(line).is_some_and(|s| s.follows(self.link)))
    }
}

/// Reads a segment that begins with record `first` from anywhere, up to its end or to the first line that does not hold.
/// Tells how many records were believed, and what is wrong with the next one.
///
/// # Errors
/// What `input` says.
pub fn read_segment(input: impl BufRead, first: u64) -> io::Result<(u64, Option<Flaw>)> {
    let mut reader = match SegmentReader::over(input, first)? {
        Ok(reader) => reader,
        Err(flaw) => return Ok((0, Some(flaw))),
    };
    let mut records = 0;
    loop {
        match reader.next()? {
            Next::Record(_) => records += 1,
            Next::End => return Ok((records, None)),
            Next::Flaw(flaw) => return Ok((records, Some(flaw))),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Feed,
    File,
    TooLong,
}

/// Reads up to the next line feed, which is not kept. Of a line that is too long the first part is kept, and whether a
/// zero stood anywhere in it: as a zero at its end.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Ending> {
    line.clear();
    let mut is_too_long = false;
    loop {
        let available = match input.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let feed = available.iter().position(|byte| *byte == b'\n');
        let part = available.get(..feed.unwrap_or(available.len())).unwrap_or_default();
        let room = LINE_MAX_BYTES.saturating_sub(line.len());
        match part.split_at_checked(room) {
            Some((fits, rest)) if !rest.is_empty() => {
                is_too_long = true;
                line.extend_from_slice(fits);
                if rest.contains(&0) {
                    line.pop();
                    line.push(0);
                }
            }
            _ => line.extend_from_slice(part),
        }
        let (used, is_end) = (part.len() + usize::from(feed.is_some()), available.is_empty());
        input.consume(used);
        if feed.is_some() || is_end {
            return Ok(match feed {
                _ if is_too_long => Ending::TooLong,
                Some(_) => Ending::Feed,
                None => Ending::File,
            });
        }
    }
}
