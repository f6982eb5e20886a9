//! A caller whose credential was accepted, and who vouched for it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use signet_identity::{SpiffeId, Timestamp, WorkloadName};

use super::claims::{ObjectRef, TokenId};

/// Who vouched for a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthenticatorKind {
    /// A Kubernetes token, proved here with its issuer's keys.
    KubernetesToken,
    /// A Kubernetes token, reviewed by its API server.
    TokenReview,
    /// A token of another issuer.
    Oidc,
    /// A certificate that was issued here.
    ClientCertificate,
}

impl AuthenticatorKind {
    /// Its name in settings, logs, metrics and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KubernetesToken => "kubernetes-token",
            Self::TokenReview => "token-review",
            Self::Oidc => "oidc",
            Self::ClientCertificate => "client-certificate",
        }
    }
}

impl FromStr for AuthenticatorKind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let all = [Self::KubernetesToken, Self::TokenReview, Self::Oidc, Self::ClientCertificate];
        let known = || all.map(|kind| format!("`{kind}`")).join(", ");
        all.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| format!("`{word}` is none of {}", known()))
    }
}

impl fmt::Display for AuthenticatorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A caller whose credential was accepted. Only `authenticate` makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub(super) id: SpiffeId,
    pub(super) workload: Option<WorkloadName>,
    pub(super) authenticator: AuthenticatorKind,
    pub(super) cluster: Option<Arc<str>>,
    pub(super) service_account_uid: Option<String>,
    pub(super) pod: Option<ObjectRef>,
    pub(super) node: Option<ObjectRef>,
    pub(super) token_id: Option<TokenId>,
    pub(super) known_since: Option<Timestamp>,
}

impl Caller {
    /// Its own identity, trust domain included.
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// Namespace and service account, if its identity has that form.
    pub fn workload(&self) -> Option<&WorkloadName> {
        self.workload.as_ref()
    }

    /// Who vouched for it.
    pub fn authenticator(&self) -> AuthenticatorKind {
        self.authenticator
    }

    /// The cluster that it lives in, by its own name and never an alias; none where no cluster vouched.
    pub fn cluster(&self) -> Option<&str> {
        self.cluster.as_deref()
    }

    /// The service account's UID.
    pub fn service_account_uid(&self) -> Option<&str> {
        self.service_account_uid.as_deref()
    }

    /// The pod that the token is bound to.
    pub fn pod(&self) -> Option<&ObjectRef> {
        self.pod.as_ref()
    }

    /// The node that the pod ran on when the token was made.
    pub fn node(&self) -> Option<&ObjectRef> {
        self.node.as_ref()
    }

    /// The token's own id, or the serial of the certificate that was presented.
    pub fn token_id(&self) -> Option<&TokenId> {
        self.token_id.as_ref()
    }

    /// When a token last vouched for the caller, where that was not now.
    pub fn known_since(&self) -> Option<Timestamp> {
        self.known_since
    }
}
