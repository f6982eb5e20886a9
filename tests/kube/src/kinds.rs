//! The kinds of objects that are served, and how a path names one.

/// One kind of object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) group: &'static str,
    pub(crate) versions: &'static [&'static str],
    pub(crate) plural: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) namespaced: bool,
    /// Whether a `PUT` creates what is not there.
    pub(crate) create_on_update: bool,
    /// Whether a `PUT` may leave out the resource version.
    pub(crate) unconditional_update: bool,
}

const fn kind(
    group: &'static str,
    versions: &'static [&'static str],
    plural: &'static str,
    kind: &'static str,
    namespaced: bool,
) -> Kind {
    Kind { group, versions, plural, kind, namespaced, create_on_update: false, unconditional_update: true }
}

const RBAC: &str = "rbac.authorization.k8s.io";
pub(crate) const CERTIFICATES: &str = "certificates.k8s.io";

pub(crate) const POD: Kind = kind("", &["v1"], "pods", "Pod", true);
pub(crate) const NAMESPACE: Kind = kind("", &["v1"], "namespaces", "Namespace", false);
pub(crate) const NODE: Kind = kind("", &["v1"], "nodes", "Node", false);
pub(crate) const SERVICE_ACCOUNT: Kind = kind("", &["v1"], "serviceaccounts", "ServiceAccount", true);
pub(crate) const CLUSTER_TRUST_BUNDLE: Kind =
    kind(CERTIFICATES, &["v1beta1", "v1alpha1"], "clustertrustbundles", "ClusterTrustBundle", false);
pub(crate) const TOKEN_REVIEW: Kind = kind("authentication.k8s.io", &["v1"], "tokenreviews", "TokenReview", false);
pub(crate) const TOKEN_REQUEST: Kind = kind("authentication.k8s.io", &["v1"], "", "TokenRequest", true);

/// The kinds that are kept.
pub(crate) static KEPT: [Kind; 14] = [
    POD,
    NAMESPACE,
    NODE,
    SERVICE_ACCOUNT,
    kind("", &["v1"], "configmaps", "ConfigMap", true),
    kind("", &["v1"], "secrets", "Secret", true),
    kind("", &["v1"], "events", "Event", true),
    kind("events.k8s.io", &["v1"], "events", "Event", true),
    Kind {
        create_on_update: true,
        unconditional_update: false,
        ..kind("coordination.k8s.io", &["v1"], "leases", "Lease", true)
    },
    CLUSTER_TRUST_BUNDLE,
    kind(RBAC, &["v1"], "clusterroles", "ClusterRole", false),
    kind(RBAC, &["v1"], "clusterrolebindings", "ClusterRoleBinding", false),
    kind(RBAC, &["v1"], "roles", "Role", true),
    kind(RBAC, &["v1"], "rolebindings", "RoleBinding", true),
];

impl Kind {
    /// As messages name it: `leases.coordination.k8s.io`.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    pub(crate) fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }

    /// The path of the collection, or of one object.
    pub(crate) fn path(&self, version: &str, namespace: &str, name: &str) -> String {
        let mut path =
            if self.group.is_empty() { format!("/api/{version}") } else { format!("/apis/{}/{version}", self.group) };
        if self.namespaced && !namespace.is_empty() {
            path = format!("{path}/namespaces/{namespace}");
        }
        path = format!("{path}/{}", self.plural);
        if name.is_empty() { path } else { format!("{path}/{name}") }
    }
}

/// What a path means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) kind: &'static Kind,
    pub(crate) version: String,
    /// Empty: all namespaces, or a kind that is in none.
    pub(crate) namespace: String,
    /// Empty: the collection.
    pub(crate) name: String,
    /// Empty: the object itself.
    pub(crate) subresource: String,
}

impl Target {
    pub(crate) fn api_version(&self) -> String {
        self.kind.api_version(&self.version)
    }

    /// Reads `/api/v1/...` and `/apis/<group>/<version>/...`. `bundle_versions` are those that serve trust bundles.
    pub(crate) fn parse(path: &str, bundle_versions: &[String]) -> Option<Self> {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let of = |plural: &str| {
            let found = KEPT.iter().find(|kind| kind.group == group && kind.plural == plural)?;
            let served = if *found == CLUSTER_TRUST_BUNDLE {
                bundle_versions.iter().any(|served| served == version)
            } else {
                found.versions.contains(&version)
            };
            served.then_some(found)
        };
        let target = |kind: &'static Kind, namespace: &str, name: &str, subresource: &str| {
            let [namespace, name, subresource] = [namespace, name, subresource].map(str::to_owned);
            Some(Self { kind, version: version.to_owned(), namespace, name, subresource })
        };
        match rest {
            ["namespaces", namespace, plural, tail @ ..] if of(plural).is_some_and(|kind| kind.namespaced) => {
                match tail {
                    [] => target(of(plural)?, namespace, "", ""),
                    [name] => target(of(plural)?, namespace, name, ""),
                    [name, subresource] => target(of(plural)?, namespace, name, subresource),
                    _ => None,
                }
            }
            [plural] => target(of(plural)?, "", "", ""),
            [plural, name] if !of(plural)?.namespaced => target(of(plural)?, "", name, ""),
            [plural, name, subresource] if !of(plural)?.namespaced => target(of(plural)?, "", name, subresource),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_collection_or_an_object() {
        let parse = |path: &str| {
            let target = Target::parse(path, &["v1beta1".to_owned()])?;
            Some((target.kind.plural, target.namespace, target.name, target.subresource))
        };
        let words = |kind, namespace: &str, name: &str, subresource: &str| {
            Some((kind, namespace.to_owned(), name.to_owned(), subresource.to_owned()))
        };
        assert_eq!(parse("/api/v1/pods"), words("pods", "", "", ""));
        assert_eq!(parse("/api/v1/namespaces/shop/pods/web"), words("pods", "shop", "web", ""));
        assert_eq!(parse("/api/v1/namespaces/shop"), words("namespaces", "", "shop", ""));
        assert_eq!(parse("/api/v1/namespaces/shop/finalize"), words("namespaces", "", "shop", "finalize"));
        assert_eq!(
            parse("/api/v1/namespaces/shop/serviceaccounts/web/token"),
            words("serviceaccounts", "shop", "web", "token")
        );
        assert_eq!(
            parse("/apis/certificates.k8s.io/v1beta1/clustertrustbundles/a:b"),
            words("clustertrustbundles", "", "a:b", "")
        );
        assert_eq!(parse("/apis/certificates.k8s.io/v1alpha1/clustertrustbundles"), None);
        assert_eq!(parse("/api/v2/pods"), None);
        assert_eq!(parse("/api/v1/pods/web"), None);
        assert_eq!(parse("/healthz"), None);
    }
}
