//! What a ledger holds about each certificate, and the few other things it notes. Pure.
//!
//! Written by hand into JSON's form by `serde`, borrowed from the request, so that handing a record over costs one
//! allocation. Times are RFC 3339 in UTC, digests lower-case hexadecimal. A member that is not known is left out. New
//! members may be added; readers ignore what they do not know.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use signet_identity::Timestamp;

use super::{LedgerError, instant};

/// Longest body of a record, in bytes; far above what the longest names give.
pub const RECORD_MAX_BYTES: usize = 8 * 1024;

/// What nearly every record needs, in bytes.
const RECORD_USUAL_BYTES: usize = 1024;

/// Everything about one certificate or token that was issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename = "issued")]
pub struct Issued<'a> {
    /// When it was issued.
    #[serde(with = "instant")]
    pub time: Timestamp,
    /// The request, as answer and log call it.
    pub request: Cow<'a, str>,
    /// The identity that was granted.
    pub id: Cow<'a, str>,
    /// What it is, where it is no certificate: `jwt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Cow<'a, str>>,
    /// The certificate's serial number, or the token's own id.
    pub serial: Cow<'a, str>,
    /// The first instant of its validity.
    #[serde(with = "instant")]
    pub not_before: Timestamp,
    /// The last one.
    #[serde(with = "instant")]
    pub not_after: Timestamp,
    /// The life that was asked for, in seconds; zero or less means that there was no wish.
    pub asked_secs: i64,
    /// The life that was granted, in seconds from `time` on.
    pub granted_secs: u64,
    /// What kind of key it certifies; empty for a token.
    pub key: Cow<'a, str>,
    /// SHA-256 over the key's SubjectPublicKeyInfo, or over the whole token.
    pub key_sha256: Cow<'a, str>,
    /// Which authority signed it: its signing certificate's subject key identifier, or the name of the token key.
    pub authority: Cow<'a, str>,
    /// Who may accept it, where it is a token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<Cow<'a, str>>,
    /// How the caller was identified.
    pub authenticator: Cow<'a, str>,
    /// The caller's own identity, where another was granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<Cow<'a, str>>,
    /// The caller's cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Cow<'a, str>>,
    /// The caller's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Cow<'a, str>>,
    /// The caller's service account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account: Option<Cow<'a, str>>,
    /// The caller's pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Cow<'a, str>>,
    /// The pod's UID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_uid: Option<Cow<'a, str>>,
    /// The node that the pod runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Cow<'a, str>>,
    /// The id of the token that the caller showed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_id: Option<Cow<'a, str>>,
    /// The address that the request came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<Cow<'a, str>>,
    /// Whether the identity is another than the caller's own.
    pub impersonated: bool,
}

/// What the writer itself notes, so that nobody has to guess what happened between two records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Note<'a> {
    /// A process began to write here.
    Started {
        #[serde(with = "instant")]
        time: Timestamp,
        /// Of the program.
        version: Cow<'a, str>,
        /// Bytes of an unfinished record that were found and put aside.
        torn_bytes: u64,
    },
    /// Writing had failed and works again; nothing was issued meanwhile.
    Resumed {
        #[serde(with = "instant")]
        time: Timestamp,
        /// When it failed.
        #[serde(with = "instant")]
        since: Timestamp,
        /// Why.
        why: Cow<'a, str>,
    },
}

/// An object that is complete but for its place in a chain: the writer puts that before and after it.
#[derive(Debug)]
pub(super) struct Body(Vec<u8>);

impl Body {
    /// # Errors
    /// [`LedgerError::TooLong`].
    pub(super) fn issued(record: &Issued<'_>) -> Result<Self, LedgerError> {
        Self::of(record)
    }

    /// # Errors
    /// [`LedgerError::TooLong`].
    pub(super) fn note(note: &Note<'_>) -> Result<Self, LedgerError> {
        Self::of(note)
    }

    fn of(value: &impl Serialize) -> Result<Self, LedgerError> {
        let mut json = Vec::with_capacity(RECORD_USUAL_BYTES);
        // Writing into memory fails for no type of this file.
        serde_json::to_writer(&mut json, value).map_err(|_| LedgerError::TooLong)?;
        if json.len() > RECORD_MAX_BYTES { Err(LedgerError::TooLong) } else { Ok(Self(json)) }
    }

    /// The members, without the braces around them.
    pub(super) fn members(&self) -> &[u8] {
        self.0.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}")).unwrap_or_default()
    }
}

/// What the records of certificates call themselves.
const ISSUED: &str = "issued";

/// What every record begins with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Head<'a> {
    /// Its number; the first record of a chain has 1.
    pub seq: u64,
    /// The last record that was known to be on the disk when this one was written.
    pub synced: u64,
    /// What it is: `issued`, or a note of the writer.
    #[serde(borrow)]
    pub event: Cow<'a, str>,
    /// When it happened.
    #[serde(with = "instant")]
    pub time: Timestamp,
}

impl Head<'_> {
    /// Whether the record is one of a certificate.
    pub fn is_issued(&self) -> bool {
        self.event == ISSUED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_too_long_to_be_one_is_refused() {
        let long = "a".repeat(RECORD_MAX_BYTES);
        let note = |why: &str| {
            let (time, since) = (Timestamp::from_unix_secs(1), Timestamp::from_unix_secs(0));
            Body::note(&Note::Resumed { time, since, why: Cow::Owned(why.to_owned()) })
        };
        assert!(matches!(note(&long), Err(LedgerError::TooLong)));
        let body = note("disk full").unwrap();
        let wanted = r#""event":"resumed","time":"1970-01-01T00:00:01.000Z","since":"1970-01-01T00:00:00.000Z","why":"disk full""#;
        assert_eq!(std::str::from_utf8(body.members()).unwrap(), wanted);
    }
}
