//! From documents to the model. Lists (`kind: List`, and those of each kind) are taken apart; other kinds are told.
//!
//! What is wrong is collected, not thrown: a reader of a hundred files wants to see every problem at once. Whoever
//! decides asks for the [`World`], which there is only when nothing is an error: a set of policies of which one could
//! not be read is not that set.

mod authorization;
mod fields;
mod mesh;
mod others;
mod peer;
mod request;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use self::fields::{Fields, Log};
use super::{MeshConfig, Meta, ObjectKind, World};
use crate::problem::{Code, Problem, Severity};
use crate::source::{Node, Place, Sources, Value, documents};

/// What the texts leave open.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// The namespace of objects that name none.
    pub default_namespace: String,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { default_namespace: "default".to_owned() }
    }
}

/// What came of reading.
#[derive(Debug, Clone)]
pub struct Reading {
    world: World,
    /// Everything that is wrong, in the order of the texts.
    pub problems: Vec<Problem>,
}

impl Reading {
    /// Everything that was read, if all of it could be.
    ///
    /// # Errors
    /// Every problem, when one of them is an error.
    pub fn into_world(self) -> Result<World, Vec<Problem>> {
        if self.has_errors() { Err(self.problems) } else { Ok(self.world) }
    }

    /// Whether something could not be read.
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity() == Severity::Error)
    }

    /// What could be read, for checks that go on to the next problem. Never decide by it.
    pub fn partial(&self) -> &World {
        &self.world
    }
}

/// The documents of one text, or why there are none.
pub(crate) type Parsed = Result<Vec<Node>, Box<Problem>>;

/// Reads every text.
pub fn read(sources: &Sources, options: &ReadOptions) -> Reading {
    let parsed: Vec<Parsed> = sources.ids().map(|id| documents(sources, id)).collect();
    read_parsed(&parsed, sources, options)
}

/// The same for texts that were parsed already.
pub(crate) fn read_parsed(parsed: &[Parsed], sources: &Sources, options: &ReadOptions) -> Reading {
    let mut reader = Reader { world: World::default(), log: Log::default(), sources, options, seen: HashMap::new() };
    for text in parsed {
        match text {
            Ok(documents) => documents.iter().for_each(|document| reader.document(document)),
            Err(problem) => reader.log.push((**problem).clone()),
        }
    }
    Reading { world: reader.world, problems: reader.log.into_problems() }
}

struct Reader<'a> {
    world: World,
    log: Log,
    sources: &'a Sources,
    options: &'a ReadOptions,
    seen: HashMap<(ObjectKind, Box<str>, Box<str>), Place>,
}

impl Reader<'_> {
    fn document(&mut self, node: &Node) {
        let kind = node.get("kind").and_then(Node::as_text);
        let group = node.get("apiVersion").and_then(Node::as_text);
        let (Some(kind), Some(version)) = (kind, group) else {
            let is_mesh = node.get("kind").is_none() && mesh::looks_like_one(node);
            if is_mesh {
                return self.mesh(node);
            }
            let message = "not an object: `apiVersion` and `kind` are wanted";
            return self.log.push(Problem::new(Code::NotAnObject, node.at, message));
        };
        if let (true, Some(Node { value: Value::List(items), .. })) = (kind.ends_with("List"), node.get("items")) {
            return items.iter().for_each(|item| self.document(item));
        }
        let group = version.split_once('/').map_or("", |(group, _)| group);
        match (group, kind) {
            ("security.istio.io", "AuthorizationPolicy") => self.authorization(node),
            ("security.istio.io", "PeerAuthentication") => self.peer(node),
            ("security.istio.io", "RequestAuthentication") => self.request(node),
            ("", "Pod") | ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") | ("batch", "Job") => {
                self.workload(node, kind);
            }
            ("", "Namespace") => self.namespace(node),
            ("", "Service") => self.service(node),
            ("", "ConfigMap") if mesh::is_config_map(node) => self.mesh_config_map(node),
            ("networking.istio.io", "ServiceEntry") => self.service_entry(node),
            ("networking.istio.io" | "gateway.networking.k8s.io", "Gateway") => self.gateway(node, group),
            ("install.istio.io", "IstioOperator") => self.istio_operator(node),
            _ => self.other(node, kind),
        }
    }

    fn other(&mut self, node: &Node, kind: &str) {
        let message = format!("`{kind}` says nothing about policy and is passed over");
        self.log.push(Problem::new(Code::OtherKind, node.at, message));
    }

    /// Opens an object: its metadata, and its `spec`. `None` for one that has no usable name.
    fn object<'n>(&mut self, node: &'n Node, kind: ObjectKind) -> Option<(Meta, Option<&'n Node>)> {
        let mut fields = Fields::open(node, "object", &mut self.log)?;
        let _known = ["apiVersion", "kind", "status", "data"].map(|name| fields.take(name));
        let spec = fields.take("spec");
        let meta = fields.take("metadata");
        fields.finish(&mut self.log);
        let Some(meta) = meta else {
            self.log.push(Problem::new(Code::NotAnObject, node.at, "the object has no `metadata`"));
            return None;
        };
        let namespace = if kind == ObjectKind::Namespace { "" } else { self.options.default_namespace.as_str() };
        let meta = others::meta(meta, node.at, namespace, &mut self.log)?;
        let key = (kind, meta.namespace.clone(), meta.name.clone());
        if kind != ObjectKind::Workload
            && let Some(first) = self.seen.insert(key, node.at)
        {
            let first = self.sources.locate(first);
            let message = format!("there is a second {kind} `{meta}`; the first stands in {first}");
            self.log.push(Problem::new(Code::DuplicateObject, meta.at, message));
        }
        Some((meta, spec))
    }

    fn authorization(&mut self, node: &Node) {
        if let Some((meta, spec)) = self.object(node, ObjectKind::AuthorizationPolicy) {
            let policy = authorization::policy(meta, spec, &mut self.log);
            self.world.authorization.extend(policy);
        }
    }

    fn peer(&mut self, node: &Node) {
        if let Some((meta, spec)) = self.object(node, ObjectKind::PeerAuthentication) {
            self.world.peer.extend(peer::policy(meta, spec, &mut self.log));
        }
    }

    fn request(&mut self, node: &Node) {
        if let Some((meta, spec)) = self.object(node, ObjectKind::RequestAuthentication) {
            self.world.request.extend(request::policy(meta, spec, &mut self.log));
        }
    }

    fn workload(&mut self, node: &Node, kind: &str) {
        if let Some((meta, spec)) = self.object(node, ObjectKind::Workload) {
            self.world.workloads.push(others::workload(meta, spec, kind == "Pod"));
        }
    }

    fn namespace(&mut self, node: &Node) {
        if let Some((meta, _)) = self.object(node, ObjectKind::Namespace) {
            self.world.namespaces.push(super::NamespaceObject { meta });
        }
    }

    fn service(&mut self, node: &Node) {
        if let Some((meta, spec)) = self.object(node, ObjectKind::Service) {
            self.world.services.push(others::service(meta, spec));
        }
    }

    fn service_entry(&mut self, node: &Node) {
        if let Some((meta, spec)) = self.object(node, ObjectKind::ServiceEntry) {
            self.world.service_entries.push(others::service_entry(meta, spec));
        }
    }

    fn gateway(&mut self, node: &Node, group: &str) {
        let is_gateway_api = group == "gateway.networking.k8s.io";
        if is_gateway_api && let Some((meta, spec)) = self.object(node, ObjectKind::Gateway) {
            self.world.gateways.push(others::gateway(meta, spec, true));
        } else if !is_gateway_api && let Some(meta) = node.get("metadata") {
            let namespace = &self.options.default_namespace;
            if let Some(meta) = others::meta(meta, node.at, namespace, &mut self.log) {
                self.world.gateways.push(others::gateway(meta, node.get("spec"), false));
            }
        }
    }

    fn mesh(&mut self, node: &Node) {
        if let Some(first) = self.world.mesh.at {
            let first = self.sources.locate(first);
            let message = format!("there is a second mesh configuration; the first stands in {first}");
            self.log.push(Problem::new(Code::SecondMeshConfig, node.at, message));
        }
        self.world.mesh = mesh::config(node, &mut self.log);
    }

    fn mesh_config_map(&mut self, node: &Node) {
        match mesh::embedded(node) {
            Ok(Some(inner)) => self.mesh(&inner),
            Ok(None) => self.other(node, "ConfigMap"),
            Err(problem) => self.log.push(*problem),
        }
    }

    fn istio_operator(&mut self, node: &Node) {
        match node.get("spec").and_then(|spec| spec.get("meshConfig")) {
            Some(mesh) => self.mesh(mesh),
            None => self.other(node, "IstioOperator"),
        }
    }
}

impl MeshConfig {
    /// The mesh configuration that a node holds, whatever stands around it.
    pub fn from_node(node: &Node) -> (Self, Vec<Problem>) {
        let mut log = Log::default();
        let config = mesh::config(node, &mut log);
        (config, log.into_problems())
    }
}
