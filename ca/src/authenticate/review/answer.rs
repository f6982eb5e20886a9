//! What an API server's answer to a TokenReview says, and whether that is enough.
//!
//! Pure. A status is read from the answer's JSON and judged against the audiences that were asked for. Everything that
//! an API server never writes is refused, because then something else answered.

use std::collections::BTreeMap;

use serde::Deserialize;
use signet_identity::{Namespace, ServiceAccount, WorkloadName};

use super::super::claims::{ObjectRef, TokenId};
use super::ReviewCallError;

/// Most of an API server's reason that is kept for the log, in characters.
const ERROR_MAX_CHARS: usize = 256;

const ALL_ACCOUNTS: &str = "system:serviceaccounts";
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
const NODE_UID: &str = "authentication.kubernetes.io/node-uid";
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// What stands before a token's id in its credential id.
const TOKEN_ID_PREFIX: &str = "JTI=";

/// What API servers say, among other things, whenever a token is no good.
const INVALID_TOKEN: &str = "invalid bearer token";

/// The status of a TokenReview (`authentication.k8s.io/v1`).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReviewStatus {
    #[serde(default)]
    authenticated: bool,
    #[serde(default)]
    error: String,
    #[serde(default)]
    audiences: Vec<String>,
    #[serde(default)]
    user: User,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct User {
    #[serde(default)]
    username: String,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    extra: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct Review {
    kind: String,
    status: ReviewStatus,
}

/// Why a review does not identify a caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReviewRefusal {
    /// The API server does not accept the token.
    #[error("API server refused the token: {reason}")]
    NotAuthenticated {
        /// What it said.
        reason: String,
    },
    /// The API server could not tell.
    #[error("API server could not review the token: {reason}")]
    NotReviewed {
        /// What it said.
        reason: String,
    },
    /// The answer does not repeat an audience that was asked for: an authenticator that does not look at audiences.
    #[error("API server did not confirm that the token is meant for this audience")]
    Audience,
    /// The user is not a service account.
    #[error("token does not belong to a service account")]
    NotServiceAccount,
    /// The answer breaks Kubernetes' rules.
    #[error("API server's answer is malformed")]
    Malformed,
}

impl ReviewRefusal {
    /// Whether another review of the same token would say the same.
    pub(crate) fn is_final(&self) -> bool {
        !matches!(self, Self::NotReviewed { .. } | Self::Malformed)
    }
}

/// A service account that an API server vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewedUser {
    pub(crate) workload: WorkloadName,
    pub(crate) service_account_uid: String,
    pub(crate) pod: Option<ObjectRef>,
    pub(crate) node: Option<ObjectRef>,
    pub(crate) token_id: Option<TokenId>,
}

impl ReviewStatus {
    /// The status in the body of an answer.
    ///
    /// # Errors
    /// [`ReviewCallError::NoAnswer`] when the body is not a TokenReview.
    pub fn from_json(body: &[u8]) -> Result<Self, ReviewCallError> {
        let no_review = || ReviewCallError::NoAnswer { reason: "answer is not a TokenReview".to_owned() };
        let review: Review = serde_json::from_slice(body).map_err(|_| no_review())?;
        if review.kind == "TokenReview" { Ok(review.status) } else { Err(no_review()) }
    }

    /// The service account, if this says that the token is one's and is meant for one of `asked`.
    ///
    /// # Errors
    /// Every variant of [`ReviewRefusal`].
    pub fn judge(&self, asked: &[String]) -> Result<ReviewedUser, ReviewRefusal> {
        if !self.error.is_empty() || !self.authenticated {
            return Err(self.refusal());
        }
        if !self.audiences.iter().any(|audience| asked.contains(audience)) {
            return Err(ReviewRefusal::Audience);
        }
        let workload = self.user.workload()?;
        let groups = [ALL_ACCOUNTS.to_owned(), format!("{ALL_ACCOUNTS}:{}", workload.namespace)];
        if !groups.iter().all(|group| self.user.groups.contains(group)) {
            return Err(ReviewRefusal::NotServiceAccount);
        }
        Ok(ReviewedUser {
            workload,
            service_account_uid: uid(&self.user.uid)?,
            pod: self.user.pod()?,
            node: self.user.node()?,
            token_id: self.user.token_id()?,
        })
    }

    fn refusal(&self) -> ReviewRefusal {
        let reason: String = self.error.chars().filter(|c| !c.is_control()).take(ERROR_MAX_CHARS).collect();
        // The token's error stands first, but what went wrong while looking it up ends in the same field.
        if reason.is_empty() || self.error.contains(INVALID_TOKEN) {
            ReviewRefusal::NotAuthenticated { reason }
        } else {
            ReviewRefusal::NotReviewed { reason }
        }
    }
}

impl User {
    fn workload(&self) -> Result<WorkloadName, ReviewRefusal> {
        let mut parts = self.username.split(':');
        match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("system"), Some("serviceaccount"), Some(namespace), Some(account), None) => {
                let namespace: Namespace = namespace.parse().map_err(|_| ReviewRefusal::Malformed)?;
                let service_account: ServiceAccount = account.parse().map_err(|_| ReviewRefusal::Malformed)?;
                Ok(WorkloadName { namespace, service_account })
            }
            _ => Err(ReviewRefusal::NotServiceAccount),
        }
    }

    /// The only value of `key`.
    fn extra(&self, key: &str) -> Result<Option<&str>, ReviewRefusal> {
        match self.extra.get(key).map(Vec::as_slice) {
            None => Ok(None),
            Some([only]) => Ok(Some(only)),
            Some(_) => Err(ReviewRefusal::Malformed),
        }
    }

    fn pod(&self) -> Result<Option<ObjectRef>, ReviewRefusal> {
        match (self.extra(POD_NAME)?, self.extra(POD_UID)?) {
            (None, None) => Ok(None),
            (Some(name), Some(uid)) => ObjectRef::new(name, uid).map(Some).map_err(|_| ReviewRefusal::Malformed),
            _ => Err(ReviewRefusal::Malformed),
        }
    }

    fn node(&self) -> Result<Option<ObjectRef>, ReviewRefusal> {
        match (self.extra(NODE_NAME)?, self.extra(NODE_UID)?) {
            (None, None) => Ok(None),
            (Some(name), uid) => ObjectRef::node(name, uid).map(Some).map_err(|_| ReviewRefusal::Malformed),
            (None, Some(_)) => Err(ReviewRefusal::Malformed),
        }
    }

    fn token_id(&self) -> Result<Option<TokenId>, ReviewRefusal> {
        let id = self.extra(CREDENTIAL_ID)?.and_then(|id| id.strip_prefix(TOKEN_ID_PREFIX));
        id.map(TokenId::new).transpose().map_err(|_| ReviewRefusal::Malformed)
    }
}

fn uid(text: &str) -> Result<String, ReviewRefusal> {
    super::super::claims::id(text).map_err(|_| ReviewRefusal::Malformed)
}
