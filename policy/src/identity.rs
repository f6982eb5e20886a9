//! What Envoy takes from the name in a certificate: it has that name as one string, and its rules are expressions on
//! it. Those tolerate more than SPIFFE ids of five parts, and what they tolerate is matched here too.

use crate::model::{Glob, ServiceAccountPattern, StringPattern, TrustDomainPattern};

/// What a SPIFFE id begins with.
pub(crate) const SCHEME: &str = "spiffe://";

/// `.*/ns/GLOB/.*`, where the stars of the glob cross slashes.
pub(crate) fn in_namespace(glob: &Glob, identity: &str) -> bool {
    after(identity, "/ns/").any(|rest| begins_with_glob(glob.pieces(), rest))
}

/// Whether `text` begins with the pieces, anything between them, and then a slash.
fn begins_with_glob(pieces: &[Box<str>], text: &str) -> bool {
    let Some((first, others)) = pieces.split_first() else { return false };
    let Some(mut rest) = text.strip_prefix(&**first) else { return false };
    let Some((last, middle)) = others.split_last() else { return rest.starts_with('/') };
    for piece in middle {
        let Some(at) = rest.find(&**piece) else { return false };
        rest = rest.get(at + piece.len()..).unwrap_or_default();
    }
    after(rest, last).any(|rest| rest.starts_with('/'))
}

/// `spiffe://.+/ns/NS/(.+/|)sa/SA(/.+)?`.
pub(crate) fn is_service_account(account: &ServiceAccountPattern, identity: &str) -> bool {
    let Some(name) = identity.strip_prefix(SCHEME) else { return false };
    let in_namespaces =
        after_one(name, "/ns/").filter_map(|rest| rest.strip_prefix(&*account.namespace)?.strip_prefix('/'));
    let mut accounts =
        in_namespaces.flat_map(|rest| rest.strip_prefix("sa/").into_iter().chain(after_one(rest, "/sa/")));
    accounts.any(|rest| rest.strip_prefix(&*account.name).is_some_and(|rest| rest.is_empty() || is_more(rest)))
}

fn is_more(rest: &str) -> bool {
    rest.len() > 1 && rest.starts_with('/')
}

/// `spiffe://DOMAIN/.*`; for `*`, `spiffe://.*`.
pub(crate) fn in_trust_domain(domain: &TrustDomainPattern, identity: &str) -> bool {
    let Some(name) = identity.strip_prefix(SCHEME) else { return false };
    match (domain.pattern(), name.split_once('/')) {
        (StringPattern::Presence, _) => true,
        (pattern, Some((found, _))) => pattern.matches_present(found),
        (_, None) => false,
    }
}

/// What stands behind each place where `mark` stands, overlapping ones too.
pub(crate) fn after<'t>(text: &'t str, mark: &'t str) -> impl Iterator<Item = &'t str> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = from + text.get(from..)?.find(mark)?;
        let first = text.get(at..)?.chars().next()?;
        from = at + first.len_utf8();
        text.get(at + mark.len()..)
    })
}

/// The same for marks that do not stand at the very beginning.
pub(crate) fn after_one<'t>(text: &'t str, mark: &'t str) -> impl Iterator<Item = &'t str> {
    after(text, mark).filter(move |rest| rest.len() + mark.len() < text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_namespace(glob: &str, id: &str, matches: bool) {
        assert_eq!(in_namespace(&Glob::parse(glob), id), matches, "{glob} on {id}");
    }

    #[test]
    fn namespaces_are_globs_on_the_whole_name() {
        check_namespace("a", "spiffe://td/ns/a/sa/b", true);
        check_namespace("a", "spiffe://td/ns/ab/sa/b", false);
        check_namespace("a", "a/ns/a/", true);
        check_namespace("a", "spiffe://td/ns/a", false);
        check_namespace("*", "spiffe://td/ns//sa/b", true);
        check_namespace("*", "spiffe://td/ns/", false);
        check_namespace("a*b", "spiffe://td/ns/axb/sa/c", true);
        check_namespace("a*b", "spiffe://td/ns/a/x/b/c", true);
        check_namespace("*b", "spiffe://td/ns/bab/sa/c", true);
        check_namespace("*b", "spiffe://td/ns/bb/sa/c", true);
        check_namespace("*aa", "spiffe://td/ns/aaa/sa/c", true);
        check_namespace("a.c", "spiffe://td/ns/abc/sa/c", false);
        check_namespace("b", "spiffe://td/ns/ns/ns/b/x", true);
    }

    #[track_caller]
    fn check_account(text: &str, id: &str, matches: bool) {
        let account = ServiceAccountPattern::parse(text, "own").unwrap();
        assert_eq!(is_service_account(&account, id), matches, "{text} on {id}");
    }

    #[test]
    fn service_accounts_tolerate_segments_between_and_behind() {
        check_account("a/b", "spiffe://td/ns/a/sa/b", true);
        check_account("b", "spiffe://td/ns/own/sa/b", true);
        check_account("a/b", "spiffe://td/ns/a/x/sa/b/y", true);
        check_account("a/b", "spiffe://td/ns/a/sa/b/", false);
        check_account("a/b", "spiffe://td/ns/a/sa/bc", false);
        check_account("a/b", "spiffe:///ns/a/sa/b", false);
        check_account("a/b", "spiffe://td/ns/a/xsa/b", false);
        check_account("a/b", "https://td/ns/a/sa/b", false);
        check_account("a/b", "spiffe://td/ns/a/sa/x/sa/b", true);
    }

    #[test]
    fn trust_domains_end_at_the_first_slash() {
        let check = |pattern: &str, id: &str, matches: bool| {
            assert_eq!(in_trust_domain(&TrustDomainPattern::parse(pattern).unwrap(), id), matches, "{pattern} on {id}");
        };
        check("td", "spiffe://td/ns/a/sa/b", true);
        check("td", "spiffe://td", false);
        check("t*", "spiffe://td/x", true);
        check("*d", "spiffe://td/x", true);
        check("*x", "spiffe://td/x", false);
        check("*", "spiffe://td", true);
        check("*", "https://td/", false);
    }
}
