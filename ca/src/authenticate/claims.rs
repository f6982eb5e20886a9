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
    /// Its UID: letters, digits and `-`.
    pub uid: String,
}

/// A token's id: letters, digits and `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenId(String);

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
            pod: kubernetes.pod.map(ObjectRef::try_from).transpose()?,
            node: kubernetes.node.map(ObjectRef::try_from).transpose()?,
            token_id: raw.jti.map(|jti| id(&jti.0).map(TokenId)).transpose()?,
        })
    }
}

/// Whether `subject` is this workload's, or an error when it is no service account's at all.
fn is_subject_of(subject: &str, workload: &WorkloadName) -> Result<bool, ClaimsError> {
    let names = subject.strip_prefix(SUBJECT_PREFIX).ok_or(ClaimsError::Subject)?;
    let (namespace, account) = names.split_once(':').ok_or(ClaimsError::Subject)?;
    Ok(namespace == workload.namespace.as_str() && account == workload.service_account.as_str())
}

fn id(text: &str) -> Result<String, ClaimsError> {
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
    node: Option<RawObject<'a>>,
}

#[derive(Deserialize)]
struct RawObject<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    uid: Text<'a>,
}

impl TryFrom<RawObject<'_>> for ObjectRef {
    type Error = ClaimsError;

    fn try_from(raw: RawObject<'_>) -> Result<Self, Self::Error> {
        let name = raw.name.0;
        let allowed = |octet: u8| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
        if !(1..=NAME_MAX_BYTES).contains(&name.len()) || !name.bytes().all(allowed) {
            return Err(ClaimsError::Reference);
        }
        Ok(Self { uid: id(&raw.uid.0)?, name: name.into_owned() })
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
fn instant(date: &Number) -> Timestamp {
    // The cast saturates.
    let secs = date.as_i64().or_else(|| date.as_f64().map(|secs| secs as i64));
    Timestamp::from_unix_secs(secs.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn claims() -> serde_json::Value {
        json!({
            "iss": "k8s", "sub": "system:serviceaccount:shop:web", "aud": ["a", "b"], "exp": 20, "nbf": 10, "iat": 10,
            "kubernetes.io": {
                "namespace": "shop",
                "serviceaccount": { "name": "web", "uid": "u-1" },
                "pod": { "name": "web-1", "uid": "p-1" },
            },
        })
    }

    fn check(change: impl FnOnce(&mut serde_json::Value), wanted: Option<&ClaimsError>) {
        let mut claims = claims();
        change(&mut claims);
        let got = Claims::from_json(claims.to_string().as_bytes()).err();
        assert_eq!(got.as_ref(), wanted, "{claims}");
    }

    #[test]
    fn each_way_to_be_no_service_account_has_its_name() {
        check(|_| {}, None);
        check(|c| c["sub"] = json!("system:node:n"), Some(&ClaimsError::Subject));
        check(|c| c["sub"] = json!("system:serviceaccount:shop"), Some(&ClaimsError::Subject));
        check(|c| c["sub"] = json!("system:serviceaccount:shop:web:x"), Some(&ClaimsError::Disagreement));
        check(|c| c["sub"] = json!("system:serviceaccount:other:web"), Some(&ClaimsError::Disagreement));
        check(|c| c["kubernetes.io"] = json!(null), Some(&ClaimsError::NotKubernetes));
        check(|c| c["kubernetes.io"]["serviceaccount"] = json!(null), Some(&ClaimsError::NotKubernetes));
        check(|c| c["kubernetes.io"] = json!([]), Some(&ClaimsError::Malformed));
        check(|c| c["kubernetes.io"]["serviceaccount"]["uid"] = json!("u 1"), Some(&ClaimsError::Reference));
        check(|c| c["kubernetes.io"]["pod"]["name"] = json!("Web"), Some(&ClaimsError::Reference));
        check(|c| c["kubernetes.io"]["pod"]["uid"] = json!(""), Some(&ClaimsError::Reference));
        check(|c| c["kubernetes.io"]["pod"] = json!({ "name": "web-1" }), Some(&ClaimsError::Malformed));
        check(|c| c["exp"] = json!("20"), Some(&ClaimsError::Malformed));
        check(|c| c["jti"] = json!("x".repeat(129)), Some(&ClaimsError::Reference));
    }

    #[test]
    fn a_claim_given_twice_is_refused() {
        let twice = claims().to_string().replacen('{', "{\"sub\":\"system:serviceaccount:shop:web\",", 1);
        assert_eq!(Claims::from_json(twice.as_bytes()).map(|_| ()), Err(ClaimsError::Malformed));
    }

    #[test]
    fn dates_of_every_size_become_instants() {
        let exp = |value: serde_json::Value| {
            let mut claims = claims();
            claims["exp"] = value;
            Claims::from_json(claims.to_string().as_bytes()).unwrap().expires_at.unwrap()
        };
        assert_eq!(exp(json!(20)).unix_secs(), 20);
        assert_eq!(exp(json!(20.9)).unix_secs(), 20);
        assert_eq!(exp(json!(-1)).unix_secs(), -1);
        assert_eq!(exp(json!(u64::MAX)), Timestamp::from_unix_secs(i64::MAX));
        assert_eq!(exp(json!(i64::MIN)), exp(json!(-1e300)));
    }

    #[test]
    fn escaped_text_is_what_it_stands_for() {
        let escaped = claims().to_string().replace("\"shop\"", "\"sh\\u006fp\"");
        assert_eq!(Claims::from_json(escaped.as_bytes()).unwrap().workload.to_string(), "shop/web");
    }

    proptest! {
        #[test]
        fn no_payload_makes_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Claims::from_json(&bytes);
        }

        #[test]
        fn no_value_in_a_known_place_makes_the_reader_panic(key in "iss|sub|aud|exp|nbf|iat|jti|kubernetes.io", text in ".{0,40}", number: f64) {
            for value in [json!(text), json!([text]), json!({ "namespace": text }), json!(number), json!(null)] {
                let mut claims = claims();
                claims[&key] = value;
                let _ = Claims::from_json(claims.to_string().as_bytes());
            }
        }
    }
}
