//! The certificates as other encoders and parsers see them.

use std::time::Duration;

use signet_identity::PrivateKey;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;

const NOW: Timestamp = Timestamp::from_unix_secs(1_700_000_000);

/// A leaf's or a root's to-be-signed part in an envelope that parses; the signature in it is none.
fn parsed(to_be_signed: &[u8], check: impl FnOnce(&X509Certificate<'_>)) {
    let der = der::signed(to_be_signed, SignatureAlgorithm::EcdsaP256Sha256, &[0; 8]);
    let (rest, certificate) = X509Certificate::from_der(&der).unwrap();
    assert!(rest.is_empty());
    check(&certificate);
}

/// Object identifier, criticality and value of each extension, in order.
fn extensions(certificate: &X509Certificate<'_>) -> Vec<(String, bool, Vec<u8>)> {
    let of = certificate.extensions().iter();
    of.map(|extension| (extension.oid.to_id_string(), extension.critical, extension.value.to_vec())).collect()
}

fn lifetime() -> Lifetime {
    Lifetime::new(NOW, NOW.plus(Duration::from_secs(60))).unwrap()
}

const ISSUER: &[u8] = &[0x30, 0x0d, 0x31, 0x0b, 0x30, 0x09, 0x06, 0x03, 0x55, 0x04, 0x0a, 0x0c, 0x02, b'x', b'y'];

fn leaf_with(issuer_key_id: Option<&[u8]>, common_name: Option<&str>, check: impl FnOnce(&X509Certificate<'_>)) {
    let (key, serial) = (PrivateKey::generate_p256().unwrap(), Serial::generate().unwrap());
    let names = [AltName::Uri("spiffe://td/a".to_owned())];
    let der = leaf(&Leaf {
        serial: &serial,
        algorithm: SignatureAlgorithm::EcdsaP256Sha256,
        issuer_der: ISSUER,
        issuer_key_id,
        common_name,
        names: &names,
        lifetime: lifetime(),
        public_key: key.public(),
        known_since: None,
    });
    parsed(&der, |certificate| {
        assert_eq!(certificate.raw_serial(), serial.as_der_content());
        assert_eq!(certificate.public_key().raw, key.public().spki_der());
        check(certificate);
    });
}

#[test]
fn a_leaf_holds_istios_extensions_in_istios_order_byte_for_byte() {
    let uri = [&[0x30, 0x0f, 0x86, 0x0d], b"spiffe://td/a".as_slice()].concat();
    leaf_with(Some(&[1, 2, 3]), None, |certificate| {
        let both_purposes = [
            &[0x30, 0x14][..],
            b"\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01",
            b"\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02",
        ];
        let wanted = [
            ("2.5.29.15", true, vec![0x03, 0x02, 0x05, 0xa0]),
            ("2.5.29.37", false, both_purposes.concat()),
            ("2.5.29.19", true, vec![0x30, 0x00]),
            ("2.5.29.35", false, vec![0x30, 0x05, 0x80, 0x03, 1, 2, 3]),
            ("2.5.29.17", true, uri.clone()),
        ];
        assert_eq!(extensions(certificate), wanted.map(|(oid, critical, value)| (oid.to_owned(), critical, value)));
        assert_eq!(certificate.version().0, 2);
        assert_eq!(certificate.issuer().as_raw(), ISSUER);
        assert_eq!(certificate.subject().as_raw(), [0x30, 0x00]);
        assert_eq!(certificate.validity().not_before.timestamp(), NOW.unix_secs());
        assert_eq!(certificate.validity().not_after.timestamp(), NOW.unix_secs() + 60);
    });
}

#[test]
fn a_leaf_of_an_issuer_without_key_id_names_none() {
    leaf_with(None, None, |certificate| {
        let oids: Vec<_> = extensions(certificate).into_iter().map(|(oid, ..)| oid).collect();
        assert_eq!(oids, ["2.5.29.15", "2.5.29.37", "2.5.29.19", "2.5.29.17"]);
    });
}

#[test]
fn a_common_name_is_the_whole_subject() {
    leaf_with(None, Some("spiffe://td/a"), |certificate| {
        assert_eq!(certificate.subject().to_string(), "CN=spiffe://td/a");
        assert_eq!(certificate.subject().iter_attributes().count(), 1);
    });
}

#[test]
fn a_root_may_sign_certificates_and_revocation_lists_and_nothing_else() {
    let (key, serial) = (PrivateKey::generate_p256().unwrap(), Serial::generate().unwrap());
    let der = root(&Root {
        serial: &serial,
        algorithm: SignatureAlgorithm::EcdsaP256Sha256,
        common_name: "generation",
        organization: Some("td"),
        names: &[AltName::Uri("spiffe://td".to_owned())],
        lifetime: lifetime(),
        public_key: key.public(),
        key_id: &[7; 20],
    });
    parsed(&der, |certificate| {
        let wanted = [
            ("2.5.29.15", true, vec![0x03, 0x02, 0x01, 0x06]),
            ("2.5.29.19", true, vec![0x30, 0x03, 0x01, 0x01, 0xff]),
            ("2.5.29.14", false, [&[0x04, 20][..], &[7; 20]].concat()),
            ("2.5.29.17", false, [&[0x30, 0x0d, 0x86, 0x0b], b"spiffe://td".as_slice()].concat()),
        ];
        assert_eq!(extensions(certificate), wanted.map(|(oid, critical, value)| (oid.to_owned(), critical, value)));
        assert_eq!(certificate.subject().to_string(), "O=td, CN=generation");
        assert_eq!(certificate.subject().as_raw(), certificate.issuer().as_raw());
    });
}

fn check_time(secs: i64, wanted: &[u8]) {
    let der = yasna::construct_der(|writer| write_time(writer, Timestamp::from_unix_secs(secs)));
    assert_eq!(der, wanted, "{secs}");
}

#[test]
fn times_are_written_short_through_2049_and_long_from_2050() {
    check_time(0, b"\x17\x0d700101000000Z");
    check_time(1_700_000_000, b"\x17\x0d231114221320Z");
    check_time(2_524_607_999, b"\x17\x0d491231235959Z");
    check_time(2_524_608_000, b"\x18\x0f20500101000000Z");
    check_time(253_402_300_799, b"\x18\x0f99991231235959Z");
}
