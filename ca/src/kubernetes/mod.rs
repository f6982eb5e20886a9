//! What is known of Kubernetes clusters beside their tokens, and what is done there.
//!
//! Requests and watches are those of `signet_kubernetes`. Objects are followed into a [`ClusterView`], one replica leads by a Lease,
//! and the roots are published; [`Parts`] puts it together.
//!
//! [`ClusterView`] holds live objects in plain words; who fills it and who asks it do not know each other.
//! [`Knowledge`] is how decisions ask: the view first, then a moment of patience, then the API server itself.

#[cfg(test)]
mod administrator;
mod events;
mod home;
mod issuer;
mod istiod;
mod knowledge;
mod lease;
mod live;
mod mesh;
mod objects;
mod parts;
mod publish;
mod reads;
mod reviews;
mod secret;
mod view;
mod watches;

pub use home::Home;
pub use issuer::{DocumentsError, IssuerDocuments};
pub use istiod::IstiodTlsConfig;
pub use knowledge::{Knowledge, KnowledgeError};
pub use lease::{Elector, Holder, Leadership, LeaseTimes};
pub use live::{Answer, LiveError, LiveObjects};
pub use mesh::MeshConfigPlace;
pub use objects::{AccountObject, PodObject, PodPhase};
pub use parts::{KubernetesError, Parts, Surroundings};
pub use publish::{Around, BundlePublisher, ConfigMapsConfig, Policy, Publisher, Spread};
pub use view::{ClusterView, ClusterViewWriter, Counts, Freshness};
pub use watches::{Watches, watch_views};

/// What we call ourselves before API servers.
const AGENT: &str = concat!("signet-ca/", env!("CARGO_PKG_VERSION"));
