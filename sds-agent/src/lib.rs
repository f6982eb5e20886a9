//! The node agent: keeps one identity fresh and hands it to proxies over SDS and to programs as files.
//!
//! Data flows one way: token and fresh key become a request, the CA's answer becomes an SVID, the SVID is published,
//! readers serve it. A reader never asks the CA; it reads what was published, or waits. Must not know how the CA
//! decides: the two meet on the wire.

pub mod app;
pub mod ca_client;
pub mod config;
pub mod envoy;
pub mod files;
pub mod material;
pub mod metrics;
pub mod node;
pub mod roots;
pub mod rotation;
pub mod rotator;
pub mod sds;
pub mod secrets;
pub mod token;
pub mod workload_api;
