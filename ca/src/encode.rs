//! The DER of what Signet issues (RFC 5280): the leaf's profile and the self-signed root's.
//!
//! Knows how a certificate is written, byte for byte as Istio's clients know it. Must not decide what it says: names,
//! times and keys come in as arguments.

use signet_identity::certificate::usage_period_from;
use signet_identity::der::{self, AltName};
use signet_identity::{Lifetime, PublicKey, Serial, SignatureAlgorithm, Timestamp};
use time::OffsetDateTime;
use yasna::models::ObjectIdentifier;
use yasna::{DERWriter, DERWriterSeq, Tag, TagClass};

/// Key usage of a leaf, critical: digitalSignature and keyEncipherment.
const LEAF_KEY_USAGE: &[u8] =
    &[0x30, 0x0e, 0x06, 0x03, 0x55, 0x1d, 0x0f, 0x01, 0x01, 0xff, 0x04, 0x04, 0x03, 0x02, 0x05, 0xa0];

/// Extended key usage of a leaf: serverAuth, then clientAuth.
const LEAF_EXTENDED_KEY_USAGE: &[u8] = &[
    0x30, 0x1d, 0x06, 0x03, 0x55, 0x1d, 0x25, 0x04, 0x16, 0x30, 0x14, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07,
    0x03, 0x01, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02,
];

/// Basic constraints of a leaf, critical: an empty sequence, which means that it is no CA.
const LEAF_BASIC_CONSTRAINTS: &[u8] =
    &[0x30, 0x0c, 0x06, 0x03, 0x55, 0x1d, 0x13, 0x01, 0x01, 0xff, 0x04, 0x02, 0x30, 0x00];

/// Key usage of a root, critical: keyCertSign and cRLSign.
const ROOT_KEY_USAGE: &[u8] =
    &[0x30, 0x0e, 0x06, 0x03, 0x55, 0x1d, 0x0f, 0x01, 0x01, 0xff, 0x04, 0x04, 0x03, 0x02, 0x01, 0x06];

/// Basic constraints of a root, critical: a CA without a bound on the path below it.
const ROOT_BASIC_CONSTRAINTS: &[u8] =
    &[0x30, 0x0f, 0x06, 0x03, 0x55, 0x1d, 0x13, 0x01, 0x01, 0xff, 0x04, 0x05, 0x30, 0x03, 0x01, 0x01, 0xff];

const OID_SUBJECT_KEY_ID: &[u64] = &[2, 5, 29, 14];
const OID_AUTHORITY_KEY_ID: &[u64] = &[2, 5, 29, 35];
const OID_PRIVATE_KEY_USAGE_PERIOD: &[u64] = &[2, 5, 29, 16];
const OID_COMMON_NAME: &[u64] = &[2, 5, 4, 3];
const OID_ORGANIZATION: &[u64] = &[2, 5, 4, 10];

/// The DER INTEGER 2 that says X.509 version 3.
const VERSION_3: u8 = 2;

const TAG_INTEGER: u8 = 0x02;
const TAG_UTC_TIME: u64 = 23;
const TAG_GENERALIZED_TIME: u64 = 24;

/// The first year that UTCTime cannot say (RFC 5280, 4.1.2.5).
const GENERALIZED_TIME_FROM_YEAR: i32 = 2050;

/// What a leaf says, and about whom.
pub(crate) struct Leaf<'a> {
    pub(crate) serial: &'a Serial,
    pub(crate) algorithm: SignatureAlgorithm,
    /// The signing certificate's subject, copied byte for byte.
    pub(crate) issuer_der: &'a [u8],
    pub(crate) issuer_key_id: Option<&'a [u8]>,
    pub(crate) common_name: Option<&'a str>,
    pub(crate) names: &'a [AltName],
    pub(crate) lifetime: Lifetime,
    pub(crate) public_key: &'a PublicKey,
    /// Since when its holder is known; said only where certificates are renewed by themselves.
    pub(crate) known_since: Option<Timestamp>,
}

/// The to-be-signed part of a leaf.
pub(crate) fn leaf(leaf: &Leaf<'_>) -> Vec<u8> {
    let subject = common_name(leaf.common_name);
    let head = Head {
        serial: leaf.serial,
        algorithm: leaf.algorithm,
        issuer_der: leaf.issuer_der,
        subject_der: &subject,
        lifetime: leaf.lifetime,
        public_key: leaf.public_key,
    };
    head.with_extensions(|extensions| {
        extensions.next().write_der(LEAF_KEY_USAGE);
        extensions.next().write_der(LEAF_EXTENDED_KEY_USAGE);
        extensions.next().write_der(LEAF_BASIC_CONSTRAINTS);
        if let Some(id) = leaf.issuer_key_id {
            der::write_extension(extensions.next(), OID_AUTHORITY_KEY_ID, false, &authority_key_id(id));
        }
        der::write_extension(extensions.next(), der::OID_SUBJECT_ALT_NAME, true, &der::alt_names(leaf.names));
        if let Some(period) = leaf.known_since.and_then(usage_period_from) {
            der::write_extension(extensions.next(), OID_PRIVATE_KEY_USAGE_PERIOD, false, &period);
        }
    })
}

/// What a self-signed root says.
pub(crate) struct Root<'a> {
    pub(crate) serial: &'a Serial,
    pub(crate) algorithm: SignatureAlgorithm,
    /// Names the generation, and nothing a reader could build on.
    pub(crate) common_name: &'a str,
    /// Left out where it would be too long.
    pub(crate) organization: Option<&'a str>,
    pub(crate) names: &'a [AltName],
    pub(crate) lifetime: Lifetime,
    pub(crate) public_key: &'a PublicKey,
    pub(crate) key_id: &'a [u8],
}

/// The to-be-signed part of a self-signed root.
pub(crate) fn root(root: &Root<'_>) -> Vec<u8> {
    let name = yasna::construct_der(|writer| {
        writer.write_sequence(|name| {
            if let Some(organization) = root.organization {
                write_attribute(name.next(), OID_ORGANIZATION, organization);
            }
            write_attribute(name.next(), OID_COMMON_NAME, root.common_name);
        });
    });
    let key_id = yasna::construct_der(|writer| writer.write_bytes(root.key_id));
    let head = Head {
        serial: root.serial,
        algorithm: root.algorithm,
        issuer_der: &name,
        subject_der: &name,
        lifetime: root.lifetime,
        public_key: root.public_key,
    };
    head.with_extensions(|extensions| {
        extensions.next().write_der(ROOT_KEY_USAGE);
        extensions.next().write_der(ROOT_BASIC_CONSTRAINTS);
        der::write_extension(extensions.next(), OID_SUBJECT_KEY_ID, false, &key_id);
        der::write_extension(extensions.next(), der::OID_SUBJECT_ALT_NAME, false, &der::alt_names(root.names));
    })
}

/// Everything before the extensions.
struct Head<'a> {
    serial: &'a Serial,
    algorithm: SignatureAlgorithm,
    issuer_der: &'a [u8],
    subject_der: &'a [u8],
    lifetime: Lifetime,
    public_key: &'a PublicKey,
}

impl Head<'_> {
    fn with_extensions(&self, write: impl FnOnce(&mut DERWriterSeq<'_>)) -> Vec<u8> {
        yasna::construct_der(|writer| {
            writer.write_sequence(|fields| {
                fields.next().write_tagged(Tag::context(0), |writer| writer.write_u8(VERSION_3));
                fields.next().write_der(&integer(self.serial));
                fields.next().write_der(self.algorithm.identifier_der());
                fields.next().write_der(self.issuer_der);
                fields.next().write_sequence(|validity| {
                    write_time(validity.next(), self.lifetime.not_before());
                    write_time(validity.next(), self.lifetime.not_after());
                });
                fields.next().write_der(self.subject_der);
                fields.next().write_der(self.public_key.spki_der());
                fields.next().write_tagged(Tag::context(3), |writer| writer.write_sequence(write));
            });
        })
    }
}

/// A serial has at most 20 octets, so its length is one octet.
fn integer(serial: &Serial) -> Vec<u8> {
    let content = serial.as_der_content();
    let length = u8::try_from(content.len()).unwrap_or(u8::MAX);
    [&[TAG_INTEGER, length], content].concat()
}

fn authority_key_id(id: &[u8]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|fields| {
            fields.next().write_tagged_implicit(Tag::context(0), |writer| writer.write_bytes(id));
        });
    })
}

/// A name of one common name, or the empty name.
fn common_name(text: Option<&str>) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|name| {
            if let Some(text) = text {
                write_attribute(name.next(), OID_COMMON_NAME, text);
            }
        });
    })
}

fn write_attribute(writer: DERWriter<'_>, oid: &[u64], text: &str) {
    writer.write_set(|set| {
        set.next().write_sequence(|attribute| {
            attribute.next().write_oid(&ObjectIdentifier::from_slice(oid));
            attribute.next().write_utf8_string(text);
        });
    });
}

/// Whole seconds in UTC: UTCTime through 2049, GeneralizedTime from 2050 (RFC 5280, 4.1.2.5).
fn write_time(writer: DERWriter<'_>, instant: Timestamp) {
    let time = OffsetDateTime::from_unix_timestamp(instant.unix_secs()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second) = time.to_hms();
    let (century, year_of_century) = (year.div_euclid(100), year.rem_euclid(100));
    let numbers = [century, year_of_century].map(|number| u8::try_from(number).unwrap_or(0));
    let [century, year_of_century] = numbers.map(two_digits);
    let rest = [u8::from(month), day, hour, minute, second].map(two_digits).concat();
    let (tag, century) =
        if year < GENERALIZED_TIME_FROM_YEAR { (TAG_UTC_TIME, &[][..]) } else { (TAG_GENERALIZED_TIME, &century[..]) };
    let text = [century, &year_of_century, &rest, b"Z"].concat();
    let tag = Tag { tag_class: TagClass::Universal, tag_number: tag };
    writer.write_tagged_implicit(tag, |writer| writer.write_bytes(&text));
}

/// A number below 100 as two ASCII digits.
fn two_digits(number: u8) -> [u8; 2] {
    [b'0' + number / 10 % 10, b'0' + number % 10]
}

#[cfg(test)]
mod tests;
