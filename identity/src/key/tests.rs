//! Keys: reading, refusing, signing, and saying nothing about themselves.

use super::*;
use crate::pem;
use proptest::prelude::*;
use ring::signature::ED25519;
use rsa::pkcs1::EncodeRsaPrivateKey;
use rsa::pkcs8::DecodePrivateKey;
use signet_testkit::keys;

#[test]
fn a_generated_key_signs_what_its_public_half_verifies() {
    for key in [PrivateKey::generate_p256().unwrap(), PrivateKey::generate_p384().unwrap()] {
        let signer = key.signer().unwrap();
        let signature = signer.sign(b"message").unwrap();
        assert!(key.public().verify(signer.algorithm(), b"message", &signature));
        assert!(!key.public().verify(signer.algorithm(), b"massage", &signature));
    }
}

#[test]
fn a_key_survives_the_trip_through_pem() {
    let key = PrivateKey::generate_p256().unwrap();
    let read = PrivateKey::from_pem(key.to_pem().as_bytes()).unwrap();
    assert_eq!(read.public(), key.public());
}

#[test]
fn a_sec1_key_is_read_as_openssl_writes_it() {
    for key in [PrivateKey::generate_p256().unwrap(), PrivateKey::generate_p384().unwrap()] {
        let sec1 = yasna::parse_der(&key.to_pkcs8(), |reader| {
            reader.read_sequence(|reader| {
                reader.next().read_u8()?;
                reader.next().read_der()?;
                reader.next().read_bytes()
            })
        })
        .unwrap();
        let text = format!("{}{}", pem::encode("EC PARAMETERS", &[6, 1, 42]), pem::encode("EC PRIVATE KEY", &sec1));
        assert_eq!(PrivateKey::from_pem(text.as_bytes()).unwrap().public(), key.public());
    }
}

#[test]
fn an_rsa_key_is_read_in_both_of_its_forms() {
    let pkcs8 = keys::rsa_2048_pkcs8();
    let pkcs1 = rsa::RsaPrivateKey::from_pkcs8_der(pkcs8).unwrap().to_pkcs1_der().unwrap();
    let new = PrivateKey::from_pem(pem::encode("PRIVATE KEY", pkcs8).as_bytes()).unwrap();
    let old = PrivateKey::from_pem(pem::encode("RSA PRIVATE KEY", pkcs1.as_bytes()).as_bytes()).unwrap();
    assert_eq!(new.public().algorithm(), KeyAlgorithm::Rsa { bits: 2048 });
    assert_eq!(old.public(), new.public());
}

fn check_file(name: &str, blocks: &[(&str, &[u8])], wanted: KeyError) {
    let text: String = blocks.iter().map(|(label, der)| pem::encode(label, der)).collect();
    assert_eq!(PrivateKey::from_pem(text.as_bytes()).err(), Some(wanted), "{name}");
}

#[test]
fn a_file_that_is_not_one_usable_key_is_refused() {
    let key = PrivateKey::generate_p256().unwrap().to_pkcs8();
    let not_a_key = || KeyError::Pem(PemError::WrongKind { wanted: "PRIVATE KEY" });
    let more_than_one = || KeyError::Pem(PemError::TooManyBlocks { max: 1 });
    check_file("nothing", &[], PemError::NoBlock.into());
    check_file("two keys", &[("PRIVATE KEY", &key), ("PRIVATE KEY", &key)], more_than_one());
    check_file("a key and a certificate", &[("PRIVATE KEY", &key), ("CERTIFICATE", b"x")], more_than_one());
    check_file("a certificate", &[("CERTIFICATE", b"x")], not_a_key());
    check_file("parameters only", &[("EC PARAMETERS", b"x")], not_a_key());
    check_file("an encrypted key", &[("ENCRYPTED PRIVATE KEY", &key)], not_a_key());
    check_file("a public key", &[("PUBLIC KEY", &key)], not_a_key());
    check_file("the wrong label", &[("EC PRIVATE KEY", &key)], KeyError::Algorithm);
    check_file("something else", &[("PRIVATE KEY", b"x")], KeyError::Algorithm);
    check_file("RSA-1024", &[("PRIVATE KEY", &keys::new_rsa_pkcs8(1024))], KeyError::Algorithm);
    check_file("bytes behind the key", &[("PRIVATE KEY", &[key.as_slice(), &[0]].concat())], KeyError::Algorithm);
}

#[test]
fn a_private_key_with_somebody_elses_public_half_is_refused() {
    let (one, two) = (PrivateKey::generate_p256().unwrap(), PrivateKey::generate_p256().unwrap());
    let mut mixed = one.to_pkcs8().to_vec();
    let point = one.public().raw_bits();
    let at = mixed.windows(point.len()).position(|window| window == point).unwrap();
    mixed[at..at + point.len()].copy_from_slice(two.public().raw_bits());
    assert_eq!(PrivateKey::from_pkcs8(mixed.into()).unwrap_err(), KeyError::Algorithm);
}

/// A SubjectPublicKeyInfo of these parts.
fn spki(identifier: &[u8], bits: &[u8]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_der(identifier);
            writer.next().write_bitvec_bytes(bits, bits.len() * 8);
        });
    })
}

#[expect(clippy::needless_pass_by_value, reason = "the table reads better without references")]
fn check_public(name: &str, identifier: &[u8], bits: &[u8], wanted: Result<KeyAlgorithm, KeyError>) {
    let got = PublicKey::from_spki_der(&spki(identifier, bits)).map(|key| key.algorithm());
    assert_eq!(got, wanted, "{name}");
}

fn rsa_bits(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_bigint_bytes(modulus, true);
            writer.next().write_bigint_bytes(exponent, true);
        });
    })
}

#[test]
fn public_keys_have_one_spelling_and_bounds() {
    let p256 = |first: u8, length: usize| [vec![first], vec![0x5a; length - 1]].concat();
    let rsa = |bytes: usize| rsa_bits(&vec![0xab; bytes], RSA_EXPONENT);
    let rsa_without_null = &[0x30, 0x0b, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
    let p224 = &[0x30, 0x10, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 5, 0x2b, 0x81, 4, 0, 0x21];
    check_public("a point", EC_P256_IDENTIFIER, &p256(4, 65), Ok(KeyAlgorithm::EcP256));
    check_public("a compressed point", EC_P256_IDENTIFIER, &p256(2, 33), Err(KeyError::Malformed));
    check_public("a hybrid point", EC_P256_IDENTIFIER, &p256(6, 65), Err(KeyError::Malformed));
    check_public("a point too short", EC_P256_IDENTIFIER, &p256(4, 64), Err(KeyError::Malformed));
    check_public("a point of the other curve", EC_P384_IDENTIFIER, &p256(4, 65), Err(KeyError::Malformed));
    check_public("another curve", p224, &p256(4, 57), Err(KeyError::Algorithm));
    check_public("RSA-2048", RSA_IDENTIFIER, &rsa(256), Ok(KeyAlgorithm::Rsa { bits: 2048 }));
    check_public("RSA-4096", RSA_IDENTIFIER, &rsa(512), Ok(KeyAlgorithm::Rsa { bits: 4096 }));
    check_public("RSA-2040", RSA_IDENTIFIER, &rsa(255), Err(KeyError::RsaSize { bits: 2040 }));
    check_public("RSA-4104", RSA_IDENTIFIER, &rsa(513), Err(KeyError::RsaSize { bits: 4104 }));
    let one_bit_short = rsa_bits(&[vec![0x7f], vec![0xff; 255]].concat(), RSA_EXPONENT);
    check_public("RSA-2047", RSA_IDENTIFIER, &one_bit_short, Err(KeyError::RsaSize { bits: 2047 }));
    let exponent_3 = rsa_bits(&[0xab; 256], &[3]);
    check_public("exponent 3", RSA_IDENTIFIER, &exponent_3, Err(KeyError::RsaExponent));
    check_public("no parameters", rsa_without_null, &rsa(256), Err(KeyError::Algorithm));
    check_public("no RSA key inside", RSA_IDENTIFIER, b"x", Err(KeyError::Malformed));
    check_public("Ed25519", ED25519_IDENTIFIER, &[0x66; 32], Ok(KeyAlgorithm::Ed25519));
    check_public("Ed25519 too long", ED25519_IDENTIFIER, &[0x66; 33], Err(KeyError::Malformed));
}

/// A signature for every key of small order, of which it fits one message in eight or more.
fn forged_signature() -> Vec<u8> {
    [[1].as_slice(), &[0; 63]].concat()
}

#[test]
fn keys_that_anybody_can_sign_for_are_refused() {
    let ends = |low: u8, middle: u8, high: u8| [vec![low], vec![middle; 30], vec![high]].concat();
    let order_eight = ORDER_EIGHT.iter().map(|y| y.to_vec());
    let canonical: Vec<_> = order_eight.chain([ends(0, 0, 0), ends(1, 0, 0), ends(0xec, 0xff, 0x7f)]).collect();
    for key in &canonical {
        let forged = forged_signature();
        let fits = |message: u8| UnparsedPublicKey::new(&ED25519, key).verify(&[message], &forged).is_ok();
        assert!((0..=u8::MAX).any(fits), "{key:02x?} is not of small order");
    }
    for mut key in canonical.into_iter().chain([ends(0xed, 0xff, 0x7f), ends(0xee, 0xff, 0x7f)]) {
        for _ in 0..2 {
            check_public("small order", ED25519_IDENTIFIER, &key, Err(KeyError::SmallOrder));
            key[31] ^= 0x80;
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_readers_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = PublicKey::from_spki_der(&bytes);
        let _ = PrivateKey::from_pem(&bytes);
        for label in ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"] {
            let _ = PrivateKey::from_pem(pem::encode(label, &bytes).as_bytes());
        }
    }
}

#[test]
fn bytes_after_a_public_key_are_refused() {
    let mut spki = PrivateKey::generate_p256().unwrap().public().spki_der().to_vec();
    spki.push(0);
    assert_eq!(PublicKey::from_spki_der(&spki).unwrap_err(), KeyError::Malformed);
}

#[test]
fn a_private_key_prints_nothing_of_itself() {
    let key = PrivateKey::generate_p256().unwrap();
    assert_eq!(format!("{key:?}"), "PrivateKey(P-256, redacted)");
    assert_eq!(format!("{:?}", key.signer().unwrap()), "Signer(P-256, redacted)");
}
