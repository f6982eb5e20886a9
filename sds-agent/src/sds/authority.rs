//! Mends the one thing that clients built on gRPC's C core say and our HTTP/2 library refuses: the socket's path as
//! `:authority`, with each slash written as `%2F`. On a Unix socket the authority means nothing.
//!
//! Each percent sign in the value becomes a letter, so lengths, and with them all tables of the header compression (RFC
//! 7541), stay as both sides reckon them. Bytes are looked at as they pass; nothing is kept, nothing else is changed,
//! and what is not understood passes as it is, for the library to judge.

/// Bytes that a client sends before its first frame (RFC 9113, 3.4).
const PREFACE_BYTES: u32 = 24;

/// Bytes before the payload of a frame (RFC 9113, 4.1).
const FRAME_HEADER_BYTES: usize = 9;

const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const PADDED: u8 = 0x08;
const PRIORITY: u8 = 0x20;

/// Bytes of the deprecated priority in a frame of headers.
const PRIORITY_BYTES: u32 = 5;

/// The field, as clients write it that do not use the static table for names.
const AUTHORITY: &[u8] = b":authority";

/// Number of `:authority` in the static table (RFC 7541, appendix A).
const AUTHORITY_INDEX: u8 = 1;

/// What a percent sign becomes.
const INSTEAD: u8 = b'x';

/// Where in one direction of a connection we are.
#[derive(Debug)]
pub(super) struct Authority {
    frame: Frame,
    field: Field,
}

#[derive(Debug)]
enum Frame {
    /// So many bytes that are not looked at, then a frame's header.
    Skip(u32),
    Header {
        seen: usize,
        length: u32,
        kind: u8,
        flags: u8,
    },
    /// The length of the padding comes first.
    PadLength {
        left: u32,
        flags: u8,
    },
    /// So many bytes before the fields, so many of fields, so many of padding.
    Fields {
        before: u32,
        left: u32,
        padding: u32,
    },
}

/// Where in a list of header fields we are.
#[derive(Debug, Clone, Copy)]
enum Field {
    /// At the beginning of one.
    Start,
    /// In a number of several bytes that says nothing of interest; then this comes.
    Number(Next),
    /// At the length of a string.
    Length { of: Text },
    /// In the length of a string.
    LongLength { of: Text, length: u64, shift: u32 },
    /// In a string.
    Inside { of: Text, left: u64 },
    /// Lost: passes everything.
    Lost,
}

#[derive(Debug, Clone, Copy)]
enum Next {
    Start,
    Value,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Text {
    /// A name, of which so many bytes are those of `:authority`.
    Name {
        alike: usize,
    },
    /// Another name.
    OtherName,
    Value,
    /// What is mended.
    Authority,
}

impl Default for Authority {
    fn default() -> Self {
        Self { frame: Frame::Skip(PREFACE_BYTES), field: Field::Start }
    }
}

impl Authority {
    /// Mends the next bytes.
    pub(super) fn mend(&mut self, bytes: &mut [u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if let Frame::Skip(left) = &mut self.frame {
                let skipped = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                *left -= u32::try_from(skipped).unwrap_or(*left);
                rest = rest.get_mut(skipped..).unwrap_or_default();
                if *left == 0 {
                    self.frame = Frame::Header { seen: 0, length: 0, kind: 0, flags: 0 };
                }
            } else if let Some((byte, behind)) = rest.split_first_mut() {
                self.step(byte);
                rest = behind;
            } else {
                return;
            }
        }
    }

    fn step(&mut self, byte: &mut u8) {
        match &mut self.frame {
            Frame::Skip(_) => {}
            Frame::Header { seen, length, kind, flags } => {
                match seen {
                    0..=2 => *length = (*length << 8) | u32::from(*byte),
                    3 => *kind = *byte,
                    4 => *flags = *byte,
                    _ => {}
                }
                *seen += 1;
                if *seen == FRAME_HEADER_BYTES {
                    self.frame = payload(*length, *kind, *flags);
                }
            }
            Frame::PadLength { left, flags } => {
                self.frame = fields(left.saturating_sub(1), *flags, u32::from(*byte));
            }
            Frame::Fields { before, left, padding } => {
                if *before > 0 {
                    *before -= 1;
                } else {
                    self.field = self.field.step(byte);
                }
                *left = left.saturating_sub(1);
                if *left == 0 {
                    self.frame = Frame::Skip(*padding);
                }
            }
        }
    }
}

fn payload(length: u32, kind: u8, flags: u8) -> Frame {
    match kind {
        HEADERS if length > 0 && flags & PADDED != 0 => Frame::PadLength { left: length, flags },
        HEADERS => fields(length, flags, 0),
        // Has no padding and no priority.
        CONTINUATION => fields(length, 0, 0),
        _ => Frame::Skip(length),
    }
}

/// `length` bytes in which fields stand, between a priority and padding.
fn fields(length: u32, flags: u8, padding: u32) -> Frame {
    let before = if flags & PRIORITY == 0 { 0 } else { PRIORITY_BYTES };
    match length.checked_sub(padding) {
        Some(left) if left > 0 => Frame::Fields { before, left, padding },
        _ => Frame::Skip(length),
    }
}

impl Field {
    /// The next place, after `byte`.
    fn step(self, byte: &mut u8) -> Self {
        match self {
            Self::Start => start(*byte),
            Self::Number(next) if *byte & 0x80 != 0 => Self::Number(next),
            Self::Number(Next::Start) => Self::Start,
            Self::Number(Next::Value) => Self::Length { of: Text::Value },
            Self::Length { of } => {
                let of = match of {
                    // A value in Huffman's code cannot be mended in place, and no client that uses it needs it.
                    Text::Authority if *byte & 0x80 != 0 => Text::Value,
                    Text::Name { .. } if usize::from(*byte) != AUTHORITY.len() => Text::OtherName,
                    of => of,
                };
                match *byte & 0x7f {
                    0x7f => Self::LongLength { of, length: 0x7f, shift: 0 },
                    length => inside(of, u64::from(length)),
                }
            }
            Self::LongLength { of, length, shift } => {
                let length = length.saturating_add(u64::from(*byte & 0x7f) << shift);
                match (*byte & 0x80 != 0, shift) {
                    (false, _) => inside(of, length),
                    (true, 0..28) => Self::LongLength { of, length, shift: shift + 7 },
                    (true, _) => Self::Lost,
                }
            }
            Self::Inside { of, left } => {
                let of = match of {
                    Text::Name { alike } if AUTHORITY.get(alike) == Some(&*byte) => Text::Name { alike: alike + 1 },
                    Text::Name { .. } => Text::OtherName,
                    of => of,
                };
                if of == Text::Authority && *byte == b'%' {
                    *byte = INSTEAD;
                }
                inside(of, left.saturating_sub(1))
            }
            Self::Lost => Self::Lost,
        }
    }
}

fn start(byte: u8) -> Field {
    let number = |mask: u8, next| if byte & mask == mask { Field::Number(next) } else { Field::Start };
    let literal = |mask: u8| match byte & mask {
        0 => Field::Length { of: Text::Name { alike: 0 } },
        AUTHORITY_INDEX => Field::Length { of: Text::Authority },
        index if index == mask => Field::Number(Next::Value),
        _ => Field::Length { of: Text::Value },
    };
    match byte {
        0x80.. => number(0x7f, Next::Start),
        0x40..=0x7f => literal(0x3f),
        0x20..=0x3f => number(0x1f, Next::Start),
        _ => literal(0x0f),
    }
}

fn inside(of: Text, left: u64) -> Field {
    match (left, of) {
        (0, Text::Name { .. }) => Field::Length { of: Text::Authority },
        (0, Text::OtherName) => Field::Length { of: Text::Value },
        (0, _) => Field::Start,
        _ => Field::Inside { of, left },
    }
}

#[cfg(test)]
mod tests;
