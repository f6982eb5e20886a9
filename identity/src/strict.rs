//! The shape of certificates, requests and public keys, checked octet by octet before a tolerant parser reads them
//! (X.690, 10 and 11; RFC 5280, 4.1 and 4.2; RFC 2986, 4).
//!
//! The parser that reads certificates passes over what it does not expect: elements behind the last field, lengths
//! written in too many octets, a second extension of the same kind. Two readers of such a document need not agree on
//! what it says, so it is refused here. This module knows where elements begin and end and which belong where, not what
//! they mean. It never copies and never reads behind a length.

use crate::der::{OCTET_STRING, SEQUENCE};

use element::{BIT_STRING, BOOLEAN, INTEGER, OBJECT_IDENTIFIER, SET};
pub(crate) use element::{Element, all, first, only};

mod element;

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const CONTEXT_0: u8 = 0xa0;
const CONTEXT_3: u8 = 0xa3;

/// Content of an INTEGER that says X.509 version 3.
const VERSION_3: &[u8] = &[2];

/// Content of an INTEGER that says PKCS#10 version 1.
const REQUEST_VERSION: &[u8] = &[0];

/// Content octets of the subjectAltName identifier, 2.5.29.17.
const OID_SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// First content octets of the identifiers that RFC 5280 gives to certificate extensions, 2.5.29.
const OID_CERTIFICATE_EXTENSION: &[u8] = &[0x55, 0x1d];

/// Content octets of the extensionRequest identifier, 1.2.840.113549.1.9.14.
const OID_EXTENSION_REQUEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];

/// Tags that a GeneralName may have (RFC 5280, 4.2.1.6): constructed where the name is a structure.
const GENERAL_NAMES: &[u8] = &[0xa0, 0x81, 0x82, 0xa3, 0xa4, 0xa5, 0x86, 0x87, 0x88];

/// Most extensions of a certificate and attributes of a request: each is looked for among those before it, and who sends
/// them need not be known.
const KINDS_MAX: usize = 64;

/// What is wrong with a document's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShapeError {
    /// Not DER, or not the elements that belong there.
    Malformed,
    /// Not version 3, for certificates; not version 1, for requests.
    Version,
    /// The same extension or attribute twice: readers differ in which one counts.
    Repeated,
}

use ShapeError::{Malformed, Repeated, Version};

/// The AlgorithmIdentifier, whole, and the key's bits of a SubjectPublicKeyInfo.
pub(crate) fn public_key(der: &[u8]) -> Option<(&[u8], &[u8])> {
    match all(sequence(&only(der)?)?)?.as_slice() {
        [algorithm, bits] if algorithm.tag == SEQUENCE => Some((algorithm.whole, whole_octets(bits)?)),
        _ => None,
    }
}

/// Modulus and exponent of an RSAPublicKey (RFC 8017, A.1.1), both positive, without leading zero octets.
pub(crate) fn rsa_public_key(der: &[u8]) -> Option<(&[u8], &[u8])> {
    match all(sequence(&only(der)?)?)?.as_slice() {
        [modulus, exponent] => Some((positive(modulus)?, positive(exponent)?)),
        _ => None,
    }
}

/// Whether `der` is a version 3 certificate and nothing else.
pub(crate) fn check_certificate(der: &[u8]) -> Result<(), ShapeError> {
    let Envelope { signed, algorithm, .. } = envelope(der)?;
    let fields = sequence(&signed).and_then(all).ok_or(Malformed)?;
    let (version, fields) = fields.split_first().ok_or(Malformed)?;
    if version.tag != CONTEXT_0 || only(version.content).is_none_or(|v| v.tag != INTEGER || v.content != VERSION_3) {
        return Err(Version);
    }
    let [serial, inner_algorithm, issuer, validity, subject, key, extensions @ ..] = fields else {
        return Err(Malformed);
    };
    let sequences = [inner_algorithm, issuer, subject, key].iter().all(|field| field.tag == SEQUENCE);
    if serial.tag != INTEGER || !sequences || inner_algorithm.whole != algorithm || !is_validity(validity) {
        return Err(Malformed);
    }
    match extensions {
        [] => Ok(()),
        [extensions] if extensions.tag == CONTEXT_3 => check_extensions(extensions.content),
        _ => Err(Malformed),
    }
}

/// The parts of a PKCS#10 request that prove possession of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request<'a> {
    /// What was signed: the CertificationRequestInfo, whole.
    pub(crate) info: &'a [u8],
    /// The SubjectPublicKeyInfo, whole.
    pub(crate) key: &'a [u8],
    /// The signature's AlgorithmIdentifier, whole.
    pub(crate) algorithm: &'a [u8],
    /// The signature's octets.
    pub(crate) signature: &'a [u8],
}

/// Takes a PKCS#10 request apart, if `der` is one and nothing else.
pub(crate) fn request(der: &[u8]) -> Result<Request<'_>, ShapeError> {
    let Envelope { signed, algorithm, signature } = envelope(der)?;
    let fields = sequence(&signed).and_then(all).ok_or(Malformed)?;
    let [version, subject, key, attributes] = fields.as_slice() else { return Err(Malformed) };
    if version.tag != INTEGER || version.content != REQUEST_VERSION {
        return Err(Version);
    }
    if subject.tag != SEQUENCE || key.tag != SEQUENCE || attributes.tag != CONTEXT_0 {
        return Err(Malformed);
    }
    let mut seen = Vec::new();
    for attribute in all(attributes.content).ok_or(Malformed)? {
        let inner = sequence(&attribute).and_then(all).ok_or(Malformed)?;
        let [kind, values] = inner.as_slice() else { return Err(Malformed) };
        if kind.tag != OBJECT_IDENTIFIER || values.tag != SET {
            return Err(Malformed);
        }
        once(&mut seen, kind.content)?;
        if kind.content == OID_EXTENSION_REQUEST {
            check_extensions(values.content)?;
        }
    }
    Ok(Request { info: signed.whole, key: key.whole, algorithm, signature })
}

/// Two instants, each in UTC, to the second and without a fraction (RFC 5280, 4.1.2.5).
fn is_validity(validity: &Element<'_>) -> bool {
    let is_time = |time: &Element<'_>| {
        let digits = match time.tag {
            UTC_TIME => 12,
            GENERALIZED_TIME => 14,
            _ => return false,
        };
        let text = time.content.strip_suffix(b"Z");
        text.is_some_and(|text| text.len() == digits && text.iter().all(u8::is_ascii_digit))
    };
    let times = sequence(validity).and_then(all).unwrap_or_default();
    times.len() == 2 && times.iter().all(is_time)
}

/// What certificates and requests have in common.
struct Envelope<'a> {
    signed: Element<'a>,
    algorithm: &'a [u8],
    signature: &'a [u8],
}

fn envelope(der: &[u8]) -> Result<Envelope<'_>, ShapeError> {
    let parts = only(der).and_then(|outer| all(sequence(&outer)?)).ok_or(Malformed)?;
    match parts.as_slice() {
        [signed, algorithm, signature] if algorithm.tag == SEQUENCE => {
            let signature = whole_octets(signature).ok_or(Malformed)?;
            Ok(Envelope { signed: *signed, algorithm: algorithm.whole, signature })
        }
        _ => Err(Malformed),
    }
}

/// `list` is the content of whatever holds the one Extensions sequence.
fn check_extensions(list: &[u8]) -> Result<(), ShapeError> {
    let extensions = only(list).and_then(|list| all(sequence(&list)?)).ok_or(Malformed)?;
    let mut seen = Vec::new();
    for extension in extensions {
        let parts = sequence(&extension).and_then(all).ok_or(Malformed)?;
        let (kind, value) = match parts.as_slice() {
            [kind, value] => (kind, value),
            [kind, critical, value] if critical.tag == BOOLEAN => (kind, value),
            _ => return Err(Malformed),
        };
        if kind.tag != OBJECT_IDENTIFIER || value.tag != OCTET_STRING {
            return Err(Malformed);
        }
        once(&mut seen, kind.content)?;
        if kind.content.starts_with(OID_CERTIFICATE_EXTENSION) {
            check_extension_value(kind.content, value.content).ok_or(Malformed)?;
        }
    }
    Ok(())
}

fn check_extension_value(kind: &[u8], value: &[u8]) -> Option<()> {
    let value = only(value)?;
    if kind == OID_SUBJECT_ALT_NAME {
        let names = all(sequence(&value)?)?;
        return names.iter().all(|name| GENERAL_NAMES.contains(&name.tag)).then_some(());
    }
    Some(())
}

fn once<'a>(seen: &mut Vec<&'a [u8]>, kind: &'a [u8]) -> Result<(), ShapeError> {
    if seen.contains(&kind) {
        return Err(Repeated);
    }
    if seen.len() >= KINDS_MAX {
        return Err(Malformed);
    }
    seen.push(kind);
    Ok(())
}

fn sequence<'a>(element: &Element<'a>) -> Option<&'a [u8]> {
    (element.tag == SEQUENCE).then_some(element.content)
}

/// The octets of a BIT STRING without unused bits.
fn whole_octets<'a>(element: &Element<'a>) -> Option<&'a [u8]> {
    match element.content.split_first() {
        Some((0, octets)) if element.tag == BIT_STRING => Some(octets),
        _ => None,
    }
}

/// The magnitude of an INTEGER above zero.
fn positive<'a>(element: &Element<'a>) -> Option<&'a [u8]> {
    if element.tag != INTEGER {
        return None;
    }
    match element.content {
        [0, magnitude @ ..] if !magnitude.is_empty() => Some(magnitude),
        [1..=0x7f, ..] => Some(element.content),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
