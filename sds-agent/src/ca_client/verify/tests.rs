//! Answers of every kind, good and bad, against the reason they are refused for.

use super::*;
use std::time::Duration;

use signet_identity::Lifetime;
use signet_testkit::{TestCa, knobs};

const NOW: Timestamp = Timestamp::from_unix_secs(1_700_000_000);
const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";

fn life() -> Lifetime {
    Lifetime::new(NOW.minus(Duration::from_secs(120)), NOW.plus(Duration::from_secs(3600))).unwrap()
}

fn check(elements: &[String], key: &PrivateKey, wanted: Result<(), &str>) {
    let got = verify(elements, key, &WEB.parse().unwrap(), NOW);
    assert_eq!(got.as_ref().map(|_| ()).map_err(AnswerError::reason), wanted, "{got:?}");
}

fn key() -> PrivateKey {
    PrivateKey::generate_p256().unwrap()
}

#[test]
fn a_leaf_with_its_intermediates_and_several_roots_is_accepted() {
    let (ca, other, key) = (TestCa::root("cluster.local"), TestCa::root("cluster.local"), key());
    let lower = ca.intermediate();
    let leaf = lower.leaf(WEB, life()).for_key(key.public()).issue();
    let roots = format!("{}\n{}", other.pem(), ca.pem());
    let elements = [leaf.pem(), lower.pem(), roots];
    let issued = verify(&elements, &key, &WEB.parse().unwrap(), NOW).unwrap();
    assert_eq!(issued.bundle.roots().len(), 2);
    assert_eq!(issued.svid.chain().count(), 2);
    assert_eq!(issued.svid.key().public(), key.public());
}

#[test]
fn a_root_that_is_repeated_in_the_chain_is_left_out() {
    let (ca, key) = (TestCa::root("cluster.local"), key());
    let leaf = ca.leaf(WEB, life()).for_key(key.public()).issue();
    let issued = verify(&[leaf.pem(), ca.pem(), ca.pem()], &key, &WEB.parse().unwrap(), NOW).unwrap();
    assert_eq!(issued.svid.chain().count(), 1);
}

#[test]
fn an_answer_of_another_shape_is_refused() {
    let (ca, key) = (TestCa::root("cluster.local"), key());
    let leaf = ca.leaf(WEB, life()).for_key(key.public()).issue().pem();
    check(&[], &key, Err("answer_shape"));
    check(std::slice::from_ref(&leaf), &key, Err("answer_shape"));
    check(&vec![leaf.clone(); 12], &key, Err("answer_shape"));
    check(&[leaf.clone(), String::new()], &key, Err("answer_roots"));
    check(&[leaf.clone(), leaf.clone()], &key, Err("answer_roots"));
    check(&[String::new(), ca.pem()], &key, Err("answer_chain"));
    check(&["-----BEGIN CERTIFICATE-----\n!\n".to_owned(), ca.pem()], &key, Err("answer_chain"));
    check(&[ca.pem(), ca.pem()], &key, Err("answer_chain"));
    check(&["x".repeat(ELEMENT_MAX_BYTES + 1), ca.pem()], &key, Err("answer_chain"));
}

#[test]
fn a_leaf_for_somebody_elses_key_is_refused() {
    let ca = TestCa::root("cluster.local");
    let leaf = ca.leaf(WEB, life()).issue();
    check(&[leaf.pem(), ca.pem()], &key(), Err("answer_chain"));
}

#[test]
fn a_leaf_with_another_name_is_refused() {
    let (ca, key) = (TestCa::root("cluster.local"), key());
    for uri in ["spiffe://cluster.local/ns/shop/sa/admin", "spiffe://other.local/ns/shop/sa/web"] {
        let leaf = ca.leaf(uri, life()).for_key(key.public()).issue();
        check(&[leaf.pem(), ca.pem()], &key, Err("answer_identity"));
    }
    let two = ca.leaf(WEB, life()).with(knobs::add_uri("spiffe://cluster.local/ns/a/sa/b")).for_key(key.public());
    check(&[two.issue().pem(), ca.pem()], &key, Err("answer_chain"));
}

#[test]
fn a_leaf_outside_its_time_tells_of_clocks_that_disagree() {
    let (ca, key) = (TestCa::root("cluster.local"), key());
    let (past, soon) = (NOW.minus(Duration::from_secs(60)), NOW.plus(Duration::from_secs(60)));
    let over = Lifetime::new(NOW.minus(Duration::from_secs(120)), past).unwrap();
    let early = Lifetime::new(soon, NOW.plus(Duration::from_secs(120))).unwrap();
    for (life, reason) in [(over, "answer_expired"), (early, "answer_not_yet_valid")] {
        let leaf = ca.leaf(WEB, life).for_key(key.public()).issue();
        check(&[leaf.pem(), ca.pem()], &key, Err(reason));
    }
}

#[test]
fn a_chain_that_the_roots_beside_it_do_not_trust_is_refused() {
    let (ca, other, key) = (TestCa::root("cluster.local"), TestCa::root("cluster.local"), key());
    let leaf = ca.leaf(WEB, life()).for_key(key.public()).issue();
    check(&[leaf.pem(), other.pem()], &key, Err("answer_untrusted"));
    let below = ca.intermediate().leaf(WEB, life()).for_key(key.public()).issue();
    check(&[below.pem(), ca.pem()], &key, Err("answer_untrusted"));
}

#[test]
fn a_leaf_that_may_sign_certificates_is_refused() {
    let (ca, key) = (TestCa::root("cluster.local"), key());
    let leaf = ca.leaf(WEB, life()).with(knobs::key_cert_sign).for_key(key.public()).issue();
    check(&[leaf.pem(), ca.pem()], &key, Err("answer_chain"));
}
