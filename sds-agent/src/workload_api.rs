//! Identities for programs: the SPIFFE Workload API on the workload socket, beside SDS.
//!
//! `message` makes the messages of what is published, `gate` lets in who knows what it asks for, `service` drives the
//! calls, `tokens` keeps tokens that may be handed out again. The caller is whom the socket let in; where the agent serves
//! one workload, that is enough.

mod gate;
mod message;
mod service;
mod tokens;

pub use service::{WorkloadApi, WorkloadApiServer};
