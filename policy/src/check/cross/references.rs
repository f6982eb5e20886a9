//! Names of other objects in policies: namespaces, providers, targets; and PeerAuthentications that stand in each
//! other's way.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::check::authorization::conditions;
use crate::check::findings::Findings;
use crate::envoy::{Chain, CustomOptions, asked};
use crate::model::{Action, AuthorizationPolicy, Glob, Meta, PeerAuthentication, Target, Test, World, Written};
use crate::problem::Code;

pub(super) fn authorization(policy: &AuthorizationPolicy, world: &World, findings: &mut Findings) {
    for rule in policy.rules.iter().flatten() {
        for condition in conditions(rule) {
            if let (Test::Namespace(values), false) = (&condition.test, world.namespaces.is_empty()) {
                values.all().for_each(|value| namespace(value, world, findings));
            }
        }
    }
    if policy.action == Action::Custom && world.mesh.at.is_some() {
        provider(policy, world, findings);
    }
}

fn namespace(value: &Written<Glob>, world: &World, findings: &mut Findings) {
    let Ok(pattern) = &value.pattern else { return };
    // Two stars or one in the middle: what they match differs between proxies, so nothing is said.
    let plain = !value.text.trim_matches('*').contains('*') && pattern.pieces().len() <= 2;
    let matches = |name: &str| pattern.plain().matches_any_case(name);
    if plain && !world.namespaces.iter().any(|namespace| matches(&namespace.meta.name)) {
        let message = format!("no namespace that was read is like `{}`", value.text);
        findings.tell(Code::UnknownNamespace, value.at, message);
    }
}

fn provider(policy: &AuthorizationPolicy, world: &World, findings: &mut Findings) {
    let Some(name) = policy.provider.as_ref().filter(|name| !name.value.is_empty()) else { return };
    let custom = CustomOptions { providers: &world.mesh.providers, several_providers: false, services: None };
    let judged = asked(std::iter::once(policy), Chain::Http, &custom);
    let Some(error) = judged.into_values().find_map(|asked| asked.filter.err()) else { return };
    let message = format!("{error}: what the rules match is refused");
    findings.advise(Code::ProviderUnknown, name.at, message, "see `extensionProviders` of the mesh configuration");
}

/// References to objects that are not there, where objects of that kind were read.
pub(super) fn targets(meta: &Meta, target: &Target, world: &World, findings: &mut Findings) {
    for reference in &target.references {
        let is = |other: &Meta| other.name == reference.name && other.namespace == meta.namespace;
        let (any, found) = match &*reference.kind {
            "Service" => (!world.services.is_empty(), world.services.iter().any(|one| is(&one.meta))),
            "ServiceEntry" => {
                (!world.service_entries.is_empty(), world.service_entries.iter().any(|one| is(&one.meta)))
            }
            "Gateway" => {
                let mut gateways = world.gateways.iter().filter(|gateway| gateway.is_gateway_api).peekable();
                (gateways.peek().is_some(), gateways.any(|one| is(&one.meta)))
            }
            "GatewayClass" => {
                let root = meta.namespace == world.mesh.root_namespace;
                (true, root && &*reference.name == "istio-waypoint")
            }
            _ => continue,
        };
        if any && !found {
            let (kind, name) = (&reference.kind, &reference.name);
            let (message, hint) = if &**kind == "GatewayClass" {
                let message =
                    format!("a policy is attached to the {kind} `istio-waypoint` from the root namespace only");
                (message, format!("put it into `{}`", world.mesh.root_namespace))
            } else {
                let message = format!("no {kind} `{name}` that was read is in the namespace `{}`", meta.namespace);
                (message, "a policy is attached in its own namespace only".to_owned())
            };
            findings.advise(Code::TargetMissing, reference.at, message, hint);
        }
    }
}

/// A namespace, and the labels of a selector.
type Scope<'a> = (&'a str, Vec<(&'a str, &'a str)>);

/// Of PeerAuthentications with the same scope the oldest counts.
pub(super) fn peers(world: &World, findings: &mut Findings) {
    let mut oldest: HashMap<Scope<'_>, &PeerAuthentication> = HashMap::new();
    let mut policies: Vec<&PeerAuthentication> = world.peer.iter().collect();
    policies.sort_by_key(|policy| policy.meta.age());
    for policy in policies {
        findings.about(format!("PeerAuthentication {}", policy.meta));
        if policy.selects() && policy.meta.namespace == world.mesh.root_namespace {
            let at = policy.selector.as_ref().map_or(policy.meta.at, |selector| selector.at);
            let message = "a PeerAuthentication with a selector in the root namespace is ignored";
            findings.advise(Code::PeerRootSelector, at, message, "put it into the namespace of the workload");
            continue;
        }
        let labels = policy.selector.as_ref().map(|selector| selector.labels.iter().collect()).unwrap_or_default();
        match oldest.entry((&policy.meta.namespace, labels)) {
            Entry::Vacant(entry) => {
                entry.insert(policy);
            }
            Entry::Occupied(entry) => {
                let winner = &entry.get().meta;
                if winner.name == policy.meta.name {
                    continue; // The same object twice, which is told as that.
                }
                let message = format!("`{winner}` has the same scope and is older, and only the oldest counts");
                let hint = match (winner.created, policy.meta.created) {
                    (Some(_), Some(_)) => "make one policy of them",
                    _ => "without `creationTimestamp` the order here is that of the names",
                };
                findings.advise(Code::PeerShadowed, policy.meta.at, message, hint);
            }
        }
    }
}
