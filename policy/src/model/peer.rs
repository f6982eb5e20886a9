//! PeerAuthentication: which connections a workload accepts.

use std::fmt;

use super::{Meta, Selector, Spotted};

/// A mode of mutual TLS. UNSET is `None` where a mode is optional.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Plaintext only.
    Disable,
    /// Either.
    Permissive,
    /// Mutual TLS only.
    Strict,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disable => "DISABLE",
            Self::Permissive => "PERMISSIVE",
            Self::Strict => "STRICT",
        })
    }
}

/// One PeerAuthentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAuthentication {
    /// Name, namespace, age.
    pub meta: Meta,
    /// `selector`, an empty one too.
    pub selector: Option<Selector>,
    /// `mtls.mode`; `None` where it is absent or UNSET.
    pub mode: Option<Spotted<Mode>>,
    /// `portLevelMtls`, by rising port.
    pub ports: Vec<PortMode>,
}

impl PeerAuthentication {
    /// Whether it is for chosen workloads: an empty selector chooses none.
    pub fn selects(&self) -> bool {
        self.selector.as_ref().is_some_and(|selector| !selector.labels.is_empty())
    }
}

/// One entry of `portLevelMtls`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortMode {
    /// As it was written: a workload's port, 1 to 65535 where it is valid.
    pub port: Spotted<u32>,
    /// `None` for UNSET.
    pub mode: Option<Mode>,
}
