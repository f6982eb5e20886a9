//! What the three kinds of `security.istio.io` mean, and what anybody may conclude from them.
//!
//! One way through: `source` turns text into nodes that know where they stand, `model` turns nodes into typed
//! objects whose patterns were parsed once; `select` says whom they reach, `compile` what an enforcement point makes of
//! them, `decide` what becomes of a request there, `envoy` and `ztunnel` what
//! proxies must be told to do the same, `inspect` whether they were. Everything points back at the text.
//!
//! This room is pure. It must not know of files, sockets, async or the clock: text, instants and keys come in as
//! arguments.

pub mod check;
pub mod compile;
pub mod decide;
pub mod envoy;
mod identity;
pub mod inspect;
pub mod model;
pub mod mtls;
pub mod path;
pub mod problem;
pub mod request;
pub mod select;
pub mod source;
pub mod token;
pub mod trace;
pub mod trust_domain;
pub mod ztunnel;

pub use check::{Checked, check};
pub use compile::{Compiled, RuleId};
pub use decide::{Cause, Decision, Verdict};
pub use model::{ReadOptions, Reading, World, read};
pub use problem::{Code, Problem, Severity};
pub use source::{Place, Sources};
