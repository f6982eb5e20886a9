//! The headers of a request: which are one and which are several, as Envoy has it.

use std::borrow::Cow;

/// Headers of which Envoy makes one as it reads them, by name: those that it knows itself. Found by asking Envoy 1.40.
const JOINED_ON_ARRIVAL: [&str; 36] = [
    "accept",
    "accept-encoding",
    "access-control-request-headers",
    "access-control-request-method",
    "access-control-request-private-network",
    "authorization",
    "cache-control",
    "content-encoding",
    "content-type",
    "cookie",
    "expect",
    "grpc-accept-encoding",
    "grpc-timeout",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "origin",
    "pragma",
    "referer",
    "user-agent",
    "via",
    "x-client-trace-id",
    "x-envoy-attempt-count",
    "x-envoy-decorator-operation",
    "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node",
    "x-envoy-external-address",
    "x-envoy-original-host",
    "x-envoy-original-path",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-request-id",
];

/// Whether a header that is sent several times arrives as one value; the name is in lower case.
pub(crate) fn is_joined(name: &str) -> bool {
    JOINED_ON_ARRIVAL.binary_search(&name).is_ok()
}

/// What stands between the values of a header that is made one; `None` where each stays for itself.
fn between(name: &str) -> Option<&'static str> {
    is_joined(name).then_some(if name == "cookie" { "; " } else { "," })
}

/// Headers by their names in lower case. Several of one name are matched one by one, and read for tokens as one text.
#[derive(Debug, Clone, Default)]
pub struct Headers<'a> {
    /// By name, and in the order of arrival.
    each: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// By name, joined with commas.
    joined: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Headers<'a> {
    /// The value of a header, by its name in lower case; all of them, with commas between, where there are several.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.joined.binary_search_by(|(key, _)| (**key).cmp(name));
        found.ok().and_then(|index| self.joined.get(index)).map(|(_, value)| &**value)
    }

    /// Each value of a header, by its name in lower case.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let from = self.each.partition_point(|(key, _)| **key < *name);
        let rest = self.each.get(from..).unwrap_or_default().iter();
        rest.take_while(move |(key, _)| **key == *name).map(|(_, value)| &**value)
    }

    /// Every header with each of its values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.each.iter().map(|(name, value)| (&**name, &**value))
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Headers<'a> {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(headers: I) -> Self {
        let mut each: Vec<_> = headers.into_iter().map(|(name, value)| (lower(name), Cow::Borrowed(value))).collect();
        each.sort_by(|left, right| left.0.cmp(&right.0));
        let each = joined(each, between);
        let joined = joined(each.clone(), |_| Some(","));
        Self { each, joined }
    }
}

/// Makes one of neighbours that have the same name, where there is something to stand between them.
fn joined<'a>(
    headers: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    between: impl Fn(&str) -> Option<&'static str>,
) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
    let mut joined: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        match (joined.last_mut(), between(&name)) {
            (Some((last, values)), Some(between)) if *last == name => {
                let values = values.to_mut();
                values.push_str(between);
                values.push_str(&value);
            }
            _ => joined.push((name, value)),
        }
    }
    joined
}

pub(super) fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(headers: &[(&str, &str)], name: &str, each: &[&str], joined: Option<&str>) {
        let headers: Headers<'_> = headers.iter().copied().collect();
        assert_eq!(headers.values(name).collect::<Vec<_>>(), each, "{name}");
        assert_eq!(headers.get(name), joined, "{name}");
    }

    #[test]
    fn several_headers_of_one_name_stay_several_unless_envoy_makes_them_one() {
        let headers = [
            ("b", "3"),
            ("X-A", "1"),
            ("x-a", "2"),
            ("accept", "1"),
            ("Accept", "2"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
        ];
        check(&headers, "x-a", &["1", "2"], Some("1,2"));
        check(&headers, "accept", &["1,2"], Some("1,2"));
        check(&headers, "cookie", &["a=1; b=2"], Some("a=1; b=2"));
        check(&headers, "c", &[], None);
        assert!(JOINED_ON_ARRIVAL.is_sorted());
    }
}
