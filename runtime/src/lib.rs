//! Process plumbing that both daemons share.
//!
//! Accepts only what both use today. Must not know of certificates, SPIFFE ids or any other word of the domain.

pub mod admin;
pub mod apart;
pub mod backoff;
pub mod clock;
pub mod command;
pub mod config;
pub mod files;
pub mod health;
pub mod open_files;
pub mod shutdown;
pub mod tasks;
pub mod telemetry;
pub mod unix_socket;

pub use admin::Admin;
pub use apart::{ApartError, apart};
pub use backoff::Backoff;
pub use clock::Clock;
pub use command::{Daemon, Setting, Verb};
pub use config::{ConfigError, Layers, Reader};
pub use health::{Health, HealthHandle};
pub use shutdown::{Shutdown, ShutdownTrigger};
pub use tasks::{TaskError, Tasks};
pub use unix_socket::UnixSocket;
