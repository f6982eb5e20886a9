//! Patterns against tables, and against what their printing says.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;

#[track_caller]
fn check_string(pattern: &str, matched: &[&str], others: &[&str]) {
    let parsed = StringPattern::parse(pattern);
    for value in matched {
        assert!(parsed.matches_non_empty(value), "{pattern:?} should match {value:?}");
    }
    for value in others {
        assert!(!parsed.matches_non_empty(value), "{pattern:?} should not match {value:?}");
    }
    assert_eq!(parsed.to_string(), pattern);
}

#[test]
fn one_star_at_an_end_counts_and_no_other() {
    check_string("*", &["a"], &[""]);
    check_string("a*", &["a", "ab"], &["ba", ""]);
    check_string("*a", &["a", "ba"], &["ab"]);
    check_string("a*b", &["a*b"], &["ab", "axb"]);
    check_string("*a*", &["a*", "xa*"], &["a", "ab"]);
    check_string("**", &["*", "a*"], &["a", ""]);
}

#[test]
fn the_case_of_hosts_does_not_count() {
    for (pattern, value) in [("Example.com", "eXample.COM"), ("*.B.com", "a.b.Com"), ("Api.*", "aPI.x"), ("*", "")] {
        assert!(StringPattern::parse(pattern).matches_any_case(value), "{pattern} {value}");
    }
    assert!(!StringPattern::parse("*.b.com").matches_any_case("com"));
}

#[track_caller]
fn check_template(template: &str, matched: &[&str], others: &[&str]) {
    let parsed = PathPattern::parse(template).expect(template);
    for path in matched {
        assert!(parsed.matches(path), "{template} should match {path}");
    }
    for path in others {
        assert!(!parsed.matches(path), "{template} should not match {path}");
    }
}

#[test]
fn templates_match_whole_paths() {
    check_template("/allow/admin/{**}", &["/allow/admin/", "/allow/admin/a/b"], &["/allow/admin", "/allow/admin/a b"]);
    check_template("/store/{**}/cart", &["/store//cart", "/store/a/b/cart"], &["/store/cart", "/store/a/cart/"]);
    check_template("/foo/{*}/bar/{**}", &["/foo/a/bar/x"], &["/foo//bar/x", "/foo/a/b/bar/x", "/foo/a\"/bar/"]);
    check_template("/{*}", &["/a", "/a%20b"], &["/", "/a/"]);
    check_template("/{**}", &["/", "/a//b"], &["/\u{fc}"]);
}

#[test]
fn what_is_no_path_pattern_is_told() {
    use PatternError::*;
    let segment = |text: &str| TemplateSegment { segment: text.into() };
    for (text, error) in [
        ("/{a}", segment("{a}")),
        ("/a{*}", segment("a{*}")),
        ("/{*", segment("{*")),
        ("/{**}/a/{*}", TemplateOrder),
        ("/{**}/{**}", TemplateOrder),
        ("/{*}/a*", TemplateLiteral { segment: "a*".into() }),
        ("/{*}//a", TemplateLiteral { segment: "".into() }),
        ("{*}/a", TemplateStart),
    ] {
        assert_eq!(PathPattern::parse(text), Err(error), "{text}");
    }
}

#[test]
fn request_principals_are_taken_apart_at_the_last_slash() {
    use StringPattern::{Exact, Prefix, Presence, Suffix};
    for (text, issuer, subject) in [
        ("*", Presence, Presence),
        ("*/sub", Presence, Exact("sub".into())),
        ("*iss/sub", Suffix("iss".into()), Exact("sub".into())),
        ("*sub", Presence, Suffix("sub".into())),
        ("iss/*", Exact("iss".into()), Presence),
        ("https://a/b/s*", Exact("https://a/b".into()), Prefix("s".into())),
        ("iss*", Prefix("iss".into()), Presence),
        ("iss", Exact("iss".into()), Exact("".into())),
        ("a/b/c", Exact("a/b".into()), Exact("c".into())),
        ("*/*", Presence, Exact("*".into())),
        ("*/sub*", Presence, Exact("sub*".into())),
    ] {
        assert_eq!(RequestPrincipal::parse(text), RequestPrincipal { issuer, subject }, "{text}");
    }
}

#[test]
fn blocks_ignore_host_bits_and_other_families() {
    let contains = |block: &str, address: &str| block.parse::<Cidr>().unwrap().contains(address.parse().unwrap());
    assert!(contains("127.0.0.1/24", "127.0.0.2"));
    assert!(contains("0.0.0.0/0", "9.9.9.9"));
    assert!(contains("2001:db8::/32", "2001:db8:1::1"));
    assert!(!contains("1.2.3.4", "1.2.3.5"));
    assert!(!contains("::/0", "1.2.3.4"));
    assert!(!contains("0.0.0.0/0", "::1"));
}

#[test]
fn what_is_no_block_no_port_no_account_and_no_trust_domain_is_told() {
    for text in ["", "1.2.3", "1.2.3.4/", "1.2.3.4/+8", "1.2.3.4/8/8", "a", "1.2.3.4/-1", "::1%eth0"] {
        assert_eq!(text.parse::<Cidr>(), Err(PatternError::Cidr), "{text}");
    }
    assert_eq!("1.2.3.4/33".parse::<Cidr>(), Err(PatternError::PrefixLength { given: 33, max: 32 }));
    for text in ["", "65536", "-1", "+80", "0x50", "80 ", "8080-8090", "000080"] {
        assert_eq!(port(text), Err(PatternError::Port), "{text}");
    }
    assert_eq!(port("0"), Ok(0));
    for text in ["", "/a", "a/", "a/b/c", "*", "ns/*"] {
        assert_eq!(ServiceAccountPattern::parse(text, "own"), Err(PatternError::ServiceAccount), "{text}");
    }
    for text in ["a*b", "a/b", "*a*", "**"] {
        assert_eq!(TrustDomainPattern::parse(text), Err(PatternError::TrustDomain), "{text}");
    }
    assert_eq!(TrustDomainPattern::parse(""), Err(PatternError::Empty));
}

proptest! {
    #[test]
    fn a_string_pattern_prints_as_it_was_written(text in "[ab*]{0,5}") {
        prop_assert_eq!(StringPattern::parse(&text).to_string(), text);
    }

    #[test]
    fn a_block_prints_what_it_reads_back(bits in any::<u128>(), six in any::<bool>(), prefix in 0_u8..=128) {
        let address = if six { IpAddr::from(bits.to_be_bytes()) } else { IpAddr::from((bits as u32).to_be_bytes()) };
        let text = format!("{address}/{}", if six { prefix } else { prefix % 33 });
        let block: Cidr = text.parse().unwrap();
        prop_assert_eq!(block.to_string().parse::<Cidr>().unwrap(), block);
        prop_assert!(block.contains(address));
    }

    #[test]
    fn no_text_makes_a_path_pattern_panic(text in "[/{}*a.]{0,16}", path in "[/a.*{]{0,16}") {
        if let Ok(pattern) = PathPattern::parse(&text) {
            let _ = pattern.matches(&path);
        }
    }

    /// The greedy matcher against one that tries every split.
    #[test]
    fn a_template_matches_what_trying_everything_finds(
        segments in proptest::collection::vec(prop_oneof![Just("{*}"), Just("{**}"), Just("a"), Just("b")], 1..5),
        path in "[/ab ]{0,8}",
    ) {
        let text = format!("/{}", segments.join("/"));
        if let Ok(PathPattern::Template(template)) = PathPattern::parse(&text) {
            let path = format!("/{path}");
            prop_assert_eq!(template.matches(&path), slow(template.parts(), path.as_bytes()), "{} {}", text, path);
        }
    }
}

fn slow(parts: &[Part], path: &[u8]) -> bool {
    let free = |bytes: &[u8], slash: bool| bytes.iter().all(|b| matches!(b, b'a' | b'b') || (slash && *b == b'/'));
    match parts {
        [] => path.is_empty(),
        [Part::Literal(text), rest @ ..] => path.starts_with(text.as_bytes()) && slow(rest, &path[text.len()..]),
        [operator, rest @ ..] => (0..=path.len()).any(|end| {
            let many = *operator == Part::Rest;
            (many || end > 0) && free(&path[..end], many) && slow(rest, &path[end..])
        }),
    }
}
