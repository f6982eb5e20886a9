//! What is known of Kubernetes clusters beside their tokens, and what is done there.
//!
//! [`api`] is the one way to an API server. Objects are followed into a [`ClusterView`], one replica leads by a Lease,
//! and the roots are published; [`Parts`] puts it together.
//!
//! [`ClusterView`] holds live objects in plain words; who fills it and who asks it do not know each other.
//! [`Knowledge`] is how decisions ask: the view first, then a moment of patience, then the API server itself.

pub mod api;
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
mod waiting;
mod watching;

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
pub use watching::{Pace, Watches, watch_views};
