//! Settings from defaults, one TOML file, environment and flags, later ones winning, each with its origin.
//!
//! Two steps: [`Layers`] gathers raw settings, [`Reader`] turns them into types. All problems are gathered and told
//! together, each with key and origin; a key that nobody read is a problem too.

mod foreign;
mod layers;
mod reader;
mod setting;

pub use foreign::{Foreign, Heard};
pub use layers::Layers;
pub use reader::{ConfigError, Effective, EffectiveSetting, Problem, Reader};
pub use setting::{FromSetting, Origin, Value};

#[cfg(test)]
mod tests;
