//! What the mesh's trust domain and its aliases make of the names in policies.

/// `cluster.local` always stands for the mesh's own trust domain, whatever that is.
pub(crate) const POINTER: &str = "cluster.local";

/// Whether a principal has the five parts of `TRUST_DOMAIN/ns/NAMESPACE/sa/ACCOUNT`; others are never rewritten.
pub(crate) fn is_whole(principal: &str) -> bool {
    principal.split('/').count() == 5
}

/// A principal under every name of the mesh's trust domain, in the order of `bundle`; itself where none applies.
///
/// `bundle` is the trust domain and then its aliases. Only names of five parts are rewritten, which
/// `cluster.local/*` is not.
pub fn replace(principal: &str, bundle: &[Box<str>]) -> Vec<String> {
    let unchanged = || vec![principal.to_owned()];
    let Some((domain, rest)) = principal.split_once('/').filter(|_| is_whole(principal)) else {
        return unchanged();
    };
    let applies = domain == POINTER || bundle.iter().any(|entry| are_alike(domain, entry));
    if domain == "*" || !applies {
        return unchanged();
    }
    let mut replaced: Vec<String> = Vec::new();
    for entry in bundle {
        let covers = domain.strip_prefix('*').is_some_and(|suffix| entry.ends_with(suffix));
        let name = if covers { principal.to_owned() } else { format!("{entry}/{rest}") };
        if !replaced.contains(&name) {
            replaced.push(name);
        }
    }
    if replaced.is_empty() { unchanged() } else { replaced }
}

/// Trust domains, with every name of the mesh's own in the place of any of them; none twice.
pub fn expand(domains: &[&str], bundle: &[Box<str>]) -> Vec<String> {
    let mut expanded: Vec<String> = Vec::new();
    for domain in domains {
        let is_own = bundle.iter().any(|entry| &**entry == *domain);
        let names = if is_own { bundle.iter().map(|entry| &**entry).collect() } else { vec![*domain] };
        for name in names {
            if !expanded.iter().any(|known| known == name) {
                expanded.push(name.to_owned());
            }
        }
    }
    expanded
}

/// Equal, or one a pattern with a star at an end that the other matches.
fn are_alike(left: &str, right: &str) -> bool {
    let covers = |pattern: &str, name: &str| {
        pattern == "*"
            || pattern.strip_prefix('*').is_some_and(|suffix| name.ends_with(suffix))
            || pattern.strip_suffix('*').is_some_and(|prefix| name.starts_with(prefix))
    };
    left == right || covers(left, right) || covers(right, left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(principal: &str, bundle: &[&str], replaced: &[&str]) {
        let bundle: Vec<Box<str>> = bundle.iter().map(|entry| Box::from(*entry)).collect();
        assert_eq!(replace(principal, &bundle), replaced, "{principal}");
    }

    #[test]
    fn principals_of_five_parts_are_known_by_every_name_of_the_mesh() {
        check("td1/ns/a/sa/b", &["td1", "td2"], &["td1/ns/a/sa/b", "td2/ns/a/sa/b"]);
        check("cluster.local/ns/a/sa/b", &["td1", "cluster.local"], &["td1/ns/a/sa/b", "cluster.local/ns/a/sa/b"]);
        check("other/ns/a/sa/b", &["td1"], &["other/ns/a/sa/b"]);
        check("cluster.local/*", &["td1"], &["cluster.local/*"]);
        check("*/ns/a/sa/b", &["td1"], &["*/ns/a/sa/b"]);
        check("*1/ns/a/sa/b", &["td1", "x"], &["*1/ns/a/sa/b", "x/ns/a/sa/b"]);
        check("td*/ns/a/sa/b", &["td1", "td2"], &["td1/ns/a/sa/b", "td2/ns/a/sa/b"]);
        check("td1/ns/a/sa/*", &["td1", "td1"], &["td1/ns/a/sa/*"]);
        check("cluster.local/ns/a/sa/b", &[], &["cluster.local/ns/a/sa/b"]);
    }

    #[test]
    fn trust_domains_expand_when_they_are_exactly_one_of_the_mesh() {
        let bundle: Vec<Box<str>> = vec!["td1".into(), "td2".into()];
        assert_eq!(expand(&["td2", "x", "td1", "td*"], &bundle), ["td1", "td2", "x", "td*"]);
        assert_eq!(expand(&["cluster.local"], &bundle), ["cluster.local"]);
    }
}
