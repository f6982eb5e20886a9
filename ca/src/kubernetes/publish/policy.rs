//! Whose fields may be overwritten.
//!
//! Pure. Server-side apply refuses to change what another manager owns. Then there are three cases. Somebody edited what
//! we had published: it is put right again. A manager that the operator named owned it before: it is taken over, or
//! joined with ours. Anybody else: it is left alone, and told.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

/// Most managers of one object that are looked at.
const MANAGERS_MAX: usize = 64;

/// What may be done to others' fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Our own name in `managedFields`.
    pub manager: String,
    /// Managers whose fields are overwritten.
    pub take_over_from: Vec<String>,
    /// Whether control planes share what they publish.
    pub share: bool,
}

/// What to do about a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::kubernetes) enum Decision {
    /// Overwrite what was ours and has been changed, by these.
    Heal(Vec<String>),
    /// Overwrite what belonged to others, with leave to do so.
    TakeOver,
    /// Leave alone what these own.
    Refuse(Vec<String>),
}

/// An object as far as owners go.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::kubernetes) struct Owned {
    metadata: OwnedMeta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct OwnedMeta {
    managed_fields: Vec<Manager>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Manager {
    #[serde(rename = "manager")]
    name: String,
    operation: String,
    #[serde(rename = "fieldsV1")]
    fields: Value,
}

impl Policy {
    /// The annotation that says which roots are ours, where control planes share.
    pub(super) fn claim(&self) -> Option<String> {
        self.share.then(|| format!("signet.dev/roots-of-{}", self.manager))
    }

    /// What to do when fields of `object` that are wanted otherwise, given as JSON pointers into `fieldsV1`, belong to
    /// others. `was_ours`: whether the object is known to have been as wanted.
    pub(in crate::kubernetes) fn decide(&self, object: &Owned, fields: &[&str], was_ours: bool) -> Decision {
        let managers = || object.metadata.managed_fields.iter().take(MANAGERS_MAX);
        let is_ours = |manager: &&Manager| manager.name == self.manager && manager.operation == "Apply";
        let owns = |manager: &&Manager| fields.iter().any(|field| manager.fields.pointer(field).is_some());
        let owners: BTreeSet<String> =
            managers().filter(|manager| !is_ours(manager)).filter(owns).map(|manager| manager.name.clone()).collect();
        let owners: Vec<String> = owners.into_iter().collect();
        if was_ours || managers().any(|manager| is_ours(&manager)) {
            Decision::Heal(owners)
        } else if self.share || owners.iter().all(|owner| self.take_over_from.contains(owner)) {
            Decision::TakeOver
        } else {
            Decision::Refuse(owners)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const DATA: &str = "/f:data/f:root-cert.pem";

    fn object(managers: &[(&str, &str, bool)]) -> Owned {
        let fields = |owns: bool| {
            if owns {
                json!({ "f:data": { "f:root-cert.pem": {} } })
            } else {
                json!({ "f:metadata": { "f:labels": {} } })
            }
        };
        let managers = managers.iter().map(
            |(name, operation, owns)| json!({ "manager": name, "operation": operation, "fieldsV1": fields(*owns) }),
        );
        serde_json::from_value(json!({ "metadata": { "managedFields": managers.collect::<Vec<_>>() } })).unwrap()
    }

    fn policy(take_over_from: &[&str], share: bool) -> Policy {
        let take_over_from = take_over_from.iter().map(|name| (*name).to_owned()).collect();
        Policy { manager: "signet-ca".to_owned(), take_over_from, share }
    }

    #[test]
    fn what_was_ours_is_put_right_and_what_was_not_only_with_leave() {
        let edited = object(&[("signet-ca", "Apply", false), ("kubectl-edit", "Update", true)]);
        let foreign = object(&[("pilot-discovery", "Update", true)]);
        let many = object(&[("pilot-discovery", "Update", true), ("argo", "Apply", true), ("x", "Update", false)]);
        let by = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(policy(&[], false).decide(&edited, &[DATA], false), Decision::Heal(by(&["kubectl-edit"])));
        assert_eq!(policy(&[], false).decide(&foreign, &[DATA], false), Decision::Refuse(by(&["pilot-discovery"])));
        assert_eq!(policy(&["pilot-discovery"], false).decide(&foreign, &[DATA], false), Decision::TakeOver);
        assert_eq!(
            policy(&["pilot-discovery"], false).decide(&many, &[DATA], false),
            Decision::Refuse(by(&["argo", "pilot-discovery"]))
        );
        assert_eq!(policy(&[], false).decide(&foreign, &[DATA], true), Decision::Heal(by(&["pilot-discovery"])));
        assert_eq!(policy(&[], true).decide(&many, &[DATA], false), Decision::TakeOver);
    }

    #[test]
    fn somebody_who_updates_under_our_name_is_somebody_else() {
        let object = object(&[("signet-ca", "Update", true)]);
        assert_eq!(policy(&[], false).decide(&object, &[DATA], false), Decision::Refuse(vec!["signet-ca".to_owned()]));
    }
}
