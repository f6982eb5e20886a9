//! Reads metadata, targets, and the objects around policies. Of those only what selection needs is looked at.

use signet_identity::Timestamp;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::fields::{Fields, Log};
use crate::model::{
    Gateway, Labels, Meta, Selector, Service, ServiceEntry, ServicePort, Target, TargetReference, Workload,
};
use crate::problem::{Code, Problem};
use crate::source::{Node, Place, Value};

pub(super) fn meta(node: &Node, at: Place, namespace: &str, log: &mut Log) -> Option<Meta> {
    let mut fields = Fields::open(node, "metadata", log)?;
    let Some(name) = fields.text("name", log).filter(|name| !name.value.is_empty()) else {
        log.push(Problem::new(Code::NotAnObject, node.at, "`metadata.name` is missing"));
        return None;
    };
    let created = fields.text("creationTimestamp", log);
    let created = created.and_then(|text| OffsetDateTime::parse(&text.value, &Rfc3339).ok());
    let mut annotations = Vec::new();
    if let Some(Node { value: Value::Map(entries), .. }) = fields.take("annotations") {
        let texts = entries.iter().filter_map(|entry| {
            super::fields::text(&entry.node, &entry.key, log).map(|text| (entry.key.clone(), text))
        });
        annotations.extend(texts);
    }
    Some(Meta {
        name: name.value,
        namespace: fields.text("namespace", log).map_or_else(|| namespace.into(), |text| text.value),
        labels: fields.labels("labels", log),
        annotations,
        created: created.map(|created| Timestamp::from_unix_secs(created.unix_timestamp())),
        at,
    })
}

pub(super) fn selector(fields: &mut Fields<'_>, log: &mut Log) -> Option<Selector> {
    let node = fields.take("selector")?;
    let mut inner = Fields::open(node, "selector", log)?;
    let labels = inner.labels("matchLabels", log);
    inner.finish(log);
    Some(Selector { labels, at: node.at })
}

pub(super) fn target(fields: &mut Fields<'_>, log: &mut Log) -> Target {
    let selector = selector(fields, log);
    let single = fields.take("targetRef");
    let list = fields.list("targetRefs", log);
    let mut references: Vec<TargetReference> = list.iter().filter_map(|node| reference(node, log)).collect();
    if references.is_empty() {
        references.extend(single.and_then(|node| reference(node, log)));
    }
    Target { selector, references }
}

fn reference(node: &Node, log: &mut Log) -> Option<TargetReference> {
    let mut fields = Fields::open(node, "targetRefs", log)?;
    let mut text = |name: &str| fields.text(name, log).map(|text| text.value).unwrap_or_default();
    let (group, kind, name, namespace) = (text("group"), text("kind"), text("name"), text("namespace"));
    fields.finish(log);
    Some(TargetReference { group, kind, name, namespace, at: node.at })
}

/// A string at the end of a path of keys.
fn text<'n>(node: Option<&'n Node>, path: &[&str]) -> Option<&'n str> {
    at(node, path)?.as_text()
}

fn at<'n>(node: Option<&'n Node>, path: &[&str]) -> Option<&'n Node> {
    path.iter().try_fold(node?, |node, key| node.get(key))
}

fn items<'n>(node: Option<&'n Node>, path: &[&str]) -> &'n [Node] {
    match at(node, path).map(|node| &node.value) {
        Some(Value::List(items)) => items,
        _ => &[],
    }
}

fn number(node: Option<&Node>) -> Option<u16> {
    match &node?.value {
        Value::Number(text) => text.parse().ok(),
        _ => None,
    }
}

fn labels(node: Option<&Node>) -> Labels {
    let entries = match node.map(|node| &node.value) {
        Some(Value::Map(entries)) => entries.as_slice(),
        _ => &[],
    };
    entries.iter().filter_map(|entry| entry.node.as_text().map(|text| (entry.key.clone(), text))).collect()
}

pub(super) fn workload(meta: Meta, spec: Option<&Node>, is_pod: bool) -> Workload {
    let template = at(spec, &["template"]);
    let pod = if is_pod { spec } else { at(template, &["spec"]) };
    let containers = items(pod, &["containers"]).iter();
    let ports = containers.flat_map(|container| items(Some(container), &["ports"]));
    Workload {
        labels: if is_pod { meta.labels.clone() } else { labels(at(template, &["metadata", "labels"])) },
        service_account: text(pod, &["serviceAccountName"]).unwrap_or("default").into(),
        ports: ports.filter_map(|port| number(port.get("containerPort"))).collect(),
        meta,
    }
}

pub(super) fn service(meta: Meta, spec: Option<&Node>) -> Service {
    let ports = items(spec, &["ports"]).iter().filter_map(|node| {
        let name = text(Some(node), &["name"]).unwrap_or_default();
        let protocol = text(Some(node), &["appProtocol"]).or_else(|| name.split('-').next()).unwrap_or_default();
        Some(ServicePort {
            name: name.into(),
            port: number(node.get("port"))?,
            target: number(node.get("targetPort")),
            target_name: text(Some(node), &["targetPort"]).map(Box::from),
            protocol: protocol.into(),
        })
    });
    Service { selector: labels(at(spec, &["selector"])), ports: ports.collect(), meta }
}

pub(super) fn service_entry(meta: Meta, spec: Option<&Node>) -> ServiceEntry {
    let hosts = items(spec, &["hosts"]).iter().filter_map(Node::as_text);
    ServiceEntry { hosts: hosts.map(Box::from).collect(), meta }
}

pub(super) fn gateway(meta: Meta, spec: Option<&Node>, is_gateway_api: bool) -> Gateway {
    let class = text(spec, &["gatewayClassName"]).filter(|_| is_gateway_api);
    Gateway { meta, is_gateway_api, class: class.map(Box::from) }
}
