//! What was read, as typed objects: the three policy kinds and everything that decides whom they reach.
//!
//! A model is what the author wrote, never what a proxy makes of it: nothing is dropped, expanded or widened here.
//! Values that are no patterns are kept with their reason (`Written`), since planes differ in what they do with them.

mod attribute;
mod authorization;
mod mesh;
mod object;
mod pattern;
mod peer;
mod print;
mod read;
mod request;
mod text;
mod workload;

pub use attribute::{Field, MetadataPattern, Single, Test};
pub use authorization::{Action, AuthorizationPolicy, Clause, Condition, Rule, When};
pub(crate) use authorization::{DRY_RUN, boolean};
pub use mesh::{ExtensionProvider, MeshConfig, Normalization, Provider};
pub use object::{Labels, Meta, ObjectKind, Selector, Target, TargetReference};
pub use pattern::{
    Cidr, Glob, Part, PathPattern, PathTemplate, PatternError, RequestPrincipal, ServiceAccountPattern, StringPattern,
    TrustDomainPattern, port,
};
pub use peer::{Mode, PeerAuthentication, PortMode};
pub(crate) use read::{Parsed, read_parsed};
pub use read::{ReadOptions, Reading, read};
pub use request::{ClaimToHeader, FromHeader, JwtRule, RequestAuthentication};
pub use text::{Spotted, Text, Values, Written};
pub use workload::{Gateway, NamespaceObject, Service, ServiceEntry, ServicePort, Workload};

/// Everything that was read.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// In the order in which they were read, as is every list here.
    pub authorization: Vec<AuthorizationPolicy>,
    /// Every PeerAuthentication.
    pub peer: Vec<PeerAuthentication>,
    /// Every RequestAuthentication.
    pub request: Vec<RequestAuthentication>,
    /// Pods, and what makes pods.
    pub workloads: Vec<Workload>,
    /// Namespaces that were given; others exist too.
    pub namespaces: Vec<NamespaceObject>,
    /// Kubernetes Services.
    pub services: Vec<Service>,
    /// Services that come from a ServiceEntry.
    pub service_entries: Vec<ServiceEntry>,
    /// Gateways of the Gateway API and of Istio.
    pub gateways: Vec<Gateway>,
    /// The mesh configuration; its defaults where none was given.
    pub mesh: MeshConfig,
}
