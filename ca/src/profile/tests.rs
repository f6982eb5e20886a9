//! Lifetimes, for every wish.

use proptest::prelude::*;
use signet_identity::PrivateKey;
use signet_testkit::temp_dir;

use super::*;

const NOW: Timestamp = Timestamp::from_unix_secs(1_700_000_000);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn profile(default: u64, max: u64, over_max: OverMax) -> Profile {
    Profile { default_ttl: secs(default), max_ttl: secs(max), over_max, keys: vec![KeyKind::P256] }
}

#[test]
fn the_default_never_exceeds_the_maximum() {
    assert_eq!(profile(100, 50, OverMax::Clamp).granted_ttl(0, None), Ok(secs(50)));
    assert_eq!(profile(100, 50, OverMax::Refuse).granted_ttl(-7, None), Ok(secs(50)));
    assert_eq!(profile(10, 50, OverMax::Refuse).granted_ttl(0, None), Ok(secs(10)));
}

#[test]
fn a_rules_ceiling_counts_like_the_maximum_and_never_raises_it() {
    let ceiling = Some(secs(20));
    assert_eq!(profile(100, 50, OverMax::Clamp).granted_ttl(0, ceiling), Ok(secs(20)));
    assert_eq!(profile(100, 50, OverMax::Clamp).granted_ttl(30, ceiling), Ok(secs(20)));
    assert_eq!(profile(10, 50, OverMax::Clamp).granted_ttl(0, ceiling), Ok(secs(10)));
    let refused = Err(ProfileError::Lifetime { asked_secs: 30, max_secs: 20 });
    assert_eq!(profile(10, 50, OverMax::Refuse).granted_ttl(30, ceiling), refused);
    assert_eq!(profile(10, 50, OverMax::Clamp).granted_ttl(100, Some(secs(90))), Ok(secs(50)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_life_is_longer_than_asked_granted_or_left_to_the_issuer(
        asked: i64, default in 1..1_000_000u64, max in 1..1_000_000u64, root in 1..1_000_000u64, later in 0..2_000_000u64,
    ) {
        let (dir, trust_domain) = (temp_dir(), "td".parse().unwrap());
        let issuer = Authority::self_signed(dir.path(), &trust_domain, secs(root), NOW).unwrap();
        let (profile, now) = (profile(default, max, OverMax::Clamp), NOW.plus(secs(later)));
        let life = lifetime(profile.granted_ttl(asked, None).unwrap(), None, &issuer, now);
        prop_assert_eq!(life.is_ok(), later <= root);
        if let Ok(life) = life {
            let granted = life.remaining(now);
            prop_assert!(granted <= secs(max));
            prop_assert!(asked <= 0 || granted <= secs(asked.unsigned_abs()));
            prop_assert!(life.not_after() <= issuer.certificate().lifetime().not_after());
            prop_assert_eq!(now.since(life.not_before()), BACKDATE);
        }
    }
}

#[test]
fn a_serving_leaf_holds_the_names_it_was_given() {
    let (dir, trust_domain) = (temp_dir(), "td".parse().unwrap());
    let issuer = Authority::self_signed(dir.path(), &trust_domain, secs(1000), NOW).unwrap();
    let (key, names) = (PrivateKey::generate_p256().unwrap(), [AltName::Dns("ca.example.org".to_owned())]);
    let leaf = serving_leaf(&names, key.public(), secs(60), &issuer, NOW).unwrap();
    assert_eq!((leaf.names.as_slice(), leaf.common_name), (names.as_slice(), None));
}
