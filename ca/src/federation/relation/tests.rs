//! Tables of what is taken and what is not.

use signet_testkit::TestCa;

use super::*;

const NOW: Timestamp = Timestamp::from_unix_secs(1_800_000_000);

fn bundle(roots: usize, sequence: Option<u64>, hint: u64) -> SpiffeBundle {
    let roots = (0..roots).map(|_| TestCa::root("other.example").certificate()).collect();
    let bundle = SpiffeBundle::new("other.example".parse().unwrap(), roots, vec![]).unwrap();
    match sequence {
        Some(sequence) => bundle.numbered(sequence, Duration::from_secs(hint)),
        None => bundle,
    }
}

#[test]
fn a_bundle_is_taken_unless_its_number_goes_back_or_away() {
    let with = |base: &SpiffeBundle, sequence: u64| base.clone().numbered(sequence, Duration::from_secs(300));
    let plain = bundle(1, None, 0);
    let five = with(&plain, 5);
    let other = bundle(2, Some(5), 300);
    let check = |name: &str, held: Option<&SpiffeBundle>, offered: &SpiffeBundle, wanted: Result<News, Rejection>| {
        assert_eq!(judge(held, offered), wanted, "{name}");
    };
    check("the first", None, &plain, Ok(News::Changed));
    check("the same", Some(&five), &five, Ok(News::Nothing));
    check("the same without numbers", Some(&plain), &plain, Ok(News::Nothing));
    check("another without numbers", Some(&plain), &bundle(1, None, 0), Ok(News::Changed));
    check("a number where there was none", Some(&plain), &five, Ok(News::Changed));
    check("a higher number", Some(&five), &with(&plain, 6), Ok(News::Changed));
    check("other roots under the same number", Some(&five), &other, Ok(News::ChangedUnderSameSequence));
    check(
        "another hint under the same number",
        Some(&other),
        &other.clone().numbered(5, Duration::ZERO),
        Ok(News::Changed),
    );
    check("a lower number", Some(&five), &with(&plain, 4), Err(Rejection::Backwards { held: 5, offered: 4 }));
    check("no number any more", Some(&five), &plain, Err(Rejection::Unnumbered { held: 5 }));
    check("everything revoked", Some(&five), &bundle(0, Some(6), 300), Ok(News::Changed));
}

#[test]
fn a_peers_hint_counts_within_bounds() {
    for (hint, wanted) in [(0, 300), (1, 60), (59, 60), (61, 61), (300, 300), (3_600, 3_600), (u64::MAX, 3_600)] {
        let held = bundle(1, Some(1), hint);
        assert_eq!(interval(Some(&held)), Duration::from_secs(wanted), "{hint}");
    }
    assert_eq!(interval(Some(&bundle(1, None, 0))), Duration::from_secs(300));
    assert_eq!(interval(None), Duration::from_secs(300));
}

#[test]
fn a_bundle_is_stale_after_three_intervals_of_silence() {
    let held = bundle(1, Some(1), 60);
    let after = |secs: u64| is_stale(Some(&held), Some(NOW), NOW.plus(Duration::from_secs(secs)));
    assert!(!after(0) && !after(180) && after(181));
    assert!(is_stale(Some(&held), None, NOW), "one that was never confirmed");
    assert!(!is_stale(Some(&held), Some(NOW.plus(Duration::from_secs(900))), NOW), "a clock that went back");
}
