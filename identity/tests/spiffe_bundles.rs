//! SPIFFE bundles: what is read from a document, what refuses it, and that what is printed reads back the same.

// So that the linter takes the helpers here for tests, which they are.
#![cfg(test)]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::{Value, json};
use signet_identity::spiffe_bundle::{KID_MAX_BYTES, SPIFFE_BUNDLE_MAX_BYTES, SPIFFE_BUNDLE_MAX_ENTRIES};
use signet_identity::{
    BundleError, CertificateError, JwtKey, KeyError, Lifetime, PrivateKey, SpiffeBundle, SpiffeBundleError, Timestamp,
    TrustDomain, jwk,
};
use signet_testkit::{TestCa, keys};

fn trust_domain() -> TrustDomain {
    "other.example".parse().unwrap()
}

fn read(document: &Value) -> Result<SpiffeBundle, SpiffeBundleError> {
    SpiffeBundle::from_json(trust_domain(), document.to_string().as_bytes())
}

fn root() -> TestCa {
    TestCa::root("other.example")
}

/// The entry of a root as the standard has it, without its key's members.
fn x509(der: &[u8]) -> Value {
    json!({ "kty": "EC", "use": "x509-svid", "x5c": [STANDARD.encode(der)] })
}

/// The entry of a token key.
fn jwt(key: &PrivateKey, kid: &str) -> Value {
    let mut entry = jwk::to_json(key.public(), kid).unwrap();
    entry["use"] = json!("jwt-svid");
    entry
}

fn p256() -> PrivateKey {
    PrivateKey::generate_p256().unwrap()
}

/// `entry` with one member set, or taken away.
fn with(entry: &Value, member: &str, value: Option<Value>) -> Value {
    let mut entry = entry.clone();
    match value {
        Some(value) => entry[member] = value,
        None => drop(entry.as_object_mut().unwrap().remove(member)),
    }
    entry
}

/// Roots and token keys that are read from a document of these entries and one sound root before them.
fn check(name: &str, entries: &[Value], wanted: Result<(usize, usize), SpiffeBundleError>) {
    let entries: Vec<Value> = std::iter::once(x509(root().der())).chain(entries.iter().cloned()).collect();
    let found = read(&json!({ "keys": entries }));
    let wanted = wanted.map(|(roots, keys)| (roots + 1, keys));
    assert_eq!(found.map(|bundle| (bundle.roots().len(), bundle.jwt_keys().len())), wanted, "{name}");
}

#[test]
fn a_document_is_read_with_all_it_says() {
    let (ca, key) = (root(), p256());
    let document = json!({
        "keys": [x509(ca.der()), jwt(&key, "k1"), { "kty": "EC", "use": "wit-svid", "kid": "w" }],
        "spiffe_sequence": u64::MAX, "spiffe_refresh_hint": 300, "vendor": {"x": [1]},
    });
    let bundle = read(&document).unwrap();
    assert_eq!(bundle.trust_domain(), &trust_domain());
    assert_eq!(bundle.roots(), [ca.certificate()]);
    assert_eq!(bundle.trust_bundle(), Some(ca.bundle()));
    assert_eq!(bundle.jwt_keys(), [JwtKey { kid: "k1".to_owned(), key: key.public().clone() }]);
    assert_eq!((bundle.sequence(), bundle.refresh_hint()), (Some(u64::MAX), Some(Duration::from_secs(300))));
}

#[test]
fn a_document_without_keys_revokes_everything_and_one_without_the_member_is_refused() {
    let bundle = read(&json!({ "keys": [] })).unwrap();
    assert!(bundle.roots().is_empty() && bundle.jwt_keys().is_empty() && bundle.trust_bundle().is_none());
    assert_eq!((bundle.sequence(), bundle.refresh_hint()), (None, None));
    for text in [
        "",
        "{}",
        "[]",
        "null",
        "{\"keys\":null}",
        "{\"keys\":{}}",
        "{\"keys\":[1]}",
        "{\"keys\":[[]]}",
        "{\"keys\":[]} {}",
        "{\"keys\":[],\"keys\":[]}",
        "\u{feff}{\"keys\":[]}",
        "{\"keys\":[],\"spiffe_sequence\":1,\"spiffe_sequence\":2}",
        "{\"keys\":[],\"spiffe_sequence\":-1}",
        "{\"keys\":[],\"spiffe_sequence\":1.5}",
        "{\"keys\":[],\"spiffe_sequence\":\"1\"}",
        "{\"keys\":[],\"spiffe_sequence\":18446744073709551616}",
        "{\"keys\":[],\"spiffe_refresh_hint\":-5}",
        "{\"keys\":[],\"spiffe_refresh_hint\":true}",
        "{\"keys\":[{\"kty\":\"EC\",\"use\":\"jwt-svid\",\"use\":\"x509-svid\"}]}",
    ] {
        let error = SpiffeBundle::from_json(trust_domain(), text.as_bytes()).unwrap_err();
        assert!(matches!(error, SpiffeBundleError::Malformed { .. }), "{text}: {error}");
    }
    let not_utf8 = b"{\"keys\":[{\"kty\":\"\xff\"}]}";
    assert!(SpiffeBundle::from_json(trust_domain(), not_utf8).is_err());
}

#[test]
fn what_a_peer_wrote_stands_in_no_message() {
    let text = format!("{{\"keys\":[],\"spiffe_sequence\":\"{}\"}}", "x".repeat(100_000));
    let error = SpiffeBundle::from_json(trust_domain(), text.as_bytes()).unwrap_err();
    assert!(error.to_string().len() < 100, "{error}");
}

#[test]
fn entries_that_are_not_known_are_passed_over() {
    let (ca, key) = (root(), p256());
    let (x509, jwt) = (x509(ca.der()), jwt(&key, "k1"));
    for (name, entry) in [
        ("no use", with(&x509, "use", None)),
        ("null for a use", with(&x509, "use", Some(Value::Null))),
        ("a number for a use", with(&x509, "use", Some(json!(1)))),
        ("another use", with(&x509, "use", Some(json!("sig")))),
        ("a use in capitals", with(&x509, "use", Some(json!("X509-SVID")))),
        ("no kind", with(&x509, "kty", None)),
        ("another kind", with(&x509, "kty", Some(json!("AKP")))),
        ("a symmetric key", with(&jwt, "kty", Some(json!("oct")))),
        ("no certificate", with(&x509, "x5c", None)),
        ("an empty list of certificates", with(&x509, "x5c", Some(json!([])))),
        ("another curve", with(&jwt, "crv", Some(json!("P-521")))),
        (
            "Ed25519 for tokens",
            json!({ "kty": "OKP", "use": "jwt-svid", "kid": "e", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([9; 32]) }),
        ),
        ("members of any type where they do not count", json!({ "kty": "EC", "use": "enc", "x5c": 1, "kid": [] })),
    ] {
        check(name, &[entry], Ok((0, 0)));
    }
    let short = rsa_entry(&[0xab; 128]);
    check("RSA-1024 for tokens", &[short], Ok((0, 0)));
}

fn rsa_entry(modulus: &[u8]) -> Value {
    json!({ "kty": "RSA", "use": "jwt-svid", "kid": "r", "e": "AQAB", "n": URL_SAFE_NO_PAD.encode(modulus) })
}

#[test]
fn of_several_certificates_in_one_entry_the_first_counts_and_a_repeated_root_counts_once() {
    let (first, second) = (root(), root());
    let entry = with(
        &x509(first.der()),
        "x5c",
        Some(json!([STANDARD.encode(first.der()), STANDARD.encode(second.der()), "?"])),
    );
    let bundle = read(&json!({ "keys": [entry, x509(first.der())] })).unwrap();
    assert_eq!(bundle.roots(), [first.certificate()]);
}

#[test]
fn a_broken_entry_refuses_the_whole() {
    let (ca, key) = (root(), p256());
    let (root_entry, key_entry) = (x509(ca.der()), jwt(&key, "k1"));
    let x5c = |value: Value| with(&root_entry, "x5c", Some(value));
    let cut = STANDARD.encode(&ca.der()[..ca.der().len() - 1]);
    let leaf = ca
        .leaf(
            "spiffe://other.example/x",
            Lifetime::new(Timestamp::from_unix_secs(0), Timestamp::from_unix_secs(9)).unwrap(),
        )
        .issue();
    let serial = leaf.certificate().serial().to_string();
    use SpiffeBundleError as E;
    let entry = 1;
    for (name, broken, wanted) in [
        ("a certificate cut short", x5c(json!([cut])), E::Certificate { entry, source: CertificateError::Malformed }),
        ("a certificate in the other alphabet", x5c(json!(["-_-_"])), E::Encoding { entry }),
        ("a certificate without padding", x5c(json!(["AA"])), E::Encoding { entry }),
        ("a certificate with a line break", x5c(json!(["AAAA\n"])), E::Encoding { entry }),
        ("one text instead of a list", x5c(json!(STANDARD.encode(ca.der()))), E::Encoding { entry }),
        ("a list of numbers", x5c(json!([1])), E::Encoding { entry }),
        ("a leaf", x509(leaf.der()), E::Roots(BundleError::NotAuthority { serial })),
        ("another kind than the certificate's", with(&root_entry, "kty", Some(json!("RSA"))), E::AnotherKey { entry }),
        (
            "another key than the certificate's",
            with(&key_entry, "use", Some(json!("x509-svid"))),
            E::AnotherKey { entry },
        ),
        ("a private key beside a certificate", with(&root_entry, "d", Some(json!("AA"))), E::PrivateKey { entry }),
        ("a private token key", with(&key_entry, "d", Some(json!("AA"))), E::PrivateKey { entry }),
        ("a token key without a name", with(&key_entry, "kid", None), E::Kid),
        ("a token key with an empty name", with(&key_entry, "kid", Some(json!(""))), E::Kid),
        ("a token key with a number for a name", with(&key_entry, "kid", Some(json!(1))), E::Kid),
        ("a token key with a long name", with(&key_entry, "kid", Some(json!("x".repeat(KID_MAX_BYTES + 1)))), E::Kid),
        ("a token key without a curve", with(&key_entry, "crv", None), E::Key { entry, source: KeyError::Malformed }),
        ("a token key without y", with(&key_entry, "y", None), E::Key { entry, source: KeyError::Malformed }),
        (
            "a token key with a short x",
            with(&key_entry, "x", Some(json!("AAAA"))),
            E::Key { entry, source: KeyError::Malformed },
        ),
        (
            "a token key in the other alphabet",
            with(&key_entry, "x", Some(json!("+/+/"))),
            E::Key { entry, source: KeyError::Malformed },
        ),
    ] {
        let certificate_key_differs = name.starts_with("another key");
        let broken =
            if certificate_key_differs { with(&broken, "x5c", Some(root_entry["x5c"].clone())) } else { broken };
        check(name, &[broken], Err(wanted));
    }
    let twice = [key_entry.clone(), jwt(&p256(), "k1")];
    check("two token keys of one name", &twice, Err(E::RepeatedKid { kid: "k1".to_owned() }));
}

#[test]
fn size_and_number_of_entries_are_bounded() {
    let spaces = " ".repeat(SPIFFE_BUNDLE_MAX_BYTES + 1);
    let error = SpiffeBundle::from_json(trust_domain(), spaces.as_bytes()).unwrap_err();
    assert_eq!(error, SpiffeBundleError::TooLarge { actual: SPIFFE_BUNDLE_MAX_BYTES + 1 });
    let many = |count: usize| read(&json!({ "keys": vec![json!({}); count] }));
    assert!(many(SPIFFE_BUNDLE_MAX_ENTRIES).is_ok());
    let count = SPIFFE_BUNDLE_MAX_ENTRIES + 1;
    assert_eq!(many(count).unwrap_err(), SpiffeBundleError::TooManyEntries { count });
}

#[test]
fn what_is_printed_reads_back_for_every_kind_of_key() {
    let ed25519 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_der();
    let ed25519 = PrivateKey::from_pkcs8(ed25519.into()).unwrap();
    let roots = vec![TestCa::root("other.example").certificate(), TestCa::rsa_root("other.example").certificate()];
    let token_keys = [p256(), PrivateKey::generate_p384().unwrap(), keys::rsa_2048()];
    let named = |(i, key): (usize, &PrivateKey)| JwtKey { kid: format!("k{i}"), key: key.public().clone() };
    let jwt_keys: Vec<JwtKey> = token_keys.iter().enumerate().map(named).collect();
    let bundle = SpiffeBundle::new(trust_domain(), roots, jwt_keys).unwrap().numbered(7, Duration::from_millis(90_500));
    let document = bundle.to_json();
    assert_eq!(read(&document), Ok(bundle));
    assert_eq!((&document["spiffe_sequence"], &document["spiffe_refresh_hint"]), (&json!(7), &json!(90)));
    for entry in document["keys"].as_array().unwrap() {
        let is_root = entry["use"] == "x509-svid";
        assert_eq!((entry["x5c"].is_array(), entry["kid"].is_string()), (is_root, !is_root), "{entry}");
        assert!(entry.get("d").is_none() && entry["kty"].is_string());
    }
    let unfit = JwtKey { kid: "e".to_owned(), key: ed25519.public().clone() };
    let error = SpiffeBundle::new(trust_domain(), vec![], vec![unfit]).unwrap_err();
    assert!(matches!(error, SpiffeBundleError::TokenKey { .. }));
}

#[test]
fn content_is_compared_without_order_and_number() {
    let roots = vec![root().certificate(), root().certificate()];
    let bundle = |roots: Vec<_>, kid: &str, key: &PrivateKey| {
        SpiffeBundle::new(trust_domain(), roots, vec![JwtKey { kid: kid.to_owned(), key: key.public().clone() }])
            .unwrap()
    };
    let key = p256();
    let one = bundle(roots.clone(), "k", &key);
    let other_order = bundle(roots.iter().rev().cloned().collect(), "k", &key).numbered(9, Duration::ZERO);
    assert!(one.has_same_content(&other_order) && other_order.has_same_content(&one));
    for other in [bundle(roots[..1].to_vec(), "k", &key), bundle(roots.clone(), "l", &key), bundle(roots, "k", &p256())]
    {
        assert!(!one.has_same_content(&other) && !other.has_same_content(&one));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_input_makes_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = SpiffeBundle::from_json(trust_domain(), &bytes);
    }

    #[test]
    fn a_document_with_any_bytes_exchanged_is_refused_or_reads_back_as_it_was_read(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut text = json!({
            "keys": [x509(SAMPLE.0.der()), jwt(&SAMPLE.1, "k1")], "spiffe_sequence": 12, "spiffe_refresh_hint": 300,
        }).to_string().into_bytes();
        for (place, byte) in changes {
            let place = place.index(text.len());
            text[place] = byte;
        }
        if let Ok(bundle) = SpiffeBundle::from_json(trust_domain(), &text) {
            prop_assert_eq!(read(&bundle.to_json()), Ok(bundle));
        }
    }

    #[test]
    fn what_is_printed_reads_back(
        roots in 0_usize..4, keys in proptest::collection::btree_set("[ -~]{1,40}", 0..4), sequence: u64, hint: u32,
    ) {
        let roots = (0..roots).map(|_| root().certificate()).collect();
        let keys = keys.into_iter().map(|kid| JwtKey { kid, key: p256().public().clone() }).collect();
        let hint = Duration::from_secs(hint.into());
        let bundle = SpiffeBundle::new(trust_domain(), roots, keys).unwrap().numbered(sequence, hint);
        prop_assert_eq!(read(&bundle.to_json()), Ok(bundle));
    }
}

static SAMPLE: std::sync::LazyLock<(TestCa, PrivateKey)> = std::sync::LazyLock::new(|| (root(), p256()));
