//! What the mesh itself reports in the objects: conditions of a policy, and how istiod was deployed.

use super::findings::Findings;
use super::manifest::Manifest;
use crate::problem::{Code, Problem};
use crate::source::{Node, Value};

/// Conditions by which the mesh says whether it enforces a policy.
const CONDITIONS: [&str; 2] = ["ZtunnelAccepted", "WaypointAccepted"];
/// The setting of istiod that keeps it from fetching keys anywhere.
const BLOCKED: &str = "BLOCKED_CIDRS_IN_JWKS_URIS";

pub(super) fn conditions(manifest: &Manifest<'_>, findings: &mut Findings) {
    let Some(status) = manifest.status() else { return };
    for condition in items(status.get("conditions")) {
        let text = |name: &str| condition.get(name).and_then(Node::as_text).unwrap_or_default();
        let negative = text("status") == "False" || text("reason") == "PartiallyInvalid";
        if CONDITIONS.contains(&text("type")) && negative {
            let message = format!("the mesh reports {}: {}", text("reason"), text("message"));
            findings.tell(Code::NegativeStatus, condition.at, message);
        }
    }
}

/// Tells an istiod that would fetch keys from any address; `fetches` says whether there is a reason to fetch any.
pub(super) fn istiod(node: &Node, fetches: bool, default_namespace: &str, findings: &mut Findings) {
    let is_deployment = node.get("kind").and_then(Node::as_text) == Some("Deployment");
    let meta = |name: &str| node.get("metadata").and_then(|meta| meta.get(name));
    let app = meta("labels").and_then(|labels| labels.get("app")).and_then(Node::as_text);
    if !fetches || !is_deployment || app != Some("istiod") {
        return;
    }
    let pod = node.get("spec").and_then(|spec| spec.get("template")).and_then(|template| template.get("spec"));
    let containers = items(pod.and_then(|pod| pod.get("containers")));
    let mut settings = containers.iter().flat_map(|container| items(container.get("env")));
    let is_set = settings.any(|setting| {
        let text = |name: &str| setting.get(name).and_then(Node::as_text).unwrap_or_default();
        text("name") == BLOCKED && (!text("value").is_empty() || setting.get("valueFrom").is_some())
    });
    if !is_set {
        let text = |name: &str| meta(name).and_then(Node::as_text);
        let (namespace, name) = (text("namespace").unwrap_or(default_namespace), text("name").unwrap_or_default());
        findings.about(format!("Deployment {namespace}/{name}"));
        let message = format!("istiod fetches keys from any address that a policy names: `{BLOCKED}` is not set");
        let problem = Problem::new(Code::OpenKeyFetch, node.at, message);
        findings.push(problem.with_hint("set it to the ranges that no issuer lives in"));
    }
}

fn items(node: Option<&Node>) -> &[Node] {
    match node.map(|node| &node.value) {
        Some(Value::List(items)) => items,
        _ => &[],
    }
}
