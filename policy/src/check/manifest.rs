//! The three kinds among the documents, and the rules on what every object has: version, name, annotations.

use std::fmt;

use super::findings::Findings;
use super::schema::is_label;
use crate::model::{DRY_RUN, ObjectKind, boolean};
use crate::problem::{Code, Problem};
use crate::source::{Node, Value};

const GROUP: &str = "security.istio.io/";

/// Longest name of an object: a DNS subdomain.
const NAME_MAX: usize = 253;
/// Longest name of a namespace: a DNS label.
const LABEL_MAX: usize = 63;

/// One object of the three kinds, as it was written.
pub(super) struct Manifest<'n> {
    pub(super) kind: ObjectKind,
    version: &'n Node,
    node: &'n Node,
    namespace: &'n str,
}

impl<'n> Manifest<'n> {
    /// One of the three kinds; `None` for any other.
    pub(super) fn new(node: &'n Node, default_namespace: &'n str) -> Option<Self> {
        let version = node.get("apiVersion")?;
        version.as_text()?.strip_prefix(GROUP)?;
        let kind = match node.get("kind")?.as_text()? {
            "AuthorizationPolicy" => ObjectKind::AuthorizationPolicy,
            "PeerAuthentication" => ObjectKind::PeerAuthentication,
            "RequestAuthentication" => ObjectKind::RequestAuthentication,
            _ => return None,
        };
        let namespace = node.get("metadata").and_then(|meta| meta.get("namespace")).and_then(Node::as_text);
        Some(Self { kind, version, node, namespace: namespace.unwrap_or(default_namespace) })
    }

    /// `spec`, when it is a mapping.
    pub(super) fn spec(&self) -> Option<&'n Node> {
        self.node.get("spec").filter(|spec| matches!(spec.value, Value::Map(_)))
    }

    pub(super) fn status(&self) -> Option<&'n Node> {
        self.node.get("status")
    }

    fn meta(&self, name: &str) -> Option<&'n Node> {
        self.node.get("metadata").and_then(|meta| meta.get(name))
    }
}

impl fmt::Display for Manifest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.meta("name").and_then(Node::as_text).unwrap_or_default();
        write!(f, "{} {}/{name}", self.kind, self.namespace)
    }
}

/// Gives `visit` each object in a document, those in lists too.
pub(super) fn each<'n>(document: &'n Node, visit: &mut dyn FnMut(&'n Node)) {
    let is_list = document.get("kind").and_then(Node::as_text).is_some_and(|kind| kind.ends_with("List"));
    match document.get("items").map(|items| &items.value) {
        Some(Value::List(items)) if is_list => items.iter().for_each(|item| each(item, visit)),
        _ => visit(document),
    }
}

/// Version, names and the annotation for dry runs.
pub(super) fn check(manifest: &Manifest<'_>, findings: &mut Findings) {
    let version = manifest.version.as_text().unwrap_or_default();
    if !matches!(version.strip_prefix(GROUP), Some("v1" | "v1beta1")) {
        let message = format!("`{version}` is not served; the kind is known in `v1` and `v1beta1`");
        findings.advise(Code::ApiVersion, manifest.version.at, message, format!("write `{GROUP}v1`"));
    }
    for (field, max, is_one_label) in [("name", NAME_MAX, false), ("namespace", LABEL_MAX, true)] {
        if let Some(node) = manifest.meta(field)
            && let Some(name) = node.as_text()
            && !(name.is_empty() || is_dns(name, max, is_one_label))
        {
            let message = format!("`{name}` is no {field} that Kubernetes accepts");
            let hint = "lower-case letters, digits and `-`, neither first nor last";
            findings.advise(Code::ObjectName, node.at, message, hint);
        }
    }
    if let Some(node) = manifest.meta("annotations").and_then(|annotations| annotations.get(DRY_RUN)) {
        dry_run(manifest, node, findings);
    }
}

fn dry_run(manifest: &Manifest<'_>, node: &Node, findings: &mut Findings) {
    let action = manifest.node.get("spec").and_then(|spec| spec.get("action")).and_then(Node::as_text);
    let acts = matches!(action, None | Some("ALLOW" | "DENY"));
    if manifest.kind != ObjectKind::AuthorizationPolicy || !acts {
        let message = format!("`{DRY_RUN}` is for AuthorizationPolicy with the action ALLOW or DENY only");
        findings.advise(Code::DryRunMisplaced, node.at, message, "remove the annotation");
    }
    let text = node.as_text().unwrap_or_default();
    if boolean(text).is_none() {
        let message = format!("`{text}` is no boolean; the policy would be enforced");
        let problem = Problem::new(Code::DryRunValue, node.at, message);
        findings.push(problem.with_hint("write `\"true\"` or `\"false\"`, in quotes"));
    }
}

fn is_dns(name: &str, max: usize, is_one_label: bool) -> bool {
    name.len() <= max && if is_one_label { is_label(name) } else { name.split('.').all(is_label) }
}
