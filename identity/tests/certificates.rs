//! Certificates that are damaged, ambiguous or out of bounds: none of them may be read one way here and another
//! elsewhere.

// So that the linter takes the helpers here for tests, which they are.
#![cfg(test)]

use std::time::Duration;

use proptest::prelude::*;
use rcgen::{CertificateParams, CustomExtension};
use rsa::pkcs8::{DecodePrivateKey, EncodePublicKey};
use rustls_pki_types::CertificateDer;
use signet_identity::certificate::CERTIFICATE_MAX_BYTES;
use signet_identity::{Certificate, CertificateError, KeyError, Lifetime, PemError, Timestamp, TrustBundle, pem};
use signet_testkit::{TestCa, keys, knobs};
use webpki::EndEntityCert;

const NOW: Timestamp = Timestamp::from_unix_secs(1_790_000_000);
const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";
const SUBJECT_ALT_NAME: &[u64] = &[2, 5, 29, 17];

fn hour() -> Lifetime {
    Lifetime::new(NOW, NOW.plus(Duration::from_secs(3600))).unwrap()
}

/// A leaf for `WEB` as `change` leaves it.
fn leaf_with(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    TestCa::root("cluster.local").leaf(WEB, hour()).with(change).issue().der().to_vec()
}

fn check(name: &str, der: &[u8], wanted: CertificateError) {
    assert_eq!(Certificate::from_der(der).err(), Some(wanted), "{name}");
}

/// Replaces the alternative names by these, each an identifier octet and its content.
fn names(names: &[(u8, &[u8])]) -> impl FnOnce(&mut CertificateParams) {
    let element = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()], content].concat();
    let list: Vec<u8> = names.iter().flat_map(|(tag, content)| element(*tag, content)).collect();
    let extension = CustomExtension::from_oid_content(SUBJECT_ALT_NAME, element(0x30, &list));
    move |params| {
        params.subject_alt_names.clear();
        params.custom_extensions.push(extension);
    }
}

#[test]
fn every_fact_of_a_certificate_is_read() {
    let root = TestCa::root_with("cluster.local", knobs::path_len(3));
    let key = signet_identity::PrivateKey::generate_p384().unwrap();
    let leaf = root.leaf(WEB, hour()).for_key(key.public()).with(knobs::add_dns("web.shop.svc")).with(|params| {
        params.subject_alt_names.push(rcgen::SanType::IpAddress([10, 0, 0, 1].into()));
        params.subject_alt_names.push(rcgen::SanType::IpAddress([0, 0, 0, 0, 0, 0, 0, 1].into()));
    });
    let (leaf, root) = (leaf.issue().certificate(), root.certificate());
    assert_eq!(leaf.uris(), [WEB]);
    assert_eq!(leaf.workload_id().unwrap().as_str(), WEB);
    assert_eq!(leaf.dns_names(), ["web.shop.svc"]);
    assert_eq!(leaf.ip_addresses().iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.1", "::1"]);
    assert_eq!(leaf.public_key(), key.public());
    assert_eq!(leaf.lifetime(), hour());
    assert_eq!(leaf.authority_key_id(), root.subject_key_id());
    assert!(leaf.authority_key_id().is_some());
    assert_eq!((leaf.issuer_der(), leaf.is_self_issued()), (root.subject_der(), false));
    assert!(root.is_self_issued() && root.is_ca() && root.signs_certificates());
    assert_eq!((root.path_len(), leaf.path_len()), (Some(3), None));
    let usage = leaf.key_usage().unwrap();
    assert_eq!((usage.digital_signature, usage.key_cert_sign, usage.crl_sign), (true, false, false));
    let purposes = leaf.extended_key_usage().unwrap();
    assert!(purposes.server_auth && purposes.client_auth);
    assert_eq!(Certificate::list_from_pem(leaf.to_pem().as_bytes(), 4096).unwrap(), [leaf]);
}

#[test]
fn a_second_extension_of_the_same_kind_is_refused() {
    let twice = leaf_with(|params| {
        let names = [&[0x30, 2 + 37, 0x86, 37], WEB.as_bytes()].concat();
        params.custom_extensions.push(CustomExtension::from_oid_content(SUBJECT_ALT_NAME, names));
    });
    check("names twice", &twice, CertificateError::RepeatedExtension);
    let constraints = CustomExtension::from_oid_content(&[2, 5, 29, 19], vec![0x30, 3, 1, 1, 0xff]);
    let twice = leaf_with(|params| params.custom_extensions.push(constraints));
    check("basic constraints twice", &twice, CertificateError::RepeatedExtension);
}

#[test]
fn names_that_two_readers_could_read_differently_are_refused() {
    let web = WEB.as_bytes();
    let latin_1 = [web, &[0xe9]].concat();
    check("a URI that is not UTF-8", &leaf_with(names(&[(0x86, web), (0x86, &latin_1)])), CertificateError::Malformed);
    check("a URI marked as a structure", &leaf_with(names(&[(0xa6, &[0x05, 0x00])])), CertificateError::Malformed);
    check("a name of no known kind", &leaf_with(names(&[(0x86, web), (0x89, b"x")])), CertificateError::Malformed);
    check("a name outside its class", &leaf_with(names(&[(0x16, web)])), CertificateError::Malformed);
    check("an address of five octets", &leaf_with(names(&[(0x87, &[1, 2, 3, 4, 5])])), CertificateError::Malformed);
    check("a DNS name that is not UTF-8", &leaf_with(names(&[(0x82, &[0xff])])), CertificateError::Malformed);
    let utf_8 = "spiffe://cluster.local/caf\u{e9}";
    let beyond_ascii = Certificate::from_der(&leaf_with(names(&[(0x86, utf_8.as_bytes())]))).unwrap();
    assert!(beyond_ascii.workload_id().is_err());
}

#[test]
fn an_extension_that_cannot_be_read_is_refused() {
    for (oid, value) in [
        (SUBJECT_ALT_NAME, vec![0x30, 1, 0x86]),
        (SUBJECT_ALT_NAME, vec![0x04, 0]),
        (SUBJECT_ALT_NAME, vec![0x30, 0, 0x05, 0x00]),
        (&[2, 5, 29, 19], vec![0x30, 3, 1, 1, 1]),
        (&[2, 5, 29, 19], vec![0x30, 0x80, 0, 0]),
        (&[2, 5, 29, 15], vec![0x04, 2, 7, 0x80]),
        (&[2, 5, 29, 37], vec![0x30, 2, 6, 0]),
    ] {
        let der = leaf_with(|params| {
            params.subject_alt_names.clear();
            params.is_ca = rcgen::IsCa::NoCa;
            params.key_usages.clear();
            params.extended_key_usages.clear();
            params.custom_extensions.push(CustomExtension::from_oid_content(oid, value.clone()));
        });
        check(&format!("{oid:?} {value:02x?}"), &der, CertificateError::Malformed);
    }
}

#[test]
fn serials_are_bounded_and_not_negative() {
    let serial = |octets: &[u8]| {
        let octets = octets.to_vec();
        leaf_with(move |params| params.serial_number = Some(octets.into()))
    };
    assert_eq!(Certificate::from_der(&serial(&[0])).unwrap().serial().to_string(), "00");
    assert_eq!(Certificate::from_der(&serial(&[0x7f; 20])).unwrap().serial().to_string(), "7f".repeat(20));
    assert_eq!(Certificate::from_der(&serial(&[0xff; 16])).unwrap().serial().to_string(), "ff".repeat(16));
    check("21 octets", &serial(&[0x7f; 21]), CertificateError::Serial);
    let mut negative = serial(&[0x7f, 0x5a, 0x5a, 0x5a, 0x5a]);
    let at = negative.windows(5).position(|window| window == [0x7f, 0x5a, 0x5a, 0x5a, 0x5a]).unwrap();
    negative[at] = 0xff;
    check("negative", &negative, CertificateError::Serial);
}

#[test]
fn a_validity_that_ends_before_it_begins_is_refused() {
    let der = leaf_with(|params| std::mem::swap(&mut params.not_before, &mut params.not_after));
    check("swapped", &der, CertificateError::Validity);
}

#[test]
fn weak_keys_are_refused() {
    let weak = rsa::RsaPrivateKey::from_pkcs8_der(&keys::new_rsa_pkcs8(1024)).unwrap();
    let spki = weak.to_public_key().to_public_key_der().unwrap();
    let issued = TestCa::root("cluster.local").leaf(WEB, hour()).for_spki(spki.as_bytes()).issue();
    check("RSA-1024", issued.der(), KeyError::RsaSize { bits: 1024 }.into());
}

#[test]
fn size_and_surroundings_are_bounded() {
    let leaf = leaf_with(|_| {});
    check("followed by an octet", &[leaf.as_slice(), &[0]].concat(), CertificateError::Malformed);
    check("cut short", &leaf[..leaf.len() - 1], CertificateError::Malformed);
    check("nothing", &[], CertificateError::Malformed);
    let actual = CERTIFICATE_MAX_BYTES + 1;
    check("too large", &vec![0x30; actual], CertificateError::TooLarge { actual });
    let text = pem::encode("CERTIFICATE", &leaf);
    let list = |text: &str, max| Certificate::list_from_pem(text.as_bytes(), max);
    assert_eq!(list(&text.repeat(3), 1 << 16).unwrap().len(), 3);
    let too_large = PemError::TooLarge { actual: text.len(), max: text.len() - 1 };
    assert_eq!(list(&text, text.len() - 1).err(), Some(too_large.into()));
    let with_key = format!("{text}{}", pem::encode("PRIVATE KEY", b"x"));
    assert_eq!(list(&with_key, 1 << 16).err(), Some(PemError::WrongKind { wanted: "CERTIFICATE" }.into()));
}

/// A root and a leaf below it that all of these changes are made to.
fn pair() -> (TrustBundle, Vec<u8>) {
    let root = TestCa::root("cluster.local");
    let leaf = root.leaf(WEB, hour()).with(knobs::add_dns("web.shop.svc")).issue();
    (root.bundle(), leaf.der().to_vec())
}

#[test]
fn no_single_bit_of_a_leaf_can_be_turned() {
    let (bundle, leaf) = pair();
    assert!(bundle.verify(&[Certificate::from_der(&leaf).unwrap()], NOW).is_ok());
    for bit in 0..leaf.len() * 8 {
        let mut turned = leaf.clone();
        turned[bit / 8] ^= 1 << (bit % 8);
        let trusted = Certificate::from_der(&turned).is_ok_and(|leaf| bundle.verify(&[leaf], NOW).is_ok());
        assert!(!trusted, "bit {bit} of {turned:02x?}");
    }
}

/// The URI names that another reader sees, where it takes `der` for a certificate.
fn uris_elsewhere(der: &[u8]) -> Option<Vec<String>> {
    let der = CertificateDer::from(der);
    let certificate = EndEntityCert::try_from(&der).ok()?;
    Some(certificate.valid_uri_names().map(str::to_owned).collect())
}

#[test]
fn another_reader_sees_the_same_uri_names_in_every_leaf_with_a_turned_bit() {
    let (_, leaf) = pair();
    let mut compared = 0;
    for bit in 0..leaf.len() * 8 {
        let mut turned = leaf.clone();
        turned[bit / 8] ^= 1 << (bit % 8);
        if let (Ok(ours), Some(theirs)) = (Certificate::from_der(&turned), uris_elsewhere(&turned)) {
            assert_eq!(ours.uris(), theirs, "bit {bit} of {turned:02x?}");
            compared += 1;
        }
    }
    assert!(compared > 100, "only {compared} damaged leaves were taken by both readers");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn an_edited_leaf_is_never_trusted_and_never_a_panic(
        at in any::<usize>(), cut in 0usize..30, put in prop::collection::vec(any::<u8>(), 0..30),
    ) {
        let (bundle, leaf) = shared_pair();
        let at = at % (leaf.len() + 1);
        let end = (at + cut).min(leaf.len());
        let edited = [&leaf[..at], put.as_slice(), &leaf[end..]].concat();
        if let Ok(certificate) = Certificate::from_der(&edited)
            && bundle.verify(&[certificate], NOW).is_ok()
        {
            prop_assert_eq!(&edited, leaf);
        }
        let _ = Certificate::list_from_pem(pem::encode("CERTIFICATE", &edited).as_bytes(), 1 << 16);
    }

    #[test]
    fn names_made_at_random_are_refused_or_read_as_elsewhere(
        list in prop::collection::vec((prop::sample::select(vec![0x82u8, 0x86, 0x86, 0x87, 0x81, 0xa4, 0xa6]),
            "(spiffe://td/[a-z]{0,4})?[ -~]{0,6}"), 0..4),
    ) {
        let list: Vec<(u8, &[u8])> = list.iter().map(|(tag, text)| (*tag, text.as_bytes())).collect();
        let der = leaf_with(names(&list));
        if let (Ok(ours), Some(theirs)) = (Certificate::from_der(&der), uris_elsewhere(&der)) {
            prop_assert_eq!(ours.uris(), theirs);
        }
    }
}

fn shared_pair() -> &'static (TrustBundle, Vec<u8>) {
    static PAIR: std::sync::OnceLock<(TrustBundle, Vec<u8>)> = std::sync::OnceLock::new();
    PAIR.get_or_init(pair)
}
