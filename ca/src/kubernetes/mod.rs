//! What is known of Kubernetes clusters beside their tokens.
//!
//! [`ClusterView`] holds live objects in plain words; who fills it and who asks it do not know each other.
//! [`Knowledge`] is how decisions ask: the view first, then a moment of patience, then the API server itself.

mod knowledge;
mod live;
mod objects;
mod view;
mod waiting;

pub use knowledge::{Knowledge, KnowledgeError};
pub use live::{Answer, LiveError, LiveObjects};
pub use objects::{AccountObject, PodObject, PodPhase};
pub use view::{ClusterView, ClusterViewWriter, Counts, Freshness};
