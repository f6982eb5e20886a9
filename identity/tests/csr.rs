//! Certificate requests as other programs make them, sound and hostile, and the requests that Signet makes itself.

// So that the linter takes the helpers here for tests, which they are.
#![cfg(test)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CustomExtension, DistinguishedName, IsCa,
    KeyPair, SanType,
};
use signet_identity::csr::{Asked, CSR_DER_MAX_BYTES, CSR_PEM_MAX_BYTES};
use signet_identity::{CsrError, KeyAlgorithm, KeyError, PemError, PrivateKey, SpiffeId, VerifiedCsr, csr, pem};
use signet_testkit::keys;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";
const ADMIN: &str = "spiffe://cluster.local/ns/kube-system/sa/admin";
const ORDERS: &str = "spiffe://cluster.local/ns/shop/sa/orders";

/// What becomes of a fixture: a verified key of this kind and what was asked for beside it, or a refusal.
type Outcome = Result<(KeyAlgorithm, Asked), CsrError>;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../certs/fixtures/csr")
}

fn asked_for(uris: &[&str]) -> Asked {
    Asked { uris: uris.iter().map(|uri| (*uri).to_owned()).collect(), ..Asked::default() }
}

fn web_only() -> Asked {
    asked_for(&[WEB])
}

fn with_another_name() -> Asked {
    Asked { other_names: 1, ..web_only() }
}

fn mismatch(key: KeyAlgorithm, oid: &str) -> Outcome {
    Err(CsrError::SignatureAlgorithm { key, oid: oid.to_owned() })
}

/// Every file of the folder, and what must become of it.
fn table() -> Vec<(&'static str, Outcome)> {
    use KeyAlgorithm::{EcP256, EcP384, Ed25519, Rsa};
    let rsa_2048 = Rsa { bits: 2048 };
    vec![
        ("p256.pem", Ok((EcP256, web_only()))),
        ("p256.der", Ok((EcP256, web_only()))),
        ("p384.pem", Ok((EcP384, web_only()))),
        ("rsa-2048.pem", Ok((rsa_2048, web_only()))),
        ("rsa-4096.pem", Ok((Rsa { bits: 4096 }, web_only()))),
        ("ed25519.pem", Ok((Ed25519, web_only()))),
        ("empty-organization.pem", Ok((EcP256, Asked::default()))),
        ("rsa-1024.pem", Err(KeyError::RsaSize { bits: 1024 }.into())),
        ("rsa-8192.pem", Err(KeyError::RsaSize { bits: 8192 }.into())),
        ("rsa-exponent-3.pem", Err(KeyError::RsaExponent.into())),
        ("rsa-2048-sha1.pem", mismatch(rsa_2048, "1.2.840.113549.1.1.5")),
        ("rsa-2048-pss.pem", mismatch(rsa_2048, "1.2.840.113549.1.1.10")),
        ("p256-sha384.pem", mismatch(EcP256, "1.2.840.10045.4.3.3")),
        ("p384-sha256.pem", mismatch(EcP384, "1.2.840.10045.4.3.2")),
        ("p521.pem", Err(KeyError::Algorithm.into())),
        ("p256-explicit-parameters.pem", Err(KeyError::Algorithm.into())),
        ("bad-signature.pem", Err(CsrError::Signature)),
        ("bad-signature.der", Err(CsrError::Signature)),
        ("asks-for-ca.pem", Ok((EcP256, Asked { ca: true, ..web_only() }))),
        ("asks-for-another-id.pem", Ok((EcP256, asked_for(&[ADMIN])))),
        ("asks-for-two-uris.pem", Ok((EcP256, asked_for(&[WEB, ORDERS])))),
        ("asks-for-dns-name.pem", Ok((EcP256, with_another_name()))),
        ("asks-for-ip-address.pem", Ok((EcP256, with_another_name()))),
        ("asks-for-email.pem", Ok((EcP256, with_another_name()))),
        ("common-name-only.pem", Ok((EcP256, Asked { common_name: true, ..Asked::default() }))),
        ("long-common-name.pem", Ok((EcP256, Asked { common_name: true, ..Asked::default() }))),
        ("challenge-password.pem", Ok((EcP256, Asked::default()))),
        ("trailing-bytes.pem", Err(CsrError::TrailingBytes { count: 4 })),
        ("trailing-bytes.der", Err(CsrError::TrailingBytes { count: 4 })),
        ("cut-short.pem", Err(CsrError::Malformed)),
        ("cut-short.der", Err(CsrError::Malformed)),
        ("two-blocks.pem", Err(CsrError::SeveralBlocks { count: 2 })),
        ("text-around.pem", Ok((EcP256, web_only()))),
        ("old-block-type.pem", Err(PemError::WrongKind { wanted: "CERTIFICATE REQUEST" }.into())),
        ("certificate.pem", Err(PemError::WrongKind { wanted: "CERTIFICATE REQUEST" }.into())),
        ("not-pem.pem", Err(PemError::NoBlock.into())),
        ("empty.pem", Err(PemError::NoBlock.into())),
    ]
}

fn read(file: &str) -> Result<VerifiedCsr, CsrError> {
    let bytes = std::fs::read(fixtures().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    if file.ends_with(".der") { VerifiedCsr::from_der(&bytes) } else { VerifiedCsr::from_pem(&bytes) }
}

fn outcome(csr: Result<VerifiedCsr, CsrError>) -> Outcome {
    csr.map(|csr| (csr.public_key().algorithm(), csr.asked().clone()))
}

#[test]
fn every_fixture_comes_out_as_the_table_says() {
    for (file, wanted) in table() {
        assert_eq!(outcome(read(file)), wanted, "{file}");
    }
}

#[test]
fn every_file_of_the_folder_is_in_the_table() {
    let known: BTreeSet<String> = table().iter().map(|(file, _)| (*file).to_owned()).collect();
    let there: BTreeSet<String> =
        std::fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(there, known);
}

#[test]
fn both_encodings_of_a_request_hold_the_same_key() {
    assert_eq!(read("p256.pem").unwrap().public_key(), read("p256.der").unwrap().public_key());
}

fn key_pair(key: &PrivateKey) -> KeyPair {
    KeyPair::try_from(key.to_pkcs8().as_slice()).unwrap()
}

/// A key of every kind that is accepted.
fn keys_of_every_kind() -> Vec<PrivateKey> {
    let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_der();
    vec![
        PrivateKey::generate_p256().unwrap(),
        PrivateKey::generate_p384().unwrap(),
        keys::rsa_2048(),
        PrivateKey::from_pkcs8(ed25519.into()).unwrap(),
    ]
}

fn asking(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    change(&mut params);
    params
}

#[test]
fn a_request_by_another_encoder_gives_the_key_that_signed_it() {
    for key in keys_of_every_kind() {
        let params = asking(|params| params.subject_alt_names = vec![SanType::URI(WEB.try_into().unwrap())]);
        let request = params.serialize_request(&key_pair(&key)).unwrap();
        let verified = VerifiedCsr::from_pem(request.pem().unwrap().as_bytes()).unwrap();
        assert_eq!(verified.public_key(), key.public());
        assert_eq!(verified.asked(), &web_only());
    }
}

#[test]
fn whatever_a_request_asks_for_is_told_and_only_told() {
    let params = asking(|params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.subject_alt_names = vec![
            SanType::URI(WEB.try_into().unwrap()),
            SanType::URI("https://example.org".try_into().unwrap()),
            SanType::DnsName("web.shop".try_into().unwrap()),
            SanType::IpAddress([10, 0, 0, 1].into()),
        ];
        params.distinguished_name.push(rcgen::DnType::CommonName, "web");
    });
    let request = params.serialize_request(&KeyPair::generate().unwrap()).unwrap();
    let wanted = Asked {
        uris: vec![WEB.to_owned(), "https://example.org".to_owned()],
        other_names: 2,
        ca: true,
        common_name: true,
    };
    assert_eq!(VerifiedCsr::from_der(request.der()).unwrap().asked(), &wanted);
}

#[test]
fn our_own_requests_are_accepted_by_other_parsers() {
    let id: SpiffeId = WEB.parse().unwrap();
    for key in keys_of_every_kind() {
        let text = csr::create(&key, &id).unwrap();
        assert_eq!(outcome(VerifiedCsr::from_pem(text.as_bytes())), Ok((key.public().algorithm(), web_only())));

        let rcgen = CertificateSigningRequestParams::from_pem(&text).unwrap();
        assert_eq!(rcgen.params.subject_alt_names, [SanType::URI(WEB.try_into().unwrap())]);
        assert_eq!(rcgen.params.is_ca, IsCa::NoCa);

        let der = pem::decode(text.as_bytes(), CSR_PEM_MAX_BYTES).unwrap().remove(0).der;
        let (rest, parsed) = X509CertificationRequest::from_der(&der).unwrap();
        assert!(rest.is_empty());
        parsed.verify_signature().unwrap();
        assert_eq!(parsed.certification_request_info.subject.as_raw(), [0x30, 0]);
    }
}

#[test]
fn no_single_bit_of_a_request_can_be_turned() {
    let id: SpiffeId = WEB.parse().unwrap();
    for key in keys_of_every_kind() {
        let text = csr::create(&key, &id).unwrap();
        let der = pem::decode(text.as_bytes(), CSR_PEM_MAX_BYTES).unwrap().remove(0).der;
        for bit in 0..der.len() * 8 {
            let mut turned = der.to_vec();
            turned[bit / 8] ^= 1 << (bit % 8);
            assert!(VerifiedCsr::from_der(&turned).is_err(), "{key:?}: bit {bit} of {turned:02x?}");
        }
    }
}

#[test]
fn extensions_asked_for_twice_are_refused() {
    let san = |uri: &str| {
        let name = [&[0x86, u8::try_from(uri.len()).unwrap()], uri.as_bytes()].concat();
        let names = [&[0x30, u8::try_from(name.len()).unwrap()], name.as_slice()].concat();
        CustomExtension::from_oid_content(&[2, 5, 29, 17], names)
    };
    let params = asking(|params| params.custom_extensions = vec![san(WEB), san(ADMIN)]);
    let request = params.serialize_request(&KeyPair::generate().unwrap()).unwrap();
    assert_eq!(VerifiedCsr::from_der(request.der()).err(), Some(CsrError::Repeated));
}

#[test]
fn a_second_list_of_extensions_is_refused() {
    let params = asking(|params| params.subject_alt_names = vec![SanType::URI(WEB.try_into().unwrap())]);
    let empty_list = rcgen::Attribute { oid: &[1, 2, 840, 113_549, 1, 9, 14], values: vec![0x31, 2, 0x30, 0] };
    let request = params.serialize_request_with_attributes(&KeyPair::generate().unwrap(), vec![empty_list]).unwrap();
    assert_eq!(VerifiedCsr::from_der(request.der()).err(), Some(CsrError::Repeated));
}

#[test]
fn an_ed25519_key_that_anybody_can_sign_for_is_refused() {
    // The neutral point as key and as R, and zero as s, satisfy the equation for any message at all.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let key = [&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0], neutral.as_slice()].concat();
    let info_content = [&[0x02, 1, 0, 0x30, 0], key.as_slice(), &[0xa0, 0]].concat();
    let info = [&[0x30, u8::try_from(info_content.len()).unwrap()], info_content.as_slice()].concat();
    let signature = [neutral, [0; 32]].concat();
    let verifier = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, neutral);
    verifier.verify(&info, &signature).expect("the library should fall for it, or this check is not needed");

    let content = [info.as_slice(), &[0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x41, 0], &signature].concat();
    assert!(content.len() < 0x80);
    let request = [&[0x30, u8::try_from(content.len()).unwrap()], content.as_slice()].concat();
    assert_eq!(VerifiedCsr::from_der(&request).err(), Some(KeyError::SmallOrder.into()));
}

#[test]
fn requests_over_the_bounds_are_refused_unread() {
    let too_large = PemError::TooLarge { actual: CSR_PEM_MAX_BYTES + 1, max: CSR_PEM_MAX_BYTES };
    assert_eq!(VerifiedCsr::from_pem(&vec![b'\n'; CSR_PEM_MAX_BYTES + 1]).err(), Some(too_large.into()));
    let wanted = CsrError::TooLarge { actual: CSR_DER_MAX_BYTES + 1 };
    assert_eq!(VerifiedCsr::from_der(&vec![0; CSR_DER_MAX_BYTES + 1]).err(), Some(wanted));
}

/// A change to a run of bytes: cut `cut` of them out at `at`, put `put` in instead.
fn edited(bytes: &[u8], at: usize, cut: usize, put: &[u8]) -> Vec<u8> {
    let at = at % (bytes.len() + 1);
    let end = (at + cut).min(bytes.len());
    [&bytes[..at], put, &bytes[end..]].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = VerifiedCsr::from_der(&bytes);
        let _ = VerifiedCsr::from_pem(&bytes);
        let _ = VerifiedCsr::from_pem(pem::encode("CERTIFICATE REQUEST", &bytes).as_bytes());
    }

    #[test]
    fn an_edited_request_is_refused_or_unchanged(
        at in any::<usize>(), cut in 0usize..40, put in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let der = std::fs::read(fixtures().join("p256.der")).unwrap();
        let edited = edited(&der, at, cut, &put);
        if VerifiedCsr::from_der(&edited).is_ok() {
            prop_assert_eq!(edited, der);
        }
    }
}
