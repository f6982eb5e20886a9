//! What the server says about itself: version, groups, resources.

use serde_json::{Value, json};

use crate::kinds::{CERTIFICATES, CLUSTER_TRUST_BUNDLE, KEPT};

/// Answers paths below `/version`, `/api` and `/apis` that name no object.
pub(crate) fn answer(path: &str, bundle_versions: &[String]) -> Option<Value> {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match parts.as_slice() {
        ["version"] => Some(version()),
        ["api"] => Some(json!({ "kind": "APIVersions", "versions": ["v1"] })),
        ["api", "v1"] => Some(resources("", "v1", bundle_versions)),
        ["apis"] => {
            let mut groups: Vec<&str> = KEPT.iter().map(|kind| kind.group).filter(|group| !group.is_empty()).collect();
            groups.sort_unstable();
            groups.dedup();
            let groups: Vec<Value> = groups.into_iter().map(|name| group(name, bundle_versions)).collect();
            Some(json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups }))
        }
        ["apis", name] if is_group(name) => {
            let mut group = group(name, bundle_versions);
            group["kind"] = json!("APIGroup");
            group["apiVersion"] = json!("v1");
            Some(group)
        }
        ["apis", name, version] if is_group(name) => {
            let served = versions(name, bundle_versions).iter().any(|served| served == version);
            served.then(|| resources(name, version, bundle_versions))
        }
        _ => None,
    }
}

fn is_group(name: &str) -> bool {
    KEPT.iter().any(|kind| kind.group == name)
}

fn version() -> Value {
    json!({
        "major": "1",
        "minor": "36",
        "emulationMajor": "1",
        "emulationMinor": "36",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "35",
        "gitVersion": "v1.36.0-standin",
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "go1.27.3",
        "compiler": "gc",
        "platform": "linux/amd64",
    })
}

/// `certificates.k8s.io/v1` is there for signing requests, whether it has trust bundles or not.
fn versions(group: &str, bundle_versions: &[String]) -> Vec<String> {
    if group != CERTIFICATES {
        return vec!["v1".to_owned()];
    }
    let mut versions = vec!["v1".to_owned()];
    versions.extend(bundle_versions.iter().filter(|version| *version != "v1").cloned());
    versions
}

fn group(name: &str, bundle_versions: &[String]) -> Value {
    let versions = versions(name, bundle_versions);
    let entry = |version: &String| json!({ "groupVersion": format!("{name}/{version}"), "version": version });
    let entries: Vec<Value> = versions.iter().map(entry).collect();
    json!({ "name": name, "preferredVersion": entries.first(), "versions": entries })
}

fn resources(group: &str, version: &str, bundle_versions: &[String]) -> Value {
    let served = KEPT
        .iter()
        .filter(|kind| kind.group == group)
        .filter(|kind| **kind != CLUSTER_TRUST_BUNDLE || bundle_versions.iter().any(|served| served == version));
    let verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
    let resources = served.map(|kind| {
        json!({
            "name": kind.plural,
            "singularName": kind.kind.to_lowercase(),
            "namespaced": kind.namespaced,
            "kind": kind.kind,
            "verbs": verbs,
        })
    });
    let version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": version,
        "resources": resources.collect::<Vec<_>>(),
    })
}
