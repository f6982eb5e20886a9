//! What a token may say and how long it may live.

use super::*;

const NOW: Timestamp = Timestamp::from_unix_millis(1_800_000_000_700);
const FAR: Timestamp = Timestamp::from_unix_secs(1_900_000_000);

fn profile(issuer: Option<&str>) -> TokenProfile {
    TokenProfile {
        issuer: issuer.map(str::to_owned),
        default_ttl: Duration::from_secs(300),
        max_ttl: Duration::from_secs(3600),
    }
}

#[test]
fn a_token_lives_as_asked_within_the_maximum_and_never_beyond_its_key() {
    let check = |asked: i64, horizon: i64, wanted: Option<i64>| {
        let horizon = Timestamp::from_unix_secs(NOW.unix_secs() + horizon);
        let life = profile(None).life(asked, NOW, horizon);
        assert_eq!(
            life.map(|(begin, end)| (begin.unix_secs(), end.unix_secs() - begin.unix_secs())),
            wanted.map(|secs| (NOW.unix_secs(), secs)),
            "{asked} before {horizon}"
        );
    };
    for (asked, wanted) in [(0, 300), (-1, 300), (i64::MIN, 300), (1, 1), (3600, 3600), (3601, 3600), (i64::MAX, 3600)]
    {
        check(asked, 1_000_000, Some(wanted));
    }
    check(3600, 3599, Some(3599));
    check(0, 1, Some(1));
    check(0, 0, None);
    check(0, -5, None);
}

#[test]
fn claims_are_few_and_their_numbers_plain() {
    let id: SpiffeId = "spiffe://cluster.local/ns/shop/sa/web".parse().unwrap();
    let audiences = ["a".to_owned(), "b".to_owned()];
    let claims = |issuer| profile(issuer).claims(&id, &audiences, NOW.whole_secs(), FAR, "t1").to_string();
    assert_eq!(
        claims(None),
        r#"{"aud":["a","b"],"exp":1900000000,"iat":1800000000,"jti":"t1","sub":"spiffe://cluster.local/ns/shop/sa/web"}"#
    );
    assert!(claims(Some("https://tokens.example.org")).contains(r#""iss":"https://tokens.example.org""#));
}

#[test]
fn audiences_are_some_short_texts_without_control_characters() {
    let check = |audiences: &[&str], wanted: Result<(), AudienceError>| {
        let audiences: Vec<String> = audiences.iter().map(|audience| (*audience).to_owned()).collect();
        assert_eq!(check_audiences(&audiences), wanted, "{audiences:?}");
    };
    check(&["https://example.org/x?y#z"], Ok(()));
    check(&["ünïcode is text"], Ok(()));
    check(&["x"; AUDIENCES_MAX], Ok(()));
    check(&["x"; AUDIENCES_MAX + 1], Err(AudienceError::TooMany { count: AUDIENCES_MAX + 1 }));
    check(&[], Err(AudienceError::Missing));
    check(&["a", ""], Err(AudienceError::Empty));
    check(&[&"x".repeat(AUDIENCE_MAX_BYTES)], Ok(()));
    let actual = AUDIENCE_MAX_BYTES + 1;
    check(&[&"x".repeat(actual)], Err(AudienceError::TooLong { actual }));
    for control in ["a\n", "\0", "a\u{7f}b", "\u{85}"] {
        check(&[control], Err(AudienceError::Control));
    }
}
