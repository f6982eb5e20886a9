//! What a running proxy says it enforces, read from its configuration dump, and whether that is what policies become.
//!
//! Envoy's dump and ztunnel's. `canon` makes one spelling of the many that dumps have, `dump` and `filters` find what
//! decides about requests and where, `compare` holds it against what was rendered, rule by rule, `table` prints it as
//! Istio does. A dump comes from anybody: what is odd in it is told and never trusted.

mod canon;
mod compare;
mod dump;
mod filters;
mod routes;
mod table;
#[cfg(test)]
mod tests;
mod ztunnel;

pub use compare::{Difference, Kind, compare};
pub use dump::{Direction, EnvoyDump, SCOPES_MAX, Scope};
pub use filters::{Decider, Entry, Role, RuleName};
pub use ztunnel::{ListedBy, ZtunnelDump, ZtunnelPolicy};

/// A configuration dump.
#[derive(Debug, Clone)]
pub enum Dump {
    /// Of an Envoy: `/config_dump` of its admin interface.
    Envoy(EnvoyDump),
    /// Of a ztunnel: `/config_dump` of its admin interface, or its static configuration.
    Ztunnel(ZtunnelDump),
}

/// Why a dump says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DumpError {
    /// It is no JSON.
    #[error("the dump is no JSON: {0}")]
    NotJson(String),
    /// It is JSON of another kind.
    #[error("neither Envoy's dump, which has `configs`, nor ztunnel's, which has `policies` and `workloads`")]
    Unknown,
    /// There are no listeners in it.
    #[error("the dump holds no listeners: ask for all of `/config_dump`, without a mask or a resource")]
    NoListeners,
    /// There is too much in it.
    #[error("the dump has more than {SCOPES_MAX} filter chains and routes")]
    TooMany,
}

impl Dump {
    /// Reads a dump. How many bytes it may have is for the caller to say.
    ///
    /// # Errors
    /// Why it says nothing.
    pub fn parse(text: &str) -> Result<Self, DumpError> {
        let value = serde_json::from_str(text).map_err(|error| DumpError::NotJson(error.to_string()))?;
        let value = canon::canonical(value);
        if value.get("configs").is_some_and(serde_json::Value::is_array) {
            EnvoyDump::new(&value).map(Self::Envoy)
        } else if ZtunnelDump::is_one(&value) {
            Ok(Self::Ztunnel(ZtunnelDump::new(&value)))
        } else {
            Err(DumpError::Unknown)
        }
    }
}
