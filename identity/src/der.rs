//! The few DER pieces that certificates and requests share (X.690, RFC 5280): extensions and signed envelopes.
//!
//! Writing is done by `yasna`; this module only knows the shapes. It must not decide what a certificate holds.

use yasna::models::ObjectIdentifier;
use yasna::{DERWriter, DERWriterSeq, Tag};

/// Object identifier of subjectAltName.
pub const OID_SUBJECT_ALT_NAME: &[u64] = &[2, 5, 29, 17];

/// Tag of a uniformResourceIdentifier in a GeneralName (RFC 5280, 4.2.1.6).
const GENERAL_NAME_URI: u64 = 6;

/// Tag of a dNSName in a GeneralName.
const GENERAL_NAME_DNS: u64 = 2;

/// Tag of an iPAddress in a GeneralName.
const GENERAL_NAME_IP: u64 = 7;

/// Identifier octet of a SEQUENCE.
pub(crate) const SEQUENCE: u8 = 0x30;

/// Identifier octet of an OCTET STRING.
pub(crate) const OCTET_STRING: u8 = 0x04;

/// A subject alternative name, by the kind of GeneralName it is written as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AltName {
    /// A URI, for instance a SPIFFE id. ASCII only.
    Uri(String),
    /// A DNS name. ASCII only.
    Dns(String),
    /// An IP address.
    Ip(std::net::IpAddr),
}

/// Writes one X.509 Extension; `critical` is left out when false, as DER wants of a default.
pub fn write_extension(writer: DERWriter<'_>, oid: &[u64], critical: bool, value: &[u8]) {
    writer.write_sequence(|writer| {
        writer.next().write_oid(&ObjectIdentifier::from_slice(oid));
        if critical {
            writer.next().write_bool(true);
        }
        writer.next().write_bytes(value);
    });
}

/// The DER of a GeneralNames sequence.
pub fn alt_names(names: &[AltName]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            for name in names {
                write_alt_name(writer, name);
            }
        });
    })
}

fn write_alt_name(writer: &mut DERWriterSeq<'_>, name: &AltName) {
    let (tag, bytes) = match name {
        AltName::Uri(uri) => (GENERAL_NAME_URI, uri.as_bytes().to_vec()),
        AltName::Dns(name) => (GENERAL_NAME_DNS, name.as_bytes().to_vec()),
        AltName::Ip(std::net::IpAddr::V4(ip)) => (GENERAL_NAME_IP, ip.octets().to_vec()),
        AltName::Ip(std::net::IpAddr::V6(ip)) => (GENERAL_NAME_IP, ip.octets().to_vec()),
    };
    writer.next().write_tagged_implicit(Tag::context(tag), |writer| writer.write_bytes(&bytes));
}

/// Identifier and length octets of an element with `length` octets of content.
pub(crate) fn header(identifier: u8, length: usize) -> Vec<u8> {
    let octets: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|octet| *octet == 0).collect();
    match (octets.as_slice(), u8::try_from(octets.len())) {
        ([], _) => vec![identifier, 0],
        ([short @ 0..=0x7f], _) => vec![identifier, *short],
        (octets, count) => [&[identifier, 0x80 | count.unwrap_or(0x7f)], octets].concat(),
    }
}

/// A signed envelope: what was signed, the algorithm's identifier, the signature as a bit string.
pub fn signed(to_be_signed: &[u8], algorithm: crate::SignatureAlgorithm, signature: &[u8]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_der(to_be_signed);
            writer.next().write_der(algorithm.identifier_der());
            writer.next().write_bitvec_bytes(signature, signature.len() * 8);
        });
    })
}
