//! The forms in which roots are published: what differs between a ConfigMap in each namespace and one object for the
//! whole cluster. When to write, over whom, and how often are no matters of form.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use signet_kubernetes::Collection;

use super::board::Spread;
use super::roots::{Seen, Wanted};
use crate::authority::Authority;

/// How an object holds roots.
pub(super) trait Form: Clone + Send + Sync + 'static {
    /// What of it is read.
    type Object: DeserializeOwned + Default + Send;

    /// The fields that we own, as JSON pointers into `fieldsV1`.
    const FIELDS: &'static [&'static str];

    /// The roots of `authority`, as they are to stand there.
    fn wanted(&self, authority: &Authority) -> Wanted;

    /// Where the object of `place` is.
    fn collection(&self, place: &str) -> Collection;

    /// What it is called.
    fn name(&self) -> &str;

    /// The annotation that says which roots are ours, where control planes share.
    fn claim(&self) -> Option<&str>;

    /// What is applied: `metadata` as it is, with `pem` in its place.
    fn body(&self, metadata: Map<String, Value>, pem: &str) -> Value;

    /// What was found.
    fn found<'a>(&self, object: &'a Self::Object) -> Found<'a>;

    /// Names `place` in messages.
    fn names(&self, place: &str) -> String;

    /// Says how far the roots have not spread.
    fn remark(&self, spread: Spread, is_known: bool) -> String;

    /// What is remembered of `object`.
    fn see(&self, object: &Self::Object) -> Seen {
        let Found { value, claim, is_whole, .. } = self.found(object);
        Seen::new(if is_whole { value } else { "" }, self.claim().map(|_| claim))
    }
}

/// What was found in an object; texts are empty where there is nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    /// Which version of it; none for one that is not there.
    pub(super) version: Option<&'a str>,
    /// The roots.
    pub(super) value: &'a str,
    /// Which of them were said to be ours.
    pub(super) claim: &'a str,
    /// Whether all else about it is right. What is missing beside the roots is as bad as missing roots.
    pub(super) is_whole: bool,
}
