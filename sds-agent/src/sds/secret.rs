//! A secret as it is told to proxies: its name, what it holds, its version.

use std::sync::Arc;

use signet_identity::{Svid, TrustDomain};

use crate::material::{Anchors, Pair};
use crate::sds::ResourceName;
use crate::secrets::Version;

/// What a secret holds. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Content {
    /// The workload's chain and key.
    Identity(Arc<Svid>),
    /// A chain and its key from elsewhere.
    Pair(Arc<Pair>),
    /// Roots, of which each vouches for every peer.
    Anchors(Arc<Anchors>),
    /// Roots, of which each vouches for peers of its own trust domain.
    Domains(Arc<[DomainRoots]>),
}

/// The roots of one trust domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainRoots {
    /// Whose.
    pub domain: TrustDomain,
    /// PEM, never empty.
    pub pem: Arc<str>,
}

/// A content and its version.
#[derive(Debug, Clone)]
pub struct Held {
    /// The content.
    pub content: Content,
    /// The name of the content: equal contents have equal versions.
    pub version: Version,
}

/// A secret under the name by which somebody asked for it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Secret {
    name: ResourceName,
    held: Held,
}

impl Secret {
    /// What is `held`, under `name`.
    pub fn new(name: ResourceName, held: Held) -> Self {
        Self { name, held }
    }

    /// Its name.
    pub fn name(&self) -> &ResourceName {
        &self.name
    }

    /// What it holds.
    pub fn content(&self) -> &Content {
        &self.held.content
    }

    /// Its version.
    pub fn version(&self) -> &Version {
        &self.held.version
    }
}
