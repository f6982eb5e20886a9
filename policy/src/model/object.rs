//! What every Kubernetes object has: its name, labels, age; and how policies point at others.

use std::fmt;

use signet_identity::Timestamp;

use super::Text;
use crate::source::Place;

/// The kinds that the engine knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// `security.istio.io`.
    AuthorizationPolicy,
    /// `security.istio.io`.
    PeerAuthentication,
    /// `security.istio.io`.
    RequestAuthentication,
    /// A Pod, or a Deployment and its like.
    Workload,
    /// A Namespace.
    Namespace,
    /// A Service.
    Service,
    /// `networking.istio.io`.
    ServiceEntry,
    /// Of either group.
    Gateway,
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Name, place and age of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// `metadata.name`.
    pub name: Box<str>,
    /// `metadata.namespace`, or the one that the reading assumes; empty for what has none.
    pub namespace: Box<str>,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `metadata.annotations`.
    pub annotations: Vec<(Box<str>, Text)>,
    /// `metadata.creationTimestamp`, when it is there and a time.
    pub created: Option<Timestamp>,
    /// Where the object begins.
    pub at: Place,
}

impl Meta {
    /// The annotation of that name.
    pub fn annotation(&self, name: &str) -> Option<&Text> {
        self.annotations.iter().find(|(key, _)| &**key == name).map(|(_, value)| value)
    }

    /// Oldest first; what is equally old by name and then namespace. An unknown age counts as the oldest.
    pub fn age(&self) -> (Option<Timestamp>, &str, &str) {
        (self.created, &self.name, &self.namespace)
    }
}

impl fmt::Display for Meta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// Labels by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Labels(Vec<(Box<str>, Box<str>)>);

impl Labels {
    /// The value of one label.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.binary_search_by(|(key, _)| (**key).cmp(name));
        found.ok().and_then(|index| self.0.get(index)).map(|(_, value)| &**value)
    }

    /// Whether every label here stands in `other` with the same value.
    pub fn is_subset_of(&self, other: &Self) -> bool {
        self.0.iter().all(|(name, value)| other.get(name) == Some(value))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each label, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

impl<N: Into<Box<str>>, V: Into<Box<str>>> FromIterator<(N, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(labels: I) -> Self {
        let mut labels: Vec<(Box<str>, Box<str>)> = labels.into_iter().map(|(n, v)| (n.into(), v.into())).collect();
        labels.sort_by(|left, right| left.0.cmp(&right.0));
        labels.dedup_by(|left, right| left.0 == right.0);
        Self(labels)
    }
}

/// `selector`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// `matchLabels`; empty for `selector: {}`.
    pub labels: Labels,
    /// Where it stands.
    pub at: Place,
}

/// One of `targetRefs`, or `targetRef`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetReference {
    /// Empty for the core group.
    pub group: Box<str>,
    /// For instance `Service`.
    pub kind: Box<str>,
    /// Name of the object.
    pub name: Box<str>,
    /// Empty, or the policy's own.
    pub namespace: Box<str>,
    /// Where it stands.
    pub at: Place,
}

/// What a policy says about whom it is for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// `selector`.
    pub selector: Option<Selector>,
    /// `targetRefs`, or `targetRef` where those are empty.
    pub references: Vec<TargetReference>,
}
