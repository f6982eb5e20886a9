//! The part of the mesh configuration that changes what policies mean.

use super::Text;
use crate::source::{Node, Place};

/// Where policies for the whole mesh stand, unless the mesh says otherwise.
const ROOT_NAMESPACE: &str = "istio-system";

/// The mesh configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct MeshConfig {
    /// `rootNamespace`.
    pub root_namespace: Box<str>,
    /// `trustDomain`, and behind it `trustDomainAliases`. Empty means that no name is rewritten.
    pub trust_domains: Vec<Box<str>>,
    /// `pathNormalization.normalization`.
    pub normalization: Normalization,
    /// `extensionProviders`.
    pub providers: Vec<ExtensionProvider>,
    /// Where it stands; `None` for the defaults.
    pub at: Option<Place>,
}

impl Default for MeshConfig {
    fn default() -> Self {
        Self {
            root_namespace: ROOT_NAMESPACE.into(),
            trust_domains: vec!["cluster.local".into()],
            normalization: Normalization::default(),
            providers: Vec::new(),
            at: None,
        }
    }
}

impl MeshConfig {
    /// The first extension provider of that name.
    pub fn provider(&self, name: &str) -> Option<&ExtensionProvider> {
        self.providers.iter().find(|provider| *provider.name.value == *name)
    }
}

/// What a proxy does to a path before any policy sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Normalization {
    /// Nothing but cutting a fragment.
    None,
    /// RFC 3986: dot segments, unreserved escapes, backslashes. `DEFAULT` is the same.
    #[default]
    Base,
    /// The same, and repeated slashes become one.
    MergeSlashes,
    /// The same, after escaped slashes and backslashes were decoded.
    DecodeAndMergeSlashes,
}

/// A service that CUSTOM policies may ask, or something else that has a name in the same list.
#[derive(Debug, Clone, PartialEq)]
pub struct ExtensionProvider {
    /// `name`.
    pub name: Text,
    /// What it is.
    pub provider: Provider,
}

/// The kinds of provider; `settings` are those of the kind, as they were written.
#[derive(Debug, Clone, PartialEq)]
pub enum Provider {
    /// `envoyExtAuthzHttp`.
    Http {
        /// As written.
        settings: Node,
    },
    /// `envoyExtAuthzGrpc`.
    Grpc {
        /// As written.
        settings: Node,
    },
    /// Anything else: tracing, logs.
    Other,
}
