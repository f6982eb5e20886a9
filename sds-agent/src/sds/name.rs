//! Names of secrets: the closed list of what can be asked for.

use std::str::FromStr;

/// A secret that the agent serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretName {
    /// The roots. Before the identity, so that a message with both brings trust first.
    RootCa,
    /// The workload's identity: chain and key.
    Default,
}

impl SecretName {
    /// Every name.
    pub const ALL: [Self; 2] = [Self::RootCa, Self::Default];

    /// The name as proxies write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::RootCa => "ROOTCA",
        }
    }
}

/// The agent serves no secret of this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such secret")]
pub struct UnknownName;

impl FromStr for SecretName {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|known| known.as_str() == name).ok_or(UnknownName)
    }
}
