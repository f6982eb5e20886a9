//! A stand-in for the Kubernetes API server, for tests.
//!
//! It keeps objects in memory and answers over HTTP as version 1.36 was recorded to answer (`fixtures`), and beyond the
//! recordings as the API's documentation says; never by what a client of ours happens to send. Its own tests replay
//! every recording. What it does not do: admission beyond the rules in `rules`, controllers, garbage collection, HTTP/2,
//! protobuf, tables, partial objects.
//!
//! Everything here panics when it cannot do its work: that is a failed test, not a case to handle.

#![expect(clippy::indexing_slicing, reason = "JSON is indexed by names, which cannot panic on reading")]
#![expect(clippy::panic, reason = "code for tests fails by panicking")]

mod answer;
mod apply;
mod auth;
mod call;
mod discovery;
mod faults;
mod fields;
mod handle;
mod kinds;
mod list;
mod objects;
mod oidc;
mod rbac;
mod rules;
mod selector;
mod server;
mod status;
mod store;
mod tls;
mod token;
mod watch;
mod write;

pub use answer::Answer;
pub use call::Seen;
pub use faults::{Effect, Faults};
pub use objects::{Objects, cluster_trust_bundle, config_map, namespace, node, pod, secret, service_account};
pub use server::{ApiServer, Options};

/// The audience of tokens for the API server itself.
pub const API_AUDIENCE: &str = signet_testkit::token::DEFAULT_ISSUER;
