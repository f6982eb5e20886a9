//! One line of a ledger, and how each is chained to the one before it. Pure.
//!
//! A line is a JSON object whose last member is `hash`: SHA-256 over the 32 octets of the line before it and over the
//! line's own text up to the comma before `hash`. Whoever has the lines and any SHA-256 can check them.

use std::fmt;
use std::str::FromStr;

use ring::digest;
use signet_identity::hex;

/// What stands between a line's text and its link.
const BEFORE_LINK: &[u8] = br#","hash":""#;

/// What stands after it.
const AFTER_LINK: &[u8] = br#""}"#;

const LINK_OCTETS: usize = 32;

/// Characters of a link in hexadecimal.
const LINK_CHARS: usize = 2 * LINK_OCTETS;

/// A place in a chain: the hash that a line ends with, over everything before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link([u8; LINK_OCTETS]);

impl Link {
    /// What the first line of all follows: no line.
    pub const ORIGIN: Self = Self([0; LINK_OCTETS]);

    fn after(previous: Self, text: &[u8]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&previous.0);
        context.update(text);
        let mut octets = [0; LINK_OCTETS];
        octets.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
        Self(octets)
    }

    fn write_to(self, out: &mut Vec<u8>) {
        let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        out.extend(self.0.iter().flat_map(|octet| [digit(octet >> 4), digit(octet & 0x0f)]));
    }

    fn read_from(chars: &[u8]) -> Option<Self> {
        if chars.len() != LINK_CHARS {
            return None;
        }
        let nibble = |char: &u8| match char {
            b'0'..=b'9' => Some(char - b'0'),
            b'a'..=b'f' => Some(char - b'a' + 10),
            _ => None,
        };
        let mut octets = [0; LINK_OCTETS];
        for (octet, pair) in octets.iter_mut().zip(chars.chunks_exact(2)) {
            let mut nibbles = pair.iter().map(nibble);
            *octet = nibbles.next()?? << 4 | nibbles.next()??;
        }
        Some(Self(octets))
    }
}

/// Lower-case hexadecimal.
impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl FromStr for Link {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::read_from(text.as_bytes()).ok_or_else(|| format!("`{text}` is not {LINK_CHARS} lower-case hex digits"))
    }
}

/// Turns what `out` holds from `start` on, an object that is not closed yet, into a line that follows `previous`.
pub(super) fn seal(out: &mut Vec<u8>, start: usize, previous: Link) -> Link {
    let link = Link::after(previous, out.get(start..).unwrap_or_default());
    out.extend_from_slice(BEFORE_LINK);
    link.write_to(out);
    out.extend_from_slice(AFTER_LINK);
    out.push(b'\n');
    link
}

/// A line taken apart, nothing of it believed yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sealed<'a> {
    text: &'a [u8],
    /// What the line says it hashes to.
    pub(super) link: Link,
}

impl<'a> Sealed<'a> {
    /// Takes `line` apart, which has no line feed; `None` when it does not end as a line does.
    pub(super) fn split(line: &'a [u8]) -> Option<Self> {
        let rest = line.strip_suffix(AFTER_LINK)?;
        let (text, chars) = rest.split_at_checked(rest.len().checked_sub(LINK_CHARS)?)?;
        Some(Self { text: text.strip_suffix(BEFORE_LINK)?, link: Link::read_from(chars)? })
    }

    /// Whether it is what was written after `previous`.
    pub(super) fn follows(&self, previous: Link) -> bool {
        Link::after(previous, self.text) == self.link
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sealed(text: &[u8], previous: Link) -> Vec<u8> {
        let mut line = text.to_vec();
        seal(&mut line, 0, previous);
        line.pop();
        line
    }

    #[test]
    fn a_link_is_what_any_sha_256_says() {
        // Python: hashlib.sha256(bytes(32) + b'{"a":1').hexdigest()
        let line = sealed(br#"{"a":1"#, Link::ORIGIN);
        let link = "607ca6addc015e6bd181f4700e76996f0a2361ee7a2e4b2dbe5d7dd2f948d448";
        assert_eq!(String::from_utf8(line).unwrap(), format!(r#"{{"a":1,"hash":"{link}"}}"#));
    }

    #[test]
    fn a_line_with_any_bit_changed_does_not_follow_any_more() {
        let line = sealed(br#"{"a":1,"b":"text""#, Link::ORIGIN);
        assert!(Sealed::split(&line).unwrap().follows(Link::ORIGIN));
        for bit in 0..line.len() * 8 {
            let mut changed = line.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!Sealed::split(&changed).is_some_and(|sealed| sealed.follows(Link::ORIGIN)), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_line_holds_it_is_taken_apart_without_panic(line: Vec<u8>, text: Vec<u8>) {
            let _ = Sealed::split(&line);
            let sealed = sealed(&text, Link::ORIGIN);
            prop_assert!(Sealed::split(&sealed).unwrap().follows(Link::ORIGIN));
        }

        #[test]
        fn a_link_prints_what_it_reads_back(octets: [u8; 32]) {
            let link = Link(octets);
            prop_assert_eq!(link.to_string().parse(), Ok(link));
        }
    }
}
