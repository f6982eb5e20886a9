//! What policies select: workloads and the services, gateways and namespaces around them.

use super::{Labels, Meta};

/// A label that names the gateway whose pods these are.
const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";
/// A label that names the controller which made the pods of a gateway.
const GATEWAY_MANAGED: &str = "gateway.istio.io/managed";
/// What that controller is for waypoints.
const WAYPOINT_CONTROLLER: &str = "istio.io-mesh-controller";

/// Something whose pods have labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Name and namespace.
    pub meta: Meta,
    /// Labels of its pods.
    pub labels: Labels,
    /// Service account of its pods; `default` where none is named.
    pub service_account: Box<str>,
    /// Ports that its containers name, in order.
    pub ports: Vec<u16>,
}

impl Workload {
    /// The gateway whose pods these are.
    pub fn gateway_name(&self) -> Option<&str> {
        self.labels.get(GATEWAY_NAME)
    }

    /// Whether these are pods of a waypoint.
    pub fn is_waypoint(&self) -> bool {
        self.labels.get(GATEWAY_MANAGED) == Some(WAYPOINT_CONTROLLER)
    }
}

/// A Namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceObject {
    /// Its name and labels.
    pub meta: Meta,
}

/// A Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Name, namespace, labels.
    pub meta: Meta,
    /// `spec.selector`; none selects nothing.
    pub selector: Labels,
    /// `spec.ports`.
    pub ports: Vec<ServicePort>,
}

/// One port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Empty where it has none.
    pub name: Box<str>,
    /// What clients dial.
    pub port: u16,
    /// What the workload listens on, when it is a number; a name is kept in `target_name`.
    pub target: Option<u16>,
    /// The name of a container's port.
    pub target_name: Option<Box<str>>,
    /// `appProtocol`, or what stands before the first `-` of the name.
    pub protocol: Box<str>,
}

/// A ServiceEntry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceEntry {
    /// Name and namespace.
    pub meta: Meta,
    /// `spec.hosts`.
    pub hosts: Vec<Box<str>>,
}

/// A Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Name and namespace.
    pub meta: Meta,
    /// Whether it is one of the Gateway API.
    pub is_gateway_api: bool,
    /// `gatewayClassName`, for those of the Gateway API.
    pub class: Option<Box<str>>,
}
