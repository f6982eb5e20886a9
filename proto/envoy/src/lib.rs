//! Envoy's wire types, and nothing else.
//!
//! A crate of its own, so that the tens of thousands of generated lines behind it compile once, and only for the
//! rooms that talk to Envoy. Their well-known types (`Any`, `Duration`, `Struct`) are their own, not `prost_types`'.

pub use envoy_types::pb;
/// Packs a message into an `Any` under the type URL that the message itself names.
pub use envoy_types::util::pack_any;
