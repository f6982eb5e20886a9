//! A Lease as it is read and written. What is not ours in it stays.

use std::fmt;
use std::time::{Duration, SystemTime};

use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use signet_identity::{KeyError, hex};
use signet_kubernetes::ApiError;
use time::OffsetDateTime;
use time::macros::format_description;

/// Shortest and longest duration that another's lease is believed to have.
const DURATION_SECS_MIN: u64 = 1;
const DURATION_SECS_MAX: u64 = 3600;

/// What a replica is called in a lease: unlike any other, also unlike itself after a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder(String);

impl Holder {
    /// A fresh name that begins with `prefix`, such as the pod's name.
    ///
    /// # Errors
    /// [`KeyError::Randomness`].
    pub fn new(prefix: &str) -> Result<Self, KeyError> {
        let mut octets = [0u8; 8];
        SystemRandom::new().fill(&mut octets).map_err(|_| KeyError::Randomness)?;
        Ok(Self(format!("{prefix}_{}", hex(&octets))))
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    #[serde(flatten)]
    outside: Map<String, Value>,
    #[serde(default)]
    spec: Spec,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    holder_identity: Option<String>,
    lease_duration_seconds: Option<u64>,
    acquire_time: Option<String>,
    renew_time: Option<String>,
    lease_transitions: Option<u64>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Record {
    pub(super) fn new(name: &str, holder: &Holder, duration: Duration, now: SystemTime) -> Self {
        let mut outside = Map::new();
        outside.insert("apiVersion".to_owned(), json!("coordination.k8s.io/v1"));
        outside.insert("kind".to_owned(), json!("Lease"));
        outside.insert("metadata".to_owned(), json!({ "name": name }));
        let spec = Spec {
            holder_identity: Some(holder.0.clone()),
            lease_duration_seconds: Some(duration.as_secs()),
            acquire_time: Some(micro_time(now)),
            renew_time: Some(micro_time(now)),
            lease_transitions: Some(0),
            rest: Map::new(),
        };
        Self { outside, spec }
    }

    pub(super) fn json(&self) -> Result<Vec<u8>, ApiError> {
        serde_json::to_vec(self).map_err(|error| ApiError::Request(error.to_string()))
    }

    pub(super) fn is_held_by(&self, holder: &Holder) -> bool {
        self.spec.holder_identity.as_deref() == Some(holder.0.as_str())
    }

    pub(super) fn is_free(&self) -> bool {
        self.spec.holder_identity.as_deref().is_none_or(str::is_empty)
    }

    /// How long it is good for without a renewal.
    pub(super) fn duration(&self) -> Duration {
        let secs = self.spec.lease_duration_seconds.unwrap_or(DURATION_SECS_MIN);
        Duration::from_secs(secs.clamp(DURATION_SECS_MIN, DURATION_SECS_MAX))
    }

    /// Whether it was not renewed since `other` was read.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.spec == other.spec
    }

    pub(super) fn renewed(&self, duration: Duration, now: SystemTime) -> Self {
        let mut record = self.clone();
        record.spec.renew_time = Some(micro_time(now));
        record.spec.lease_duration_seconds = Some(duration.as_secs());
        record
    }

    pub(super) fn taken_by(&self, holder: &Holder, duration: Duration, now: SystemTime) -> Self {
        let mut record = self.renewed(duration, now);
        record.spec.holder_identity = Some(holder.0.clone());
        record.spec.acquire_time = Some(micro_time(now));
        record.spec.lease_transitions = Some(self.spec.lease_transitions.unwrap_or(0).saturating_add(1));
        record
    }

    pub(super) fn released(&self) -> Self {
        let mut record = self.clone();
        record.spec.holder_identity = Some(String::new());
        record.spec.lease_duration_seconds = Some(DURATION_SECS_MIN);
        record
    }
}

/// A `MicroTime` of Kubernetes.
pub(in crate::kubernetes) fn micro_time(time: SystemTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    OffsetDateTime::from(time).format(&format).unwrap_or_else(|_| "1970-01-01T00:00:00.000000Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_keeps_what_is_not_ours() {
        let json = r#"{"kind":"Lease","metadata":{"name":"a","resourceVersion":"7","labels":{"x":"y"}},
            "spec":{"holderIdentity":"b","leaseDurationSeconds":15,"leaseTransitions":3,"strategy":"new"}}"#;
        let record: Record = serde_json::from_str(json).unwrap();
        let holder = Holder::new("me").unwrap();
        let taken = record.taken_by(&holder, Duration::from_secs(20), SystemTime::UNIX_EPOCH);
        let written: Value = serde_json::from_slice(&taken.json().unwrap()).unwrap();
        assert_eq!(written["metadata"]["labels"]["x"], "y");
        assert_eq!(written["metadata"]["resourceVersion"], "7");
        assert_eq!(written["spec"]["strategy"], "new");
        assert_eq!(
            (&written["spec"]["leaseTransitions"], &written["spec"]["leaseDurationSeconds"]),
            (&json!(4), &json!(20))
        );
        assert_eq!(written["spec"]["renewTime"], "1970-01-01T00:00:00.000000Z");
        assert!(taken.is_held_by(&holder) && !record.is_held_by(&holder));
    }

    #[test]
    fn no_two_replicas_have_one_name() {
        assert_ne!(Holder::new("pod").unwrap(), Holder::new("pod").unwrap());
    }
}
