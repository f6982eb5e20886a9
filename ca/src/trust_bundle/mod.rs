//! The published roots, told to those who watch them, and who of them has what.
//!
//! A watch begins with a credential like any other call. It gets the bundle in force at once and each later one when it
//! comes; whoever reads slowly gets the newest only. What a watcher acknowledges is counted, so that a new root signs
//! when it is known.

mod acknowledgements;
mod places;
mod service;
mod watch;

pub use acknowledgements::Acknowledgements;
pub(crate) use service::{REQUEST_MAX_BYTES, TrustBundleService};
