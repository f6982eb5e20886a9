//! Keys of the index: a hash of an attribute's kind and of the text that a pattern pins down.
//!
//! Two keys that collide cost a rule that is tried in vain, never a wrong answer: whatever a key finds is checked.

use std::net::IpAddr;

use crate::model::{Cidr, Field};

/// A key.
pub(crate) type Key = u64;

/// FNV-1a: a hash that grows a byte at a time, so that one pass over a text gives the key of each of its prefixes.
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

fn add(state: u64, byte: u8) -> u64 {
    (state ^ u64::from(byte)).wrapping_mul(PRIME)
}

/// What a text is a part of: the attribute, whether it begins, ends or is the whole, and the name of header or claim.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seed(u64);

/// How much of an attribute a key pins down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    Prefix,
    Suffix,
    /// A segment of a path, at a place of its own.
    Segment,
    /// The attribute is there; its text does not count.
    There,
}

impl Seed {
    pub(crate) fn new(field: Field, part: Part) -> Self {
        Self(BASIS).byte(field_number(field)).byte(part_number(part))
    }

    fn byte(self, byte: u8) -> Self {
        Self(add(self.0, byte))
    }

    /// For headers and claims: the name, with an end that no name holds.
    pub(crate) fn name(self, name: &str) -> Self {
        Self(name.bytes().fold(self.0, add)).byte(0xff)
    }

    /// For segments: their place.
    pub(crate) fn name_at(self, at: u32) -> Self {
        at.to_be_bytes().into_iter().fold(self, Self::byte)
    }

    pub(crate) fn text(self, text: &str) -> Key {
        text.bytes().fold(self.0, add)
    }

    /// The same from the last byte to the first.
    pub(crate) fn reversed(self, text: &str) -> Key {
        text.bytes().rev().fold(self.0, add)
    }

    /// Two texts, with an end between that neither holds.
    pub(crate) fn pair(self, first: &str, second: &str) -> Key {
        self.name(first).text(second)
    }

    pub(crate) fn there(self) -> Key {
        self.0
    }

    /// Calls `probe` with the key of each prefix whose length is in `lengths` (rising); stops when it says so.
    pub(crate) fn prefixes(self, text: &str, lengths: &[u32], probe: &mut dyn FnMut(Key) -> bool) -> bool {
        grow(self.0, text.bytes(), lengths, probe)
    }

    /// The same for suffixes.
    pub(crate) fn suffixes(self, text: &str, lengths: &[u32], probe: &mut dyn FnMut(Key) -> bool) -> bool {
        grow(self.0, text.bytes().rev(), lengths, probe)
    }

    pub(crate) fn block(self, block: Cidr) -> Key {
        let (is_six, bits) = block.family_and_bits();
        let [high, low] = [bits >> 64, bits].map(|half| u64::try_from(half & u128::from(u64::MAX)).unwrap_or(0));
        let state = self.byte(u8::from(is_six)).byte(block.prefix()).0;
        // Addresses are not text; two multiplications mix them as well as sixteen would.
        let state = (state ^ high).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (state.rotate_left(29) ^ low).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) fn address(self, address: IpAddr, prefix: u8) -> Option<Key> {
        Cidr::new(address, prefix).map(|block| self.block(block))
    }

    pub(crate) fn port(self, port: u16) -> Key {
        let [high, low] = port.to_be_bytes();
        self.byte(high).byte(low).0
    }
}

/// A segment of a path, counted from 0 behind the first slash.
pub(crate) fn nth_segment(path: &str, at: u32) -> Option<&str> {
    path.strip_prefix('/')?.split('/').nth(usize::try_from(at).ok()?)
}

fn grow(mut state: u64, bytes: impl Iterator<Item = u8>, lengths: &[u32], probe: &mut dyn FnMut(Key) -> bool) -> bool {
    let mut lengths = lengths.iter().copied();
    let mut next = lengths.next();
    let mut length = 0_u32;
    let mut bytes = bytes;
    while let Some(wanted) = next {
        while length < wanted {
            let Some(byte) = bytes.next() else { return false };
            state = add(state, byte);
            length += 1;
        }
        if probe(state) {
            return true;
        }
        next = lengths.next();
    }
    false
}

fn part_number(part: Part) -> u8 {
    match part {
        Part::Whole => 0,
        Part::Prefix => 1,
        Part::Suffix => 2,
        Part::There => 3,
        Part::Segment => 4,
    }
}

/// Each attribute's own number; also its place among the index's kinds.
pub(crate) fn field_number(field: Field) -> u8 {
    match field {
        Field::Principal => 0,
        Field::RequestPrincipal => 1,
        Field::ServiceAccount => 2,
        Field::TrustDomain => 3,
        Field::Namespace => 4,
        Field::RemoteIp => 5,
        Field::SourceIp => 6,
        Field::DestinationIp => 7,
        Field::DestinationPort => 8,
        Field::Sni => 9,
        Field::Host => 10,
        Field::Method => 11,
        Field::Path => 12,
        Field::Header => 13,
        Field::Claim => 14,
        Field::Metadata => 15,
    }
}
