//! Reads the mesh configuration: alone, in Istio's ConfigMap, or in an IstioOperator.

use super::fields::{Fields, Log, one_of};
use crate::model::{ExtensionProvider, MeshConfig, Normalization, Provider, Spotted};
use crate::problem::{Code, Problem};
use crate::source::{Node, Sources, Value, documents};

const NORMALIZATIONS: [(&str, Normalization); 5] = [
    ("DEFAULT", Normalization::Base),
    ("NONE", Normalization::None),
    ("BASE", Normalization::Base),
    ("MERGE_SLASHES", Normalization::MergeSlashes),
    ("DECODE_AND_MERGE_SLASHES", Normalization::DecodeAndMergeSlashes),
];

/// Keys of which a text without `kind` must have one to be taken for a mesh configuration.
const TELLING: [&str; 5] =
    ["rootNamespace", "trustDomain", "trustDomainAliases", "pathNormalization", "extensionProviders"];

pub(super) fn looks_like_one(node: &Node) -> bool {
    TELLING.iter().any(|key| node.get(key).is_some())
}

pub(super) fn is_config_map(node: &Node) -> bool {
    node.get("data").is_some_and(|data| data.get("mesh").is_some())
}

/// The mesh configuration in a ConfigMap is a text of its own; its places point at the text around it.
pub(super) fn embedded(node: &Node) -> Result<Option<Node>, Box<Problem>> {
    let Some(text) = node.get("data").and_then(|data| data.get("mesh")) else { return Ok(None) };
    let mut sources = Sources::new();
    let id = sources.add("mesh", text.as_text().unwrap_or_default());
    match documents(&sources, id) {
        Ok(documents) => Ok(documents.into_iter().next().map(|mut inner| {
            move_to(&mut inner, text);
            inner
        })),
        Err(problem) => Err(Box::new(Problem { at: text.at, ..*problem })),
    }
}

fn move_to(node: &mut Node, outer: &Node) {
    node.at = outer.at;
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| move_to(item, outer)),
        Value::Map(entries) => entries.iter_mut().for_each(|entry| {
            entry.key_at = outer.at;
            move_to(&mut entry.node, outer);
        }),
        _ => {}
    }
}

/// A mesh configuration has a hundred fields; those that say nothing about policy are not told.
pub(super) fn config(node: &Node, log: &mut Log) -> MeshConfig {
    let mut config = MeshConfig { at: Some(node.at), ..MeshConfig::default() };
    let Some(mut fields) = Fields::open(node, "meshConfig", log) else { return config };
    if let Some(root) = fields.text("rootNamespace", log) {
        config.root_namespace = root.value;
    }
    if let Some(domain) = fields.text("trustDomain", log) {
        config.trust_domains = vec![domain.value];
    }
    config.trust_domains.extend(fields.texts("trustDomainAliases", log).into_iter().map(|text| text.value));
    let normalization = fields.take("pathNormalization").and_then(|node| node.get("normalization"));
    if let Some(node) = normalization {
        config.normalization = one_of(node, "normalization", &NORMALIZATIONS, log).unwrap_or_default();
    }
    for item in fields.list("extensionProviders", log) {
        config.providers.extend(provider(item, log));
    }
    config
}

fn provider(node: &Node, log: &mut Log) -> Option<ExtensionProvider> {
    let Some(name) = node.get("name").and_then(Node::as_text) else {
        log.push(Problem::new(Code::WrongType, node.at, "an extension provider wants a `name`"));
        return None;
    };
    let provider = match (node.get("envoyExtAuthzHttp"), node.get("envoyExtAuthzGrpc")) {
        (Some(settings), _) => Provider::Http { settings: settings.clone() },
        (None, Some(settings)) => Provider::Grpc { settings: settings.clone() },
        (None, None) => Provider::Other,
    };
    Some(ExtensionProvider { name: Spotted { value: name.into(), at: node.at }, provider })
}
