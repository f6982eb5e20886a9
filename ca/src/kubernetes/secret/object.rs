//! A Secret on the wire. Its texts are wiped when they are dropped, and shown nowhere.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize, Serializer};
use signet_kubernetes::ApiError;
use zeroize::Zeroizing;

use super::Place;
use crate::shared::{Changes, Entries, Snapshot};

/// One value: base64 on the wire.
struct Value(Zeroizing<Vec<u8>>);

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Borrowed where it can be, since a copy has to be wiped; base64 needs no escapes.
        let decoded = match Text::deserialize(deserializer)?.0 {
            Cow::Borrowed(text) => STANDARD.decode(text),
            Cow::Owned(text) => STANDARD.decode(&*Zeroizing::new(text)),
        };
        decoded.map(|value| Self(Zeroizing::new(value))).map_err(|_| serde::de::Error::custom("value is not base64"))
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(STANDARD.encode(&*self.0)))
    }
}

/// What of a Secret is read.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(in crate::kubernetes) struct Secret {
    metadata: Meta,
    data: BTreeMap<String, Value>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    name: String,
    resource_version: String,
}

impl Secret {
    pub(super) fn name(&self) -> &str {
        &self.metadata.name
    }

    pub(super) fn version(&self) -> &str {
        &self.metadata.resource_version
    }
}

impl From<Secret> for Snapshot {
    fn from(secret: Secret) -> Self {
        let entries = secret.data.into_iter().map(|(name, value)| (name, value.0));
        Self { version: secret.metadata.resource_version, entries: entries.collect() }
    }
}

/// What is written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::kubernetes) struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    api_version: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    type_: Option<&'a str>,
    metadata: BTreeMap<&'static str, &'a str>,
    /// No value takes a key away.
    data: BTreeMap<&'a str, Option<Value>>,
}

impl<'a> Body<'a> {
    /// A whole Secret.
    pub(super) fn new(place: &'a Place, entries: &'a Entries) -> Self {
        let data = entries.iter().map(|(name, text)| (name.as_str(), Some(Value(text.clone()))));
        Self {
            api_version: Some("v1"),
            kind: Some("Secret"),
            type_: Some(place.kind),
            metadata: BTreeMap::from([("name", place.name.as_str()), ("namespace", place.namespace.as_str())]),
            data: data.collect(),
        }
    }

    /// A Secret as it is applied: over what `version` names, if that is there already.
    pub(in crate::kubernetes) fn applied(
        (name, kind): (&'a str, &'a str),
        version: Option<&'a str>,
        entries: &'a Entries,
    ) -> Self {
        let data = entries.iter().map(|(name, text)| (name.as_str(), Some(Value(text.clone()))));
        let version = version.map(|version| ("resourceVersion", version));
        Self {
            api_version: Some("v1"),
            kind: Some("Secret"),
            type_: Some(kind),
            metadata: std::iter::once(("name", name)).chain(version).collect(),
            data: data.collect(),
        }
    }

    /// A patch of what `version` names.
    pub(super) fn change(version: &'a str, changes: &'a Changes) -> Self {
        let data = changes.iter().map(|(name, text)| (name.as_str(), text.clone().map(Value)));
        let metadata = BTreeMap::from([("resourceVersion", version)]);
        Self { api_version: None, kind: None, type_: None, metadata, data: data.collect() }
    }

    pub(super) fn json(&self) -> Result<Vec<u8>, ApiError> {
        serde_json::to_vec(self).map_err(|error| ApiError::Request(error.to_string()))
    }
}

impl fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({:?}, redacted)", self.metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_as_an_api_server_writes_it() {
        let json = r#"{"kind":"Secret","metadata":{"name":"a","resourceVersion":"7"},"data":{"a":"QQ==","b":""}}"#;
        let snapshot = Snapshot::from(serde_json::from_str::<Secret>(json).unwrap());
        assert_eq!(snapshot.version, "7");
        assert_eq!(snapshot.entries["a"].as_slice(), b"A");
        assert!(snapshot.entries["b"].is_empty());
        assert_eq!(format!("{snapshot:?}"), "Snapshot(7, redacted)");
    }

    #[test]
    fn what_is_no_secret_is_refused_without_being_quoted() {
        for json in [r#"{"data":{"a":"hidden!"}}"#, r#"{"data":{"a":7}}"#, r#"{"data":["hidden"]}"#] {
            let Err(error) = serde_json::from_str::<Secret>(json) else { panic!("{json}") };
            assert!(!ApiError::malformed(&error).to_string().contains("hidden"), "{error}");
        }
    }

    #[test]
    fn a_change_names_the_version_and_takes_away_what_ends() {
        let changes = Changes::from([("a".to_owned(), Some(Zeroizing::new(b"A".to_vec()))), ("b".to_owned(), None)]);
        let body = Body::change("7", &changes).json().unwrap();
        assert_eq!(
            String::from_utf8(body).unwrap(),
            r#"{"metadata":{"resourceVersion":"7"},"data":{"a":"QQ==","b":null}}"#
        );
    }
}
