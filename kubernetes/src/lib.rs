//! The one way to a Kubernetes API server, which both daemons share.
//!
//! [`ApiClient`] sends requests with a deadline and takes in answers with a bound. A [`Follower`] keeps up with objects
//! of one kind: listed once, followed, and listed again whenever something could have been missed. [`WaitingRoom`] is
//! for who needs an object a moment before its watch brings it.
//!
//! Knows nothing of what the objects mean: who follows them reads what it needs of each and keeps it.

#[cfg(test)]
mod administrator;
mod api;
mod waiting;
mod watching;

pub use api::{
    Answer, ApiClient, ApiError, Built, Cause, Collection, ConnectError, Connection, OBJECT_MAX_BYTES, Refusal, encode,
    parse, selector_value,
};
pub use waiting::{WAITERS_MAX, WaitingRoom};
pub use watching::{Follower, Outage, Pace, WatchTold, Watched};
