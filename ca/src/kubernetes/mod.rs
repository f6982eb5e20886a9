//! What is known of Kubernetes clusters beside their tokens.
//!
//! [`view`] holds live objects in plain words; who fills it and who asks it do not know each other.

mod objects;
mod view;
mod waiting;

pub use objects::{AccountObject, PodObject, PodPhase};
pub use view::{ClusterView, ClusterViewWriter, Counts, Freshness};
