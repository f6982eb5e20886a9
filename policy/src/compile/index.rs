//! From a request to the few rules that may match it.
//!
//! Every rule is filed under the keys of one part of it that must hold: all clauses of `from`, all of `to`, or one
//! `when`. Which part, is decided by how many rules share its keys: the rarest wins. A request then asks for the keys
//! that its own attributes have. What no key can stand for (rules of negations and presence alone) is always tried.

mod file;
mod probe;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::Rule;
use super::key::Key;
use crate::request::Request;

/// How many fields there are; see [`super::key::field_number`].
const FIELDS: usize = 16;

/// The rules of a set, by key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    /// From a key to a part of `filed`.
    buckets: HashMap<Key, (u32, u32), BuildHasherDefault<KeyHasher>>,
    /// Indices of rules, bucket after bucket.
    filed: Vec<u32>,
    /// Indices of the rules that no key stands for.
    always: Vec<u32>,
    /// What each field is asked for.
    shapes: [Shape; FIELDS],
}

/// Which keys a field has at all, so that no request is asked in vain.
#[derive(Debug, Clone, Default)]
struct Shape {
    whole: bool,
    there: bool,
    /// Lengths of texts (or bits of blocks), rising.
    prefixes: Vec<u32>,
    suffixes: Vec<u32>,
    /// Places of segments, rising.
    segments: Vec<u32>,
}

impl Index {
    pub(crate) fn new(rules: &[Rule]) -> Self {
        file::index(rules)
    }

    /// Offers the index of each rule that may match, some of them twice, until `offer` says that it has enough.
    pub(crate) fn candidates(&self, request: &Request<'_>, mut offer: impl FnMut(usize) -> bool) {
        let mut each = |rules: &[u32]| rules.iter().any(|rule| offer(usize::try_from(*rule).unwrap_or(usize::MAX)));
        let mut probe = |key: Key| {
            let Some((from, to)) = self.buckets.get(&key) else { return false };
            let range = usize::try_from(*from).unwrap_or(0)..usize::try_from(*to).unwrap_or(0);
            each(self.filed.get(range).unwrap_or_default())
        };
        if !self.buckets.is_empty() && probe::all(&self.shapes, request, &mut probe) {
            return;
        }
        each(&self.always);
    }
}

/// Keys are hashes already.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, key: u64) {
        // FNV leaves the upper bits, by which the table tells entries apart, less mixed than the lower ones.
        self.0 = key ^ (key >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
