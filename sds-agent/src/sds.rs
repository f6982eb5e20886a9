//! Secrets for proxies: Envoy's secret discovery service (SDS, v3) on a Unix socket.
//!
//! `stream` and `delta` decide what is sent when, over `subscription`; they are pure. `wire` turns their words into
//! Envoy's messages, `service` drives one stream each, `listener` owns the socket and who may connect to it.
//! `view` is what can be told at one moment, `keeper` the task that makes it, of what was published and of files that
//! somebody asked for. Nothing here can make or renew a secret.

mod authority;
pub mod connection;
pub mod delta;
pub mod demands;
mod exchange;
pub mod keeper;
pub mod listener;
pub mod name;
mod reading;
#[cfg(test)]
mod samples;
pub mod secret;
pub mod server;
pub mod service;
pub mod stream;
pub mod subscription;
pub mod view;
pub mod wire;

pub use listener::{BindError, SdsListener};
pub use name::ResourceName;

/// Largest message read, in bytes. The first one of a proxy describes the proxy and takes some 60,000.
pub const MESSAGE_MAX_BYTES: usize = 512 * 1024;

/// Most names in one message.
pub const NAMES_MAX: usize = 1000;
