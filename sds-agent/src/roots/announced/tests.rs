//! What is taken of what the CA tells, and which identities it condemns.

use super::*;
use proptest::prelude::*;
use signet_identity::Lifetime;
use signet_testkit::TestCa;

const NOW: Timestamp = Timestamp::from_unix_secs(1_700_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";

fn domain() -> TrustDomain {
    "cluster.local".parse().unwrap()
}

fn message(roots: &[&TestCa]) -> WatchResponse {
    WatchResponse {
        generation: 7,
        trust_domain: "cluster.local".to_owned(),
        roots_pem: roots.iter().map(|root| root.pem()).collect(),
        tainted_key_ids: Vec::new(),
        renewal_spread_seconds: 300,
    }
}

fn judge(message: &WatchResponse) -> Result<Announced, AnnouncementError> {
    Announced::judge(message, &domain(), NOW)
}

fn svid(ca: &TestCa) -> Svid {
    ca.leaf(WEB, Lifetime::new(NOW.minus(HOUR), NOW.plus(HOUR)).unwrap()).issue().svid()
}

fn key_id(ca: &TestCa) -> String {
    let roots = ca.bundle();
    hex(roots.roots()[0].subject_key_id().unwrap())
}

#[test]
fn good_roots_are_taken() {
    let (one, two) = (TestCa::root("cluster.local"), TestCa::root("cluster.local"));
    let announced = judge(&message(&[&one, &two])).unwrap();
    assert_eq!((announced.generation(), announced.bundle().roots().len()), (7, 2));
    assert_eq!(announced.condemns(&svid(&one), NOW), None);
    assert_eq!(announced.spread(Condemned::Tainted), Duration::from_secs(300));
}

fn check_refused(change: impl FnOnce(&mut WatchResponse), wanted: &str) {
    let mut message = message(&[&TestCa::root("cluster.local")]);
    change(&mut message);
    let error = judge(&message).unwrap_err();
    assert!(signet_runtime::tasks::chain(&error).contains(wanted), "{wanted}: {error:?}");
}

#[test]
fn whatever_is_wrong_with_them_they_are_refused_by_name() {
    check_refused(|m| m.trust_domain = "other.test".to_owned(), "roots of `other.test`, `cluster.local` is configured");
    check_refused(|m| m.roots_pem.clear(), "unusable");
    check_refused(|m| m.roots_pem = "rubbish".to_owned(), "unusable");
    let ca = TestCa::root("cluster.local");
    let leaf = ca.leaf(WEB, Lifetime::new(NOW.minus(HOUR), NOW.plus(HOUR)).unwrap()).issue();
    check_refused(|m| m.roots_pem.push_str(&leaf.pem()), "not a CA certificate");
    check_refused(|m| m.tainted_key_ids = vec!["ab".to_owned(); TAINTED_MAX + 1], "tainted");
    check_refused(|m| m.tainted_key_ids = vec![String::new()], "tainted");
    check_refused(|m| m.tainted_key_ids = vec!["a".repeat(200)], "tainted");
    let message = message(&[&TestCa::root("cluster.local")]);
    let long_ago = Timestamp::from_unix_secs(1);
    assert!(matches!(Announced::judge(&message, &domain(), long_ago), Err(AnnouncementError::NoneValid)));
}

#[test]
fn an_identity_under_a_tainted_authority_is_condemned_and_others_are_not() {
    let (old, new) = (TestCa::root("cluster.local"), TestCa::root("cluster.local"));
    let mut message = message(&[&old, &new]);
    message.tainted_key_ids = vec![key_id(&old).to_uppercase()];
    let announced = judge(&message).unwrap();
    assert_eq!(announced.condemns(&svid(&old), NOW), Some(Condemned::Tainted));
    assert_eq!(announced.condemns(&svid(&new), NOW), None);
}

#[test]
fn an_identity_under_an_intermediate_of_a_tainted_root_is_condemned() {
    let old = TestCa::root("cluster.local");
    let below = old.intermediate();
    let mut message = message(&[&old]);
    message.tainted_key_ids = vec![key_id(&old)];
    assert_eq!(judge(&message).unwrap().condemns(&svid(&below), NOW), Some(Condemned::Tainted));
}

#[test]
fn an_identity_whose_root_is_gone_is_condemned_and_replaced_within_seconds() {
    let announced = judge(&message(&[&TestCa::root("cluster.local")])).unwrap();
    assert_eq!(announced.condemns(&svid(&TestCa::root("cluster.local")), NOW), Some(Condemned::Untrusted));
    assert_eq!(announced.spread(Condemned::Untrusted), Duration::from_secs(10));
}

#[test]
fn a_spread_without_sense_is_bounded() {
    for (told, taken) in [(-5, Duration::ZERO), (i64::MAX, SPREAD_MAX)] {
        let mut message = message(&[&TestCa::root("cluster.local")]);
        message.renewal_spread_seconds = told;
        assert_eq!(judge(&message).unwrap().spread(Condemned::Tainted), taken);
    }
}

proptest! {
    #[test]
    fn no_message_makes_it_panic(
        generation: u64, trust_domain in "(cluster\\.local|.{0,40})", roots_pem in ".{0,400}",
        tainted_key_ids in proptest::collection::vec(".{0,200}", 0..4), renewal_spread_seconds: i64,
    ) {
        let message =
            WatchResponse { generation, trust_domain, roots_pem, tainted_key_ids, renewal_spread_seconds };
        prop_assert!(judge(&message).is_err(), "no root is made of random text");
    }
}
