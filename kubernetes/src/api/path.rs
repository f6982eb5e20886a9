//! Where objects are: paths of collections, with every name encoded.

use kube::core::Request;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands as it is in a path: names of Kubernetes objects need no more.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// A collection of objects of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    path: String,
}

impl Collection {
    /// All objects of a kind. `api` is `api/v1` or `apis/<group>/<version>`.
    pub fn all(api: &str, plural: &str) -> Self {
        Self { path: format!("/{api}/{plural}") }
    }

    /// The objects of a kind in one namespace.
    pub fn within(api: &str, namespace: &str, plural: &str) -> Self {
        Self { path: format!("/{api}/namespaces/{}/{plural}", encode(namespace)) }
    }

    /// To build requests with.
    pub fn request(&self) -> Request {
        Request::new(self.path.as_str())
    }
}

/// A name as it stands in a path. A name of dots alone would name another place.
pub fn encode(name: &str) -> String {
    if name.chars().all(|c| c == '.') {
        return name.replace('.', "%2E");
    }
    utf8_percent_encode(name, ENCODED).to_string()
}

/// A value as it stands in a field selector.
pub fn selector_value(value: &str) -> String {
    value.chars().fold(String::with_capacity(value.len()), |mut escaped, c| {
        if matches!(c, '\\' | ',' | '=') {
            escaped.push('\\');
        }
        escaped.push(c);
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_its_place() {
        let path = |namespace: &str| Collection::within("api/v1", namespace, "pods").path;
        assert_eq!(path("shop"), "/api/v1/namespaces/shop/pods");
        assert_eq!(path("../.."), "/api/v1/namespaces/..%2F../pods");
        assert_eq!(path(".."), "/api/v1/namespaces/%2E%2E/pods");
        assert_eq!(path("a?b#c%"), "/api/v1/namespaces/a%3Fb%23c%25/pods");
        assert_eq!(selector_value(r"a=b,c\d"), r"a\=b\,c\\d");
        assert_eq!(encode("istio.io:istiod-ca:root-cert"), "istio.io:istiod-ca:root-cert");
    }
}
