//! The harness of the whole-system tests: daemons and Envoys as processes, looked at from outside.
//!
//! Knows how to start programs, wait for what they do, and ask Envoy what it sees. Knows nothing of
//! the daemons' configuration; tests bring that. Everything blocks and panics with a message for
//! people, because its only caller is a test. Whatever was started ends with the value that holds it.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a harness fails the test it serves, and shows what its processes said"
)]

pub mod envoy;
pub mod envoy_config;
pub mod http;
pub mod mesh;
pub mod process;
pub mod programs;
pub mod proxied;
pub mod tools;
pub mod wait;
pub mod workdir;

pub use envoy::Envoy;
pub use process::Process;
pub use programs::bin;
pub use proxied::Proxied;
pub use wait::eventually;
pub use workdir::{Workdir, free_port};
