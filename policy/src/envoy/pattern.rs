//! One pattern of a policy as the matchers of Envoy that match the same.

use super::jwt::HTTP_JWT_AUTHN;
use super::tree::{
    CidrRange, HeaderMatch, HeaderMatcher, MetadataMatcher, PathMatcher, PathSegment, Permission, Principal,
    StringMatch, StringMatcher, UriTemplate, UriTemplateConfig, ValueMatcher,
};
use crate::identity::SCHEME;
use crate::model::{Cidr, Glob, MetadataPattern, PathPattern, ServiceAccountPattern, StringPattern};

/// Where in that metadata they are.
const JWT_PAYLOAD: &str = "payload";
/// The name of the string that holds the identity where it is not the connection's own.
const PEER_PRINCIPAL: &str = "io.istio.peer_principal";
/// Anything, but not nothing.
const SOMETHING: &str = ".+";

pub(super) fn regex(regex: impl Into<String>) -> StringMatcher {
    StringMatch::SafeRegex { regex: regex.into() }.into()
}

/// A text in which no character means anything to RE2.
///
/// Like RE2's own quoting, every ASCII character that is special gets a backslash and no other does.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for letter in text.chars() {
        if r"\.+*?()|[]{}^$".contains(letter) {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted
}

/// The match that asks for at least one character where presence is meant.
pub(super) fn string(pattern: &StringPattern) -> StringMatcher {
    match pattern {
        StringPattern::Exact(text) => StringMatch::Exact(text.to_string()).into(),
        StringPattern::Prefix(text) => StringMatch::Prefix(text.to_string()).into(),
        StringPattern::Suffix(text) => StringMatch::Suffix(text.to_string()).into(),
        StringPattern::Presence => regex(SOMETHING),
    }
}

/// The match on a header, for which an empty value is there too.
pub(super) fn header(name: &str, pattern: &StringPattern, ignore_case: bool) -> HeaderMatcher {
    let matcher = match pattern {
        StringPattern::Presence => HeaderMatch::PresentMatch(true),
        pattern => HeaderMatch::StringMatch(StringMatcher { ignore_case, ..string(pattern) }),
    };
    HeaderMatcher { name: name.to_owned(), matcher }
}

pub(super) fn path(pattern: &PathPattern) -> Permission {
    match pattern {
        PathPattern::Text(pattern) => Permission::UrlPath(PathMatcher { path: string(pattern) }),
        PathPattern::Template(template) => Permission::UriTemplate(UriTemplate {
            name: "uri-template".to_owned(),
            typed_config: UriTemplateConfig::Match { path_template: template.envoy() },
        }),
    }
}

pub(super) fn cidr(cidr: Cidr) -> CidrRange {
    CidrRange { address_prefix: cidr.address().to_string(), prefix_len: cidr.prefix().into() }
}

/// The identity of the caller, wherever this proxy finds it.
pub(super) fn identity(matcher: StringMatcher, in_filter_state: bool) -> Principal {
    if in_filter_state {
        Principal::FilterState { key: PEER_PRINCIPAL.to_owned(), string_match: matcher }
    } else {
        Principal::Authenticated { principal_name: matcher }
    }
}

/// `*` is any identity, one that is no SPIFFE ID too. A star in front may stand for several parts of the path.
pub(super) fn principal(pattern: &StringPattern) -> StringMatcher {
    match pattern {
        StringPattern::Exact(text) => StringMatch::Exact(format!("{SCHEME}{text}")).into(),
        StringPattern::Prefix(text) => StringMatch::Prefix(format!("{SCHEME}{text}")).into(),
        StringPattern::Suffix(text) => regex(format!("{SCHEME}.*{}", quote(text))),
        StringPattern::Presence => regex(SOMETHING),
    }
}

/// Any number of stars, which may stand for slashes too.
pub(super) fn namespace(glob: &Glob) -> StringMatcher {
    let pieces: Vec<String> = glob.pieces().iter().map(|piece| quote(piece)).collect();
    regex(format!(".*/ns/{}/.*", pieces.join(".*")))
}

pub(super) fn service_account(account: &ServiceAccountPattern) -> StringMatcher {
    let (namespace, name) = (quote(&account.namespace), quote(&account.name));
    regex(format!("{SCHEME}.+/ns/{namespace}/(.+/|)sa/{name}(/.+)?"))
}

pub(super) fn trust_domain(pattern: &StringPattern) -> StringMatcher {
    let (before, after) = match pattern {
        StringPattern::Exact(text) => return StringMatch::Prefix(format!("{SCHEME}{text}/")).into(),
        StringPattern::Presence => return StringMatch::Prefix(SCHEME.to_owned()).into(),
        StringPattern::Prefix(text) => (&**text, ""),
        StringPattern::Suffix(text) => ("", &**text),
    };
    regex(format!("{SCHEME}{}[^/]*{}/.*", quote(before), quote(after)))
}

/// One of the values must match the claim, which is a string or a list of them.
pub(super) fn claim(names: &[Box<str>], patterns: &[&StringPattern]) -> Principal {
    let values = patterns.iter().map(|pattern| ValueMatcher::StringMatch(string(pattern))).collect();
    let value = one_value(values);
    let in_list = ValueMatcher::ListMatch { one_of: Box::new(value.clone()) };
    token(names, ValueMatcher::OrMatch { value_matchers: vec![in_list, value] })
}

/// A claim that must be a string.
pub(super) fn claim_string(name: &str, pattern: &StringPattern) -> Principal {
    token(&[name.into()], ValueMatcher::StringMatch(string(pattern)))
}

fn token(names: &[Box<str>], value: ValueMatcher) -> Principal {
    let segment = |key: &str| PathSegment { key: key.to_owned() };
    let path = std::iter::once(segment(JWT_PAYLOAD)).chain(names.iter().map(|name| segment(name))).collect();
    Principal::Metadata(MetadataMatcher { filter: HTTP_JWT_AUTHN.to_owned(), path, value })
}

/// One of the values must match what another filter wrote.
pub(super) fn metadata(filter: &str, key: &str, patterns: &[&MetadataPattern]) -> Permission {
    let value = |pattern: &&MetadataPattern| {
        let value = ValueMatcher::StringMatch(string(&pattern.pattern));
        if pattern.in_list { ValueMatcher::ListMatch { one_of: Box::new(value) } } else { value }
    };
    let value = one_value(patterns.iter().map(value).collect());
    let path = vec![PathSegment { key: key.to_owned() }];
    Permission::Metadata(MetadataMatcher { filter: filter.to_owned(), path, value })
}

fn one_value(mut values: Vec<ValueMatcher>) -> ValueMatcher {
    match (values.len(), values.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            values.extend(last);
            ValueMatcher::OrMatch { value_matchers: values }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_escapes_what_is_special_and_nothing_else() {
        assert_eq!(quote(r"a.b*c[d]\-é/"), r"a\.b\*c\[d\]\\-é/");
    }

    #[track_caller]
    fn check(matcher: &StringMatcher, want: &str) {
        assert_eq!(matcher, &regex(want));
    }

    #[test]
    fn identities_become_expressions_in_which_the_policys_text_is_literal() {
        check(&principal(&StringPattern::parse("*.b")), r"spiffe://.*\.b");
        check(&namespace(&Glob::parse("a.*b")), r".*/ns/a\..*b/.*");
        let account = ServiceAccountPattern::parse("n.s/s.a", "own").unwrap();
        check(&service_account(&account), r"spiffe://.+/ns/n\.s/(.+/|)sa/s\.a(/.+)?");
        check(&trust_domain(&StringPattern::parse("*.x")), r"spiffe://[^/]*\.x/.*");
    }
}
