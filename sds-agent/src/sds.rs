//! Secrets for proxies: Envoy's secret discovery service (SDS, v3) on a Unix socket.
//!
//! `stream` and `delta` decide what is sent when, over `subscription`; they are pure. `wire` turns their words into
//! Envoy's messages, `service` drives one stream each, `listener` owns the socket and who may connect to it.
//! Nothing here can make or renew a secret: it reads what was published, or waits.

mod authority;
pub mod connection;
pub mod delta;
pub mod listener;
pub mod name;
#[cfg(test)]
mod samples;
pub mod server;
pub mod service;
pub mod stream;
pub mod subscription;
pub mod wire;

pub use listener::{BindError, SdsListener};
pub use name::SecretName;

/// Largest message read, in bytes. The first one of a proxy describes the proxy and takes some 60,000.
pub const MESSAGE_MAX_BYTES: usize = 512 * 1024;

/// Most names in one message.
pub const NAMES_MAX: usize = 1000;
