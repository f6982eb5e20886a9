//! Who may do what, by the roles and bindings in the store, as RBAC reads them.

use serde_json::Value;

use crate::auth::User;
use crate::kinds::{KEPT, Kind};
use crate::oidc;
use crate::store::Store;

/// One thing to be allowed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    /// Plural, with a subresource behind a slash.
    pub(crate) resource: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
}

/// Paths that everybody may read.
const PUBLIC: [&str; 4] = ["/healthz", "/livez", "/readyz", "/version"];

pub(crate) fn allows(store: &Store, user: &User, wish: Wish<'_>) -> bool {
    user.is_master() || granted(store, user, wish.namespace).iter().any(|rule| rule_allows(rule, wish))
}

/// Whether `user` may `verb` a path that names no object. The roles that every cluster has from its start are known.
pub(crate) fn allows_path(store: &Store, user: &User, verb: &str, path: &str) -> bool {
    let is = |group: &str| user.groups.iter().any(|own| own == group);
    let discovery = PUBLIC.contains(&path)
        || is("system:authenticated")
            && (path.starts_with("/api/") || path.starts_with("/apis/") || path == "/api" || path == "/apis");
    let issuer = is("system:serviceaccounts") && [oidc::DISCOVERY_PATH, oidc::JWKS_PATH].contains(&path);
    let by_rule = || {
        let rules = granted(store, user, "");
        rules.iter().any(|rule| holds(&rule["verbs"], verb) && holds(&rule["nonResourceURLs"], path))
    };
    user.is_master() || (verb == "get" && (discovery || issuer)) || by_rule()
}

fn rule_allows(rule: &Value, wish: Wish<'_>) -> bool {
    let names = rule["resourceNames"].as_array().is_none_or(Vec::is_empty) || holds(&rule["resourceNames"], wish.name);
    holds(&rule["verbs"], wish.verb)
        && holds(&rule["apiGroups"], wish.group)
        && holds(&rule["resources"], wish.resource)
        && names
}

fn holds(list: &Value, wanted: &str) -> bool {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).any(|item| item == "*" || item == wanted)
}

/// The rules of all roles that are bound to `user`, for the whole cluster and in `namespace`.
fn granted(store: &Store, user: &User, namespace: &str) -> Vec<Value> {
    let mut rules = rules_of(store, user, "clusterrolebindings", "");
    if !namespace.is_empty() {
        rules.extend(rules_of(store, user, "rolebindings", namespace));
    }
    rules
}

fn rules_of(store: &Store, user: &User, bindings: &str, namespace: &str) -> Vec<Value> {
    let bound = store.of(kind(bindings), namespace).filter(|(_, binding)| {
        binding["subjects"].as_array().into_iter().flatten().any(|subject| is_subject(subject, user))
    });
    let rules = bound.flat_map(|(key, binding)| {
        let name = binding["roleRef"]["name"].as_str().unwrap_or_default();
        let (roles, place) = match binding["roleRef"]["kind"].as_str() {
            Some("Role") => ("roles", key.namespace.as_str()),
            _ => ("clusterroles", ""),
        };
        let role = store.of(kind(roles), place).find(|(key, _)| key.name == name);
        role.and_then(|(_, role)| role["rules"].as_array().cloned()).unwrap_or_default()
    });
    rules.collect()
}

fn is_subject(subject: &Value, user: &User) -> bool {
    let name = subject["name"].as_str().unwrap_or_default();
    match subject["kind"].as_str() {
        Some("ServiceAccount") => {
            let namespace = subject["namespace"].as_str().unwrap_or_default();
            user.name == format!("system:serviceaccount:{namespace}:{name}")
        }
        Some("Group") => user.groups.iter().any(|group| group == name),
        _ => user.name == name,
    }
}

fn kind(plural: &str) -> &'static Kind {
    KEPT.iter().find(|kind| kind.plural == plural).expect("roles and bindings should be kept")
}
