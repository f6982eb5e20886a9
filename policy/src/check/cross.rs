//! What objects do to each other: policies and the workloads, services, namespaces, gateways and providers around them.
//!
//! Only what was read is known. Where nothing of a kind was read, nothing is said about that kind.

mod modes;
mod ports;
mod references;
mod tokens;

use std::collections::{HashMap, HashSet};

use super::findings::Findings;
use crate::model::{Labels, Meta, Target, Workload, World};
use crate::problem::{Code, Problem};
use crate::select::{Destination, Point, Selection, Switches, Targeted};
use crate::source::Place;

/// Most pairs of a policy and another object that are looked at.
const PAIRS_MAX: usize = 20_000_000;

/// Labels by which a workload or its namespace says that it is not in the mesh.
const OPT_OUT: [(&str, &str); 2] = [("sidecar.istio.io/inject", "false"), ("istio-injection", "disabled")];

pub(super) fn check(world: &World, findings: &mut Findings) {
    let scene = Scene::new(world);
    let policies = world.authorization.len() + world.request.len() + world.peer.len();
    let around = [world.workloads.len(), world.namespaces.len(), world.request.len(), world.services.len()];
    let around = around
        .into_iter()
        .max()
        .unwrap_or(0)
        .max(world.peer.len())
        .max(world.gateways.len())
        .max(world.service_entries.len());
    if policies.saturating_mul(around) > PAIRS_MAX {
        let at = world.authorization.first().map_or_else(Place::default, |policy| policy.meta.at);
        let message = format!("more than {PAIRS_MAX} pairs of policy and other object; what needs both is not checked");
        return findings.push(Problem::new(Code::NotCompared, at, message));
    }
    for policy in &world.authorization {
        findings.about(format!("AuthorizationPolicy {}", policy.meta));
        references::authorization(policy, world, findings);
        references::targets(&policy.meta, &policy.target, world, findings);
        tokens::demanded(policy, world, findings);
        let reached = scene.reached(policy);
        scene.somebody(&policy.meta, &policy.target, &reached, findings);
        ports::authorization(policy, &reached, (world, &scene.services), findings);
    }
    for policy in &world.request {
        findings.about(format!("RequestAuthentication {}", policy.meta));
        references::targets(&policy.meta, &policy.target, world, findings);
        tokens::verified(policy, world, findings);
        scene.somebody(&policy.meta, &policy.target, &scene.reached(policy), findings);
    }
    references::peers(world, findings);
    for policy in &world.peer {
        findings.about(format!("PeerAuthentication {}", policy.meta));
        let target = Target { selector: policy.selector.clone(), references: Vec::new() };
        let workloads = scene.chosen(&policy.meta, &target);
        scene.somebody(&policy.meta, &target, &workloads, findings);
        ports::peer(policy, &workloads, &scene.services, findings);
        modes::check(policy, world, findings);
    }
}

/// The workloads that are in the mesh, and the services, by namespace.
struct Scene<'w> {
    world: &'w World,
    by_namespace: HashMap<&'w str, Vec<&'w Workload>>,
    services: ports::Services<'w>,
}

impl<'w> Scene<'w> {
    fn new(world: &'w World) -> Self {
        let out = |labels: &Labels| OPT_OUT.iter().any(|(name, value)| labels.get(name) == Some(value));
        let namespaces = world.namespaces.iter().filter(|namespace| out(&namespace.meta.labels));
        let outside: HashSet<&str> = namespaces.map(|namespace| &*namespace.meta.name).collect();
        let mut by_namespace: HashMap<&str, Vec<&Workload>> = HashMap::new();
        for workload in &world.workloads {
            if !out(&workload.labels) && !outside.contains(&*workload.meta.namespace) {
                by_namespace.entry(&workload.meta.namespace).or_default().push(workload);
            }
        }
        let mut services = ports::Services::new();
        for service in &world.services {
            services.entry(&service.meta.namespace).or_default().push(service);
        }
        Self { world, by_namespace, services }
    }

    /// Every workload in the scope of a policy's namespace.
    fn scope(&self, meta: &Meta) -> Vec<&'w Workload> {
        if meta.namespace == self.world.mesh.root_namespace {
            return self.by_namespace.values().flatten().copied().collect();
        }
        self.by_namespace.get(&*meta.namespace).cloned().unwrap_or_default()
    }

    /// The workloads whose labels a selector names, whatever they are.
    fn chosen(&self, meta: &Meta, target: &Target) -> Vec<&'w Workload> {
        let selector = target.selector.as_ref();
        let chosen = |workload: &&Workload| selector.is_none_or(|one| one.labels.is_subset_of(&workload.labels));
        self.scope(meta).into_iter().filter(chosen).collect()
    }

    /// The workloads that a policy reaches at their own proxy.
    fn reached<P: Targeted>(&self, policy: &P) -> Vec<&'w Workload> {
        let reached = |workload: &&Workload| {
            let point = match (workload.is_waypoint(), workload.gateway_name()) {
                (true, _) => Point::Waypoint,
                (false, Some(_)) => Point::GatewayHttp,
                (false, None) => Point::SidecarHttp,
            };
            let selection = Selection {
                root_namespace: &self.world.mesh.root_namespace,
                switches: Switches::default(),
                destination: &Destination::of(workload),
                point,
            };
            !selection.select(std::slice::from_ref(policy)).is_empty()
        };
        self.scope(policy.meta()).into_iter().filter(reached).collect()
    }

    /// Tells when a policy reaches nobody. One for the whole mesh always may.
    fn somebody(&self, meta: &Meta, target: &Target, reached: &[&Workload], findings: &mut Findings) {
        let selector = target.selector.as_ref();
        let whole_mesh = meta.namespace == self.world.mesh.root_namespace && selector.is_none();
        if !reached.is_empty() || whole_mesh || self.world.workloads.is_empty() || !target.references.is_empty() {
            return;
        }
        let chosen = self.chosen(meta, target);
        let at = selector.map_or(meta.at, |selector| selector.at);
        if !chosen.is_empty() && chosen.iter().all(|workload| workload.is_waypoint()) {
            let message = "the selector names waypoints only, and waypoints take no policy by selector";
            let hint = "attach it with `targetRefs` to the Gateway or the Service";
            return findings.advise(Code::WaypointSelector, at, message, hint);
        }
        let message = match selector {
            Some(_) => "no workload that was read has the labels of this selector",
            None => "no workload that was read is in this namespace",
        };
        findings.tell(Code::NoWorkload, at, message);
    }
}
