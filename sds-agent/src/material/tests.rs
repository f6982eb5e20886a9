//! What is a pair, what are roots, and why not.

use super::*;
use proptest::prelude::*;
use signet_testkit::TestCa;
use signet_testkit::knobs;
use std::time::Duration;

fn life() -> Lifetime {
    let begin = Timestamp::from_unix_secs(1_700_000_000);
    Lifetime::new(begin, begin.plus(Duration::from_secs(3600))).unwrap()
}

fn refused(chain: &str, key: &str) -> PairError {
    Pair::from_pem(chain.as_bytes(), key.as_bytes()).unwrap_err()
}

#[test]
fn a_leaf_with_any_name_its_intermediates_and_its_key_are_a_pair() {
    let ca = TestCa::root("cluster.local").intermediate();
    let leaf = ca.leaf("https://shop.example", life()).issue();
    let pair = Pair::from_pem(leaf.chain_pem().as_bytes(), leaf.key().to_pem().as_bytes()).unwrap();
    assert_eq!(pair.chain().count(), 2);
    let same = Pair::from_pem(leaf.chain_pem().as_bytes(), leaf.key().to_pem().as_bytes()).unwrap();
    assert_eq!(pair.version(), same.version());
    assert_eq!(pair.lifetime(), life());
}

#[test]
fn a_pair_that_a_proxy_would_choke_on_is_none() {
    let ca = TestCa::root("cluster.local");
    let (leaf, other) = (ca.leaf("https://a", life()).issue(), ca.leaf("https://b", life()).issue());
    let (key, chain) = (leaf.key().to_pem(), leaf.pem());
    assert_eq!(refused(&chain, &other.key().to_pem()), PairError::Mismatch);
    assert_eq!(refused("", &key), PairError::Chain(CertificateError::Pem(PemError::NoBlock)));
    assert!(matches!(refused(&chain, ""), PairError::Key(_)));
    assert!(matches!(refused(&chain, &chain), PairError::Key(_)));
    assert!(matches!(refused(&key, &key), PairError::Chain(_)));
    assert_eq!(refused(&format!("{}{chain}", ca.pem()), &key), PairError::Mismatch, "the leaf comes first");
    assert_eq!(refused(&ca.pem(), &ca.key_pem()), PairError::Authority);
    assert_eq!(refused(&format!("{chain}{}", other.pem()), &key), PairError::NotAuthority { position: 1 });
    assert_eq!(refused(&chain.repeat(11), &key), PairError::TooLong { count: 11 });
    let authority = ca.leaf("https://a", life()).with(knobs::ca).issue();
    assert_eq!(refused(&authority.pem(), &authority.key().to_pem()), PairError::Authority);
}

#[test]
fn roots_are_what_can_vouch_and_the_rest_is_counted() {
    let (one, two) = (TestCa::root("a"), TestCa::root("b"));
    let leaf = one.leaf("https://a", life()).issue().pem();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let text = format!("# system\n{}{broken}{leaf}{}{}", one.pem(), two.pem(), one.pem());
    let anchors = Anchors::from_pem(text.as_bytes()).unwrap();
    assert_eq!((anchors.roots().len(), anchors.passed_over()), (2, 3));
    assert_eq!(anchors.pem(), format!("{}{}", one.pem(), two.pem()));
    assert_eq!(anchors.version(), Anchors::from_pem(anchors.pem().as_bytes()).unwrap().version());
}

#[test]
fn there_are_no_empty_roots() {
    let leaf = TestCa::root("a").leaf("https://a", life()).issue();
    let of = |text: &str| Anchors::from_pem(text.as_bytes()).unwrap_err();
    assert_eq!(of(""), AnchorsError::Pem(PemError::NoBlock));
    assert!(matches!(of(&leaf.pem()), AnchorsError::NoneUsable { count: 1, .. }));
    assert!(matches!(of(&leaf.key().to_pem()), AnchorsError::NoneUsable { count: 1, .. }));
}

proptest! {
    #[test]
    fn no_bytes_make_the_readers_panic(
        chain in prop::collection::vec(any::<u8>(), 0..300),
        key in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        prop_assert!(Pair::from_pem(&chain, &key).is_err());
        prop_assert!(Anchors::from_pem(&chain).is_err());
    }
}
