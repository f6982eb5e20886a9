//! Ports in policies and the ports that the workloads under them have.

use std::collections::{BTreeSet, HashMap};

use crate::check::authorization::conditions;
use crate::check::findings::Findings;
use crate::model::{
    Action, AuthorizationPolicy, PeerAuthentication, Provider, Rule, Service, Spotted, Test, Workload, World,
};
use crate::problem::Code;
use crate::source::Place;

/// Protocols of services on whose ports proxies see bytes.
const BYTES: [&str; 7] = ["tcp", "tls", "https", "mongo", "mysql", "redis", "postgres"];

/// Services by their namespace.
pub(super) type Services<'w> = HashMap<&'w str, Vec<&'w Service>>;

/// What is known of the ports of some workloads.
#[derive(Default)]
struct Known {
    /// Everything that some of them listens on.
    listening: BTreeSet<u16>,
    /// Ports of their services, with the workload's port for each.
    services: Vec<(u16, u16)>,
    /// Workloads' ports on which proxies see bytes.
    bytes: BTreeSet<u16>,
}

impl Known {
    /// `None` where something about them is not known.
    fn of(workloads: &[&Workload], services: &Services<'_>) -> Option<Self> {
        let mut known = Self::default();
        for workload in workloads {
            if workload.is_waypoint() || workload.gateway_name().is_some() {
                return None;
            }
            known.listening.extend(&workload.ports);
            let mine =
                |service: &&&Service| !service.selector.is_empty() && service.selector.is_subset_of(&workload.labels);
            let near = services.get(&*workload.meta.namespace).map(Vec::as_slice).unwrap_or_default();
            for port in near.iter().filter(mine).flat_map(|service| &service.ports) {
                if port.target_name.is_some() {
                    return None;
                }
                let target = port.target.unwrap_or(port.port);
                known.listening.insert(target);
                known.services.push((port.port, target));
                if BYTES.contains(&&*port.protocol.to_ascii_lowercase()) {
                    known.bytes.insert(target);
                }
            }
        }
        (!known.listening.is_empty()).then_some(known)
    }

    fn tell_unknown(&self, port: u16, at: Place, findings: &mut Findings) {
        if self.listening.contains(&port) || port == 0 {
            return;
        }
        match self.services.iter().find(|(service, _)| *service == port) {
            Some((_, target)) => {
                let message = format!("{port} is the port of a Service; the workload listens on {target}");
                findings.advise(Code::PortUnknown, at, message, format!("write {target}"));
            }
            None => {
                let message = format!("no workload under this policy is known to listen on {port}");
                findings.tell(Code::PortUnknown, at, message);
            }
        }
    }
}

pub(super) fn authorization(
    policy: &AuthorizationPolicy,
    reached: &[&Workload],
    (world, services): (&World, &Services<'_>),
    findings: &mut Findings,
) {
    let names_ports = policy.rules.iter().flatten().any(|rule| !ports(rule).is_empty());
    if !names_ports && policy.action != Action::Custom {
        return;
    }
    let Some(known) = Known::of(reached, services) else { return };
    for rule in policy.rules.iter().flatten() {
        for (port, at) in ports(rule) {
            known.tell_unknown(port, at, findings);
        }
        http_on_bytes(policy.action, rule, &known, findings);
    }
    provider_on_bytes(policy, &known, world, findings);
}

pub(super) fn peer(
    policy: &PeerAuthentication,
    reached: &[&Workload],
    services: &Services<'_>,
    findings: &mut Findings,
) {
    if policy.ports.is_empty() || !policy.selects() {
        return;
    }
    let Some(known) = Known::of(reached, services) else { return };
    for Spotted { value, at } in policy.ports.iter().map(|entry| &entry.port) {
        if let Ok(port) = u16::try_from(*value) {
            known.tell_unknown(port, *at, findings);
        }
    }
}

/// Every port that a rule names, negated or not.
fn ports(rule: &Rule) -> Vec<(u16, Place)> {
    let mut found = Vec::new();
    for condition in conditions(rule) {
        if let Test::DestinationPort(values) = &condition.test {
            found.extend(values.all().filter_map(|value| Some((*value.pattern.as_ref().ok()?, value.at))));
        }
    }
    found
}

/// A clause that is for ports with bytes alone and has an HTTP condition.
fn http_on_bytes(action: Action, rule: &Rule, known: &Known, findings: &mut Findings) {
    for clause in &rule.to {
        let mut named = Vec::new();
        for condition in &clause.conditions {
            if let Test::DestinationPort(values) = &condition.test {
                named.extend(values.any_of.iter().filter_map(|value| value.pattern.as_ref().ok().copied()));
            }
        }
        let all_bytes = !named.is_empty() && named.iter().all(|port| known.bytes.contains(port));
        let http = clause.conditions.iter().find(|condition| condition.test.field().needs_http());
        if let (true, Some(condition)) = (all_bytes, http) {
            let effect = match action {
                Action::Allow => "the rule never matches",
                _ => "the condition is left out, and the rule is for everything on that port",
            };
            let message = format!("proxies see bytes on that port and no `{}`: {effect}", condition.name);
            findings.tell(Code::HttpOnTcpPort, condition.name.at, message);
        }
    }
}

fn provider_on_bytes(policy: &AuthorizationPolicy, known: &Known, world: &World, findings: &mut Findings) {
    let Some(name) = policy.provider.as_ref().filter(|_| policy.action == Action::Custom) else { return };
    let provider = world.mesh.provider(&name.value);
    let is_http = provider.is_some_and(|provider| matches!(provider.provider, Provider::Http { .. }));
    if let (true, Some(port)) = (is_http, known.bytes.first()) {
        let message = format!("`{name}` speaks HTTP, so nothing is asked about connections to port {port}");
        findings.advise(Code::ProviderHttpOnTcp, name.at, message, "use a provider with gRPC");
    }
}
