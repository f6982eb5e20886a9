//! Which policies reach a workload, at which point (see the reference in docs/policy for the rules in words).
//!
//! Selection never looks at what a policy says, only at whom it is for. Knows nothing of requests.

use crate::model::{AuthorizationPolicy, Labels, Meta, RequestAuthentication, Target, TargetReference, Workload};

/// A place that policies are enforced at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Point {
    /// A sidecar, on a port where it sees HTTP.
    SidecarHttp,
    /// A sidecar, on a port where it sees bytes.
    SidecarTcp,
    /// A gateway, on an HTTP listener.
    GatewayHttp,
    /// A gateway, on a TCP or TLS listener.
    GatewayTcp,
    /// A waypoint.
    Waypoint,
    /// The node's layer 4 proxy.
    Ztunnel,
}

impl Point {
    /// Whether requests are seen, not just connections.
    pub fn sees_http(self) -> bool {
        matches!(self, Self::SidecarHttp | Self::GatewayHttp | Self::Waypoint)
    }
}

/// A service that a waypoint stands before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachedService {
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name; for one that comes from a ServiceEntry, the entry's.
    pub name: Box<str>,
    /// Whether it comes from a ServiceEntry.
    pub from_service_entry: bool,
}

/// Whom a request is for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Destination {
    /// Namespace of the workload.
    pub namespace: Box<str>,
    /// Labels of its pods.
    pub labels: Labels,
    /// Whether the workload is a waypoint.
    pub is_waypoint: bool,
    /// For a waypoint: the service that the request is for.
    pub service: Option<AttachedService>,
}

impl Destination {
    /// The workload itself.
    pub fn of(workload: &Workload) -> Self {
        Self {
            namespace: workload.meta.namespace.clone(),
            labels: workload.labels.clone(),
            is_waypoint: workload.is_waypoint(),
            service: None,
        }
    }
}

/// What the operators of a mesh may switch, with the defaults of Istio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switches {
    /// `ENABLE_SELECTOR_BASED_K8S_GATEWAY_POLICY`.
    pub selectors_reach_gateways: bool,
    /// `AMBIENT_ENABLE_DRY_RUN_AUTHORIZATION_POLICY`.
    pub ztunnel_dry_run: bool,
    /// `PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS`.
    pub several_providers: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self { selectors_reach_gateways: true, ztunnel_dry_run: false, several_providers: false }
    }
}

/// A policy that selection can judge.
pub trait Targeted {
    /// Its name, namespace and age.
    fn meta(&self) -> &Meta;
    /// Whom it is for.
    fn target(&self) -> &Target;
}

impl Targeted for AuthorizationPolicy {
    fn meta(&self) -> &Meta {
        &self.meta
    }
    fn target(&self) -> &Target {
        &self.target
    }
}

impl Targeted for RequestAuthentication {
    fn meta(&self) -> &Meta {
        &self.meta
    }
    fn target(&self) -> &Target {
        &self.target
    }
}

/// How policies are selected: the mesh's root namespace and switches, and the destination.
#[derive(Debug, Clone, Copy)]
pub struct Selection<'a> {
    /// Policies there reach every namespace. Empty for none.
    pub root_namespace: &'a str,
    /// The operators' switches.
    pub switches: Switches,
    /// Whom the request is for.
    pub destination: &'a Destination,
    /// Where it is enforced.
    pub point: Point,
}

impl Selection<'_> {
    /// The policies that reach the destination: by namespace (root, workload's, service's), in it by age.
    ///
    /// Each comes with its index in `policies`. The order has no effect on decisions.
    pub fn select<'p, P: Targeted>(&self, policies: &'p [P]) -> Vec<(usize, &'p P)> {
        let service = self.destination.service.as_ref().map(|service| &*service.namespace);
        let mut namespaces = vec![self.root_namespace, &self.destination.namespace];
        namespaces.extend(service.filter(|_| self.destination.is_waypoint));
        let rank = |policy: &P| namespaces.iter().position(|namespace| *namespace == &*policy.meta().namespace);
        let reached = policies.iter().enumerate().filter_map(|(index, policy)| {
            let rank = rank(policy)?;
            let by_root_of_none = self.root_namespace.is_empty() && rank == 0;
            (!by_root_of_none && self.reaches(policy)).then_some((rank, index, policy))
        });
        let mut reached: Vec<_> = reached.collect();
        reached.sort_by(|left, right| (left.0, left.2.meta().age()).cmp(&(right.0, right.2.meta().age())));
        reached.into_iter().map(|(_, index, policy)| (index, policy)).collect()
    }

    fn reaches<P: Targeted>(&self, policy: &P) -> bool {
        let (target, labels) = (policy.target(), &self.destination.labels);
        let selector = target.selector.as_ref();
        let selected = selector.is_none_or(|selector| selector.labels.is_subset_of(labels));
        if self.point == Point::Ztunnel {
            // A selector without labels is sent as one for listed workloads, and no workload lists it.
            let listed = selector.is_none_or(|selector| !selector.labels.is_empty());
            return target.references.is_empty() && selected && listed;
        }
        let Some(gateway) = labels.get("gateway.networking.k8s.io/gateway-name") else {
            return target.references.is_empty() && selected;
        };
        if target.references.is_empty() {
            return !self.destination.is_waypoint && self.switches.selectors_reach_gateways && selected;
        }
        target.references.iter().any(|reference| self.refers(reference, &policy.meta().namespace, gateway))
    }

    fn refers(&self, reference: &TargetReference, namespace: &str, gateway: &str) -> bool {
        let is_waypoint = self.destination.is_waypoint;
        let service = |from_service_entry: bool| {
            self.destination.service.as_ref().filter(|_| is_waypoint).is_some_and(|service| {
                service.from_service_entry == from_service_entry
                    && service.name == reference.name
                    && &*service.namespace == namespace
            })
        };
        match (&*reference.group, &*reference.kind) {
            ("" | "core", "Service") => service(false),
            ("networking.istio.io", "ServiceEntry") => service(true),
            ("gateway.networking.k8s.io", "GatewayClass") => {
                is_waypoint && &*reference.name == "istio-waypoint" && namespace == self.root_namespace
            }
            ("gateway.networking.k8s.io", "Gateway") => {
                let own = reference.namespace.is_empty() || &*reference.namespace == namespace;
                own && namespace == &*self.destination.namespace && &*reference.name == gateway
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
