//! What is a name and what is none.

use super::*;
use proptest::prelude::*;

#[track_caller]
fn check(name: &str, kind: Option<&str>) {
    let parsed = name.parse::<ResourceName>().ok();
    assert_eq!(parsed.as_ref().map(ResourceName::kind), kind, "{name}");
    if let Some(parsed) = parsed {
        assert_eq!(parsed.to_string(), name);
        assert!(ResourceName::KINDS.contains(&parsed.kind()));
    }
}

#[test]
fn every_name_of_the_catalogue_is_read_and_prints_as_it_was_written() {
    check("default", Some("default"));
    check("ROOTCA", Some("ROOTCA"));
    check("ALL", Some("ALL"));
    check("spiffe://cluster.local", Some("trust-domain"));
    check("spiffe://cluster.local/ns/shop/sa/web", Some("spiffe-id"));
    check("file-cert:/etc/certs/a.pem~/etc/certs/b.pem", Some("file-cert"));
    check("file-root:/etc/certs/root.pem", Some("file-root"));
    check("file-root:system", Some("file-root"));
    check("file-root:/system", Some("file-root"));
}

#[test]
fn what_is_nearly_a_name_is_none() {
    for odd in ["", "Default", "default ", " default", "rootca", "all", "\0", "root-ca", "spiffe://", "spiffe://A.b"] {
        check(odd, None);
    }
    for odd in ["spiffe://a/", "spiffe://a//b", "spiffe://a/../b", "SPIFFE://a/b", "http://a/b", "spiffe://a/b?c"] {
        check(odd, None);
    }
    for odd in ["", "/a", "~", "/a~", "~/b", "a~b", "/a~b", "/a~/b~/c", "/a//b~/c", "/a/~/b", "/a/../b~/c", "/./a~/b"] {
        check(&format!("file-cert:{odd}"), None);
    }
    for odd in ["", "a", "System", "/", "/a~/b", "/a/..", "/a/", "/a\n", "system/", "/a\0b"] {
        check(&format!("file-root:{odd}"), None);
    }
}

#[test]
fn length_is_bounded() {
    let path = |length: usize| format!("file-root:/{}", "a".repeat(length - 1));
    check(&path(PATH_MAX_BYTES), Some("file-root"));
    check(&path(PATH_MAX_BYTES + 1), None);
    check(&format!("spiffe://a/{}", "b".repeat(NAME_MAX_BYTES)), None);
}

#[test]
fn roots_come_before_identities() {
    let mut names: Vec<ResourceName> = ["spiffe://a/b", "default", "file-cert:/a~/b", "file-root:/a", "ROOTCA", "ALL"]
        .map(|name| name.parse().unwrap())
        .into();
    names.sort();
    let kinds: Vec<_> = names.iter().map(ResourceName::kind).collect();
    assert_eq!(kinds, ["ROOTCA", "ALL", "file-root", "default", "spiffe-id", "file-cert"]);
}

proptest! {
    #[test]
    fn what_is_read_prints_as_it_was(name in "(file-cert:|file-root:|spiffe://|)[a-zA-Z0-9/.~_:\\-]{0,40}|\\PC{0,40}") {
        if let Ok(parsed) = name.parse::<ResourceName>() {
            prop_assert_eq!(parsed.to_string(), name);
        }
    }
}
