//! The claims of a Kubernetes service account token, parsed into types.
//!
//! Knows the layout that API servers write and refuses what they never would. Whether the claims are acceptable (issuer,
//! audience, times) is decided in `token`.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde_json::Number;
use signet_identity::{Namespace, ServiceAccount, Timestamp, WorkloadError, WorkloadName};

/// Longest object name in bytes (RFC 1123 subdomain).
const NAME_MAX_BYTES: usize = 253;

/// Longest UID or token id in bytes; both are UUIDs of 36.
const ID_MAX_BYTES: usize = 128;

/// What every `sub` of a service account begins with.
const SUBJECT_PREFIX: &str = "system:serviceaccount:";

/// Why a payload is not a service account's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// Not JSON, or a claim of the wrong type or twice.
    #[error("claims are malformed")]
    Malformed,
    /// The subject is not a service account.
    #[error("subject is not a service account")]
    Subject,
    /// There is no `kubernetes.io` claim with namespace and service account.
    #[error("token has no `kubernetes.io` claim")]
    NotKubernetes,
    /// Subject and `kubernetes.io` claim name different service accounts.
    #[error("subject and `kubernetes.io` claim do not agree")]
    Disagreement,
    /// A name breaks Kubernetes' rules.
    #[error(transparent)]
    Name(#[from] WorkloadError),
    /// The name or UID of a pod or node, the service account's UID, or the token's id breaks Kubernetes' rules.
    #[error("object reference in `kubernetes.io` claim is malformed")]
    Reference,
}

/// An object that a token is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRef {
    /// Its name: lower-case letters, digits, `.` and `-`.
    pub name: String,
    /// Its UID: letters, digits and `-`. Empty for a node whose object was not there when the token was made.
    pub uid: String,
}

impl ObjectRef {
    pub(super) fn new(name: &str, uid: &str) -> Result<Self, ClaimsError> {
        let allowed = |octet: u8| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
        if !(1..=NAME_MAX_BYTES).contains(&name.len()) || !name.bytes().all(allowed) {
            return Err(ClaimsError::Reference);
        }
        Ok(Self { uid: id(uid)?, name: name.to_owned() })
    }

    /// A node, which may lack its UID.
    pub(super) fn node(name: &str, uid: Option<&str>) -> Result<Self, ClaimsError> {
        match uid {
            Some(uid) => Self::new(name, uid),
            None => Ok(Self { uid: String::new(), ..Self::new(name, "none")? }),
        }
    }
}

/// A token's id: letters, digits and `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenId(String);

impl TokenId {
    pub(super) fn new(text: &str) -> Result<Self, ClaimsError> {
        id(text).map(Self)
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a token claims.
#[derive(Debug)]
pub(super) struct Claims {
    pub(super) issuer: String,
    pub(super) audiences: Vec<String>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) not_before: Option<Timestamp>,
    pub(super) issued_at: Option<Timestamp>,
    pub(super) workload: WorkloadName,
    pub(super) service_account_uid: String,
    pub(super) pod: Option<ObjectRef>,
    pub(super) node: Option<ObjectRef>,
    pub(super) token_id: Option<TokenId>,
}

impl Claims {
    pub(super) fn from_json(payload: &[u8]) -> Result<Self, ClaimsError> {
        let raw: Raw<'_> = serde_json::from_slice(payload).map_err(|_| ClaimsError::Malformed)?;
        let kubernetes = raw.kubernetes.ok_or(ClaimsError::NotKubernetes)?;
        let account = kubernetes.serviceaccount.ok_or(ClaimsError::NotKubernetes)?;
        let workload = WorkloadName {
            namespace: kubernetes.namespace.ok_or(ClaimsError::NotKubernetes)?.0.parse::<Namespace>()?,
            service_account: account.name.0.parse::<ServiceAccount>()?,
        };
        if !is_subject_of(&raw.sub.unwrap_or_default().0, &workload)? {
            return Err(ClaimsError::Disagreement);
        }
        Ok(Self {
            issuer: raw.iss.unwrap_or_default().0.into_owned(),
            audiences: raw.aud.map(Audiences::into_vec).unwrap_or_default(),
            expires_at: raw.exp.as_ref().map(instant),
            not_before: raw.nbf.as_ref().map(instant),
            issued_at: raw.iat.as_ref().map(instant),
            workload,
            service_account_uid: id(&account.uid.0)?,
            pod: kubernetes.pod.map(|pod| ObjectRef::new(&pod.name.0, &pod.uid.0)).transpose()?,
            node: kubernetes.node.map(RawNode::checked).transpose()?,
            token_id: raw.jti.map(|jti| TokenId::new(&jti.0)).transpose()?,
        })
    }
}

/// The issuer that a payload names, proven or not.
pub(super) fn issuer(payload: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Issuer {
        iss: String,
    }
    serde_json::from_slice(payload).ok().map(|Issuer { iss }| iss)
}

/// When the token of a payload was made, as it says itself, proven or not.
pub(super) fn issued_at(payload: &[u8]) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct IssuedAt {
        iat: u32,
    }
    serde_json::from_slice(payload).ok().map(|IssuedAt { iat }| Timestamp::from_unix_secs(i64::from(iat)))
}

/// Whether `subject` is this workload's, or an error when it is no service account's at all.
fn is_subject_of(subject: &str, workload: &WorkloadName) -> Result<bool, ClaimsError> {
    let (namespace, account) = service_account_of(subject).ok_or(ClaimsError::Subject)?;
    Ok(namespace == workload.namespace.as_str() && account == workload.service_account.as_str())
}

/// Namespace and name in a subject of the form of service accounts; neither is checked.
pub(super) fn service_account_of(subject: &str) -> Option<(&str, &str)> {
    subject.strip_prefix(SUBJECT_PREFIX)?.split_once(':')
}

pub(super) fn id(text: &str) -> Result<String, ClaimsError> {
    let fits = (1..=ID_MAX_BYTES).contains(&text.len());
    if fits && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-') {
        Ok(text.to_owned())
    } else {
        Err(ClaimsError::Reference)
    }
}

/// Text that is only copied when it has to be: it holds escapes, or it stays.
#[derive(Deserialize, Default)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    iss: Option<Text<'a>>,
    #[serde(borrow)]
    sub: Option<Text<'a>>,
    #[serde(borrow)]
    aud: Option<Audiences<'a>>,
    exp: Option<Number>,
    nbf: Option<Number>,
    iat: Option<Number>,
    #[serde(borrow)]
    jti: Option<Text<'a>>,
    #[serde(borrow, rename = "kubernetes.io")]
    kubernetes: Option<RawKubernetes<'a>>,
}

#[derive(Deserialize)]
struct RawKubernetes<'a> {
    #[serde(borrow)]
    namespace: Option<Text<'a>>,
    #[serde(borrow)]
    serviceaccount: Option<RawObject<'a>>,
    #[serde(borrow)]
    pod: Option<RawObject<'a>>,
    #[serde(borrow)]
    node: Option<RawNode<'a>>,
}

#[derive(Deserialize)]
struct RawObject<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    uid: Text<'a>,
}

#[derive(Deserialize)]
struct RawNode<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    uid: Option<Text<'a>>,
}

impl RawNode<'_> {
    fn checked(self) -> Result<ObjectRef, ClaimsError> {
        ObjectRef::node(&self.name.0, self.uid.as_ref().map(|uid| &*uid.0))
    }
}

/// `aud` is a list from Kubernetes, and may be one text by RFC 7519, 4.1.3.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences<'a> {
    Many(#[serde(borrow)] Vec<Text<'a>>),
    One(#[serde(borrow)] Text<'a>),
}

impl Audiences<'_> {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::Many(audiences) => audiences.into_iter().map(|audience| audience.0.into_owned()).collect(),
            Self::One(audience) => vec![audience.0.into_owned()],
        }
    }
}

/// Seconds since the epoch, possibly with a fraction (RFC 7519, 2), which no instant here needs.
pub(super) fn instant(date: &Number) -> Timestamp {
    // The cast saturates.
    let secs = date.as_i64().or_else(|| date.as_f64().map(|secs| secs as i64));
    Timestamp::from_unix_secs(secs.unwrap_or_default())
}

#[cfg(test)]
mod tests;
