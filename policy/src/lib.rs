//! What the three kinds of `security.istio.io` mean, and what anybody may conclude from them.
//!
//! One way through: `source` turns text into nodes that know where they stand, `model` turns nodes into typed
//! objects whose patterns were parsed once. Everything later works on the model and points back at the text.
//!
//! This room is pure. It must not know of files, sockets, async or the clock: text, instants and keys come in as
//! arguments.

pub mod model;
pub mod path;
pub mod problem;
pub mod source;

pub use model::{ReadOptions, Reading, World, read};
pub use problem::{Code, Problem, Severity};
pub use source::{Place, Sources};
