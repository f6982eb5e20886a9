//! Elements of DER: where each begins and ends, and whether it is spelled in the one way that DER allows.

use crate::der::SEQUENCE;

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
const NULL: u8 = 0x05;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const SET: u8 = 0x31;

const CONSTRUCTED: u8 = 0x20;
const CLASS: u8 = 0xc0;
const HIGH_TAG: u8 = 0x1f;

/// Deepest nesting followed; a certificate needs six.
pub(super) const DEPTH_MAX: usize = 16;

/// Most octets of a length: documents here are far below 16 MiB.
const LENGTH_OCTETS_MAX: usize = 3;

/// One element of DER.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element<'a> {
    /// Identifier octet.
    pub(crate) tag: u8,
    /// Content octets.
    pub(crate) content: &'a [u8],
    /// Everything, identifier and length included.
    pub(crate) whole: &'a [u8],
}

/// The element that `bytes` begin with, and what is behind it. Its content has not been looked at.
pub(crate) fn first(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&tag, after_tag) = bytes.split_first()?;
    if tag & HIGH_TAG == HIGH_TAG {
        return None;
    }
    let (length, after_length) = length(after_tag)?;
    let (content, rest) = after_length.split_at_checked(length)?;
    let (whole, _) = bytes.split_at_checked(bytes.len() - rest.len())?;
    Some((Element { tag, content, whole }, rest))
}

/// The one element that `bytes` are, if it is DER all through.
pub(crate) fn only(bytes: &[u8]) -> Option<Element<'_>> {
    let (element, rest) = first(bytes)?;
    (rest.is_empty() && is_der(&element, 0)).then_some(element)
}

/// The elements that `content` consists of.
pub(crate) fn all(content: &[u8]) -> Option<Vec<Element<'_>>> {
    let mut elements = Vec::new();
    let mut rest = content;
    while !rest.is_empty() {
        let (element, behind) = first(rest)?;
        elements.push(element);
        rest = behind;
    }
    Some(elements)
}

/// Whether `element` is in the one form that DER allows. Context-specific contents are not known here and are taken as
/// octets, or as elements where they are constructed.
fn is_der(element: &Element<'_>, depth: usize) -> bool {
    let universal = element.tag & CLASS == 0;
    if element.tag & CONSTRUCTED != 0 {
        let tag_is_known = !universal || matches!(element.tag, SEQUENCE | SET);
        let inner = if depth < DEPTH_MAX { all(element.content) } else { None };
        return tag_is_known && inner.is_some_and(|inner| inner.iter().all(|element| is_der(element, depth + 1)));
    }
    match (element.tag, element.content) {
        (BOOLEAN, content) => matches!(content, [0] | [0xff]),
        (INTEGER, [] | [0, 0..=0x7f, ..] | [0xff, 0x80..=0xff, ..]) => false,
        (BIT_STRING, content) => bit_string_is_der(content),
        (NULL, content) => content.is_empty(),
        (OBJECT_IDENTIFIER, content) => content.last().is_some_and(|last| last & 0x80 == 0),
        // End of contents, and structures that claim to be primitive.
        (0 | 0x10 | 0x11, _) => false,
        _ => true,
    }
}

fn bit_string_is_der(content: &[u8]) -> bool {
    match content {
        [] => false,
        [unused] => *unused == 0,
        [unused, .., last] => *unused < 8 && last.trailing_zeros() >= u32::from(*unused),
    }
}

/// A definite length in as few octets as it needs.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        return Some((usize::from(first), rest));
    }
    let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
    if octets.len() > LENGTH_OCTETS_MAX || octets.first().is_none_or(|octet| *octet == 0) {
        return None;
    }
    let length = octets.iter().fold(0, |length, octet| (length << 8) | usize::from(*octet));
    (length >= 0x80).then_some((length, rest))
}
