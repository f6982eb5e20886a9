//! Which octets are DER, and which documents have the elements they should.

use super::element::DEPTH_MAX;
use super::*;
use crate::csr;
use crate::{Certificate, PrivateKey};
use proptest::prelude::*;

fn check(octets: &[u8], is_der: bool) {
    assert_eq!(only(octets).is_some(), is_der, "{octets:02x?}");
}

#[test]
fn lengths_have_one_spelling() {
    check(&[0x04, 0x00], true);
    check(&[0x04, 0x01, 0xaa], true);
    check(&[[0x04, 0x81, 0x80].as_slice(), &[0; 0x80]].concat(), true);
    check(&[[0x04, 0x82, 0x01, 0x00].as_slice(), &[0; 0x100]].concat(), true);
    check(&[0x04, 0x81, 0x01, 0xaa], false);
    check(&[[0x04, 0x81, 0x7f].as_slice(), &[0; 0x7f]].concat(), false);
    check(&[[0x04, 0x82, 0x00, 0x80].as_slice(), &[0; 0x80]].concat(), false);
    check(&[0x30, 0x80, 0x00, 0x00], false);
    check(&[0x04, 0xff], false);
    check(&[0x04, 0x84, 0x00, 0x00, 0x00, 0x01, 0xaa], false);
}

#[test]
fn an_element_that_is_cut_short_or_followed_is_not_one() {
    for octets in [&[] as &[u8], &[0x04], &[0x04, 0x01], &[0x04, 0x82, 0x01], &[0x04, 0x00, 0x00]] {
        check(octets, false);
    }
}

#[test]
fn values_have_one_spelling() {
    let values: &[(&[u8], bool)] = &[
        (&[0x01, 0x01, 0xff], true),
        (&[0x01, 0x01, 0x00], true),
        (&[0x01, 0x01, 0x01], false),
        (&[0x01, 0x00], false),
        (&[0x02, 0x01, 0x00], true),
        (&[0x02, 0x02, 0x00, 0x80], true),
        (&[0x02, 0x01, 0x80], true),
        (&[0x02, 0x00], false),
        (&[0x02, 0x02, 0x00, 0x7f], false),
        (&[0x02, 0x02, 0xff, 0x80], false),
        (&[0x03, 0x01, 0x00], true),
        (&[0x03, 0x02, 0x07, 0x80], true),
        (&[0x03, 0x00], false),
        (&[0x03, 0x01, 0x01], false),
        (&[0x03, 0x02, 0x07, 0xc0], false),
        (&[0x03, 0x02, 0x08, 0x00], false),
        (&[0x05, 0x00], true),
        (&[0x05, 0x01, 0x00], false),
        (&[0x06, 0x01, 0x2a], true),
        (&[0x06, 0x00], false),
        (&[0x06, 0x02, 0x2a, 0x86], false),
    ];
    for (octets, is_der) in values {
        check(octets, *is_der);
    }
}

#[test]
fn tags_have_one_spelling() {
    check(&[0x1f, 0x1f, 0x00], false);
    check(&[0x00, 0x00], false);
    check(&[0x10, 0x00], false);
    check(&[0x24, 0x02, 0x04, 0x00], false);
    check(&[0xa0, 0x02, 0x05, 0x00], true);
    check(&[0xa0, 0x01, 0x05], false);
}

#[test]
fn nesting_is_bounded() {
    let nested =
        |levels: usize| (0..levels).fold(vec![0x05, 0x00], |inner, _| [der_header(inner.len()), inner].concat());
    check(&nested(DEPTH_MAX), true);
    check(&nested(DEPTH_MAX + 1), false);
}

fn der_header(length: usize) -> Vec<u8> {
    crate::der::header(SEQUENCE, length)
}

#[test]
fn rsa_keys_are_two_positive_numbers() {
    let check = |der: &[u8], wanted: Option<(&[u8], &[u8])>| assert_eq!(rsa_public_key(der), wanted, "{der:02x?}");
    check(&[0x30, 6, 2, 1, 5, 2, 1, 3], Some((&[5], &[3])));
    check(&[0x30, 7, 2, 2, 0, 0x85, 2, 1, 3], Some((&[0x85], &[3])));
    check(&[0x30, 6, 2, 1, 0x85, 2, 1, 3], None);
    check(&[0x30, 6, 2, 1, 0, 2, 1, 3], None);
    check(&[0x30, 9, 2, 1, 5, 2, 1, 3, 2, 1, 1], None);
    check(&[0x30, 3, 2, 1, 5], None);
}

/// `der` with `extra` put at the end of the element that `path` leads to, every length above made right again.
fn grown(der: &[u8], path: &[usize], extra: &[u8]) -> Vec<u8> {
    let (element, _) = first(der).unwrap();
    let content = match path.split_first() {
        None => [element.content, extra].concat(),
        Some((&index, path)) => all(element.content)
            .unwrap()
            .iter()
            .enumerate()
            .flat_map(|(at, child)| if at == index { grown(child.whole, path, extra) } else { child.whole.to_vec() })
            .collect(),
    };
    [crate::der::header(element.tag, content.len()), content].concat()
}

const NULL_ELEMENT: &[u8] = &[0x05, 0x00];

#[test]
fn a_request_with_an_element_too_many_is_refused_wherever_it_stands() {
    let id = "spiffe://cluster.local/ns/shop/sa/web".parse().unwrap();
    let text = csr::create(&PrivateKey::generate_p256().unwrap(), &id).unwrap();
    let der = crate::pem::decode(text.as_bytes(), 4096).unwrap().remove(0).der;
    assert!(request(&der).is_ok());
    let (whole, info, attributes, attribute, values) = ([], [0], [0, 3], [0, 3, 0], [0, 3, 0, 1]);
    let (extensions, extension) = ([0, 3, 0, 1, 0], [0, 3, 0, 1, 0, 0]);
    for path in [&whole as &[usize], &info, &attributes, &attribute, &values, &extensions, &extension] {
        assert_eq!(request(&grown(&der, path, NULL_ELEMENT)), Err(Malformed), "{path:?}");
    }
}

fn certificate() -> Vec<u8> {
    let uri = rcgen::SanType::URI("spiffe://cluster.local/ns/shop/sa/web".try_into().unwrap());
    let mut params = rcgen::CertificateParams::default();
    params.subject_alt_names = vec![uri];
    params.is_ca = rcgen::IsCa::ExplicitNoCa;
    params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

#[test]
fn a_certificate_with_an_element_too_many_is_refused_wherever_it_stands() {
    let der = certificate();
    assert_eq!(check_certificate(&der), Ok(()));
    let (whole, signed, validity, wrapper) = ([], [0], [0, 4], [0, 7]);
    let (extensions, extension) = ([0, 7, 0], [0, 7, 0, 0]);
    for path in [&whole as &[usize], &signed, &validity, &wrapper, &extensions, &extension] {
        assert_eq!(check_certificate(&grown(&der, path, NULL_ELEMENT)), Err(Malformed), "{path:?}");
    }
}

#[test]
fn a_certificate_says_twice_by_which_algorithm_it_was_signed() {
    let outer_algorithm_differs = grown(&certificate(), &[1], NULL_ELEMENT);
    assert_eq!(check_certificate(&outer_algorithm_differs), Err(Malformed));
}

#[test]
fn a_validity_that_is_not_in_whole_seconds_of_utc_is_refused() {
    let check = |from: &[u8], to: &[u8], wanted: bool| {
        let content = [&[from[0], 13], &from[1..], &[to[0], 15], &to[1..]].concat();
        let der = [der_header(content.len()), content].concat();
        assert_eq!(is_validity(&only(&der).unwrap()), wanted, "{}", String::from_utf8_lossy(&der));
    };
    check(b"\x17200101000000Z", b"\x1820500101000000Z", true);
    check(b"\x182020010100Z..", b"\x1820500101000000Z", false);
    check(b"\x1720010100+0100", b"\x1820500101000000Z", false);
    check(b"\x17200101000000Z", b"\x18205001010000.5Z", false);
    check(b"\x17200101000000Z", b"\x1720500101000000Z", false);
    check(b"\x17200101000000Z", b"\x132050010100000aZ", false);
}

#[test]
fn a_signature_of_half_octets_is_refused() {
    let mut der = certificate();
    let (outer, _) = first(&der).unwrap();
    let signature = all(outer.content).unwrap()[2];
    let unused_bits = der.len() - signature.content.len();
    let last = der.len() - 1;
    der[unused_bits] = 1;
    der[last] &= 0xfe;
    assert!(only(&der).is_some());
    assert_eq!(check_certificate(&der), Err(Malformed));
}

#[test]
fn certificates_before_version_3_are_refused() {
    let der = certificate();
    let version = der.windows(5).position(|window| window == [0xa0, 3, 2, 1, 2]).unwrap();
    let mut second = der.clone();
    second[version + 4] = 1;
    assert_eq!(check_certificate(&second), Err(Version));
    let first_has_no_version_field = {
        let (outer, _) = first(&der).unwrap();
        let parts = all(outer.content).unwrap();
        let fields = parts[0].content[5..].to_vec();
        let signed = [der_header(fields.len()), fields].concat();
        let content = [signed.as_slice(), parts[1].whole, parts[2].whole].concat();
        [der_header(content.len()), content].concat()
    };
    assert_eq!(check_certificate(&first_has_no_version_field), Err(Version));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_octets_make_the_checks_panic(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = only(&octets);
        let _ = public_key(&octets);
        let _ = rsa_public_key(&octets);
        let _ = request(&octets);
        let _ = Certificate::from_der(&octets);
    }

    #[test]
    fn what_is_der_is_made_of_its_elements(octets in prop::collection::vec(any::<u8>(), 0..60)) {
        let octets = [crate::der::header(SEQUENCE, octets.len()), octets].concat();
        if let Some(element) = only(&octets) {
            let parts: Vec<u8> = all(element.content).unwrap().iter().flat_map(|part| part.whole.to_vec()).collect();
            prop_assert_eq!(parts, element.content);
            prop_assert_eq!(element.whole, octets.as_slice());
        }
    }
}

#[test]
fn extensions_are_few_so_that_looking_for_doubles_costs_little() {
    let extension = |number: u8| [&[0x30, 0x07, 0x06, 0x03, 0x2a, 0x03, number, 0x04, 0x00] as &[u8]].concat();
    let list = |count: u8| {
        let content: Vec<u8> = (0..count).flat_map(extension).collect();
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[0x30, 0x82], length.as_slice(), &content].concat()
    };
    assert_eq!(check_extensions(&list(64)), Ok(()));
    assert_eq!(check_extensions(&list(65)), Err(Malformed));
}
