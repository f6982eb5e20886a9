//! The roots to be published, and how what stands in a ConfigMap compares with them.
//!
//! Pure. Where control planes cooperate, a ConfigMap holds everybody's roots, and an annotation of each says which ones
//! are its own: so a root that was retired here goes, and one that another plane needs stays.

use std::collections::BTreeSet;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use signet_identity::bundle::BUNDLE_PEM_MAX_BYTES;
use signet_identity::{hex, pem};

/// Most roots of all planes together in one ConfigMap.
const ROOTS_MAX: usize = 256;

pub(super) type Digest = [u8; 32];

/// The first half of the SHA-256 of a certificate.
pub(super) type Fingerprint = [u8; 16];

/// What is to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pem: Arc<str>,
    digest: Digest,
    own: BTreeSet<Fingerprint>,
}

/// What of a ConfigMap is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    digest: Digest,
    /// Only where control planes cooperate: the roots in it, and which of them were said to be ours.
    merged: Option<(BTreeSet<Fingerprint>, BTreeSet<Fingerprint>)>,
}

impl Wanted {
    pub(super) fn new(pem: &str) -> Self {
        Self { pem: pem.into(), digest: sha256(pem), own: fingerprints(pem) }
    }

    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// Which roots are ours, as the annotation has it.
    pub(super) fn claim(&self) -> String {
        self.own.iter().map(|fingerprint| hex(fingerprint)).collect::<Vec<_>>().join(",")
    }

    /// Whether `seen` needs no change.
    pub(super) fn is_met_by(&self, seen: &Seen) -> bool {
        match &seen.merged {
            None => seen.digest == self.digest,
            Some((roots, claimed)) => *claimed == self.own && self.own.is_subset(roots),
        }
    }

    /// Our roots and, behind them, those of `found` that were not claimed to be ours before.
    pub(super) fn joined_with(&self, found: &str, claim: &str) -> String {
        let claimed = parse_claim(claim);
        let mut joined = self.pem.to_string();
        if !joined.ends_with('\n') && !joined.is_empty() {
            joined.push('\n');
        }
        let mut there = self.own.clone();
        for der in certificates(found) {
            let fingerprint = fingerprint(&der);
            if !claimed.contains(&fingerprint) && there.len() < ROOTS_MAX && there.insert(fingerprint) {
                joined.push_str(&pem::encode("CERTIFICATE", &der));
            }
        }
        joined
    }
}

impl Seen {
    /// `claim` is the annotation that says which are ours; given only where control planes cooperate.
    pub(super) fn new(value: &str, claim: Option<&str>) -> Self {
        Self { digest: sha256(value), merged: claim.map(|claim| (fingerprints(value), parse_claim(claim))) }
    }
}

fn certificates(text: &str) -> Vec<Vec<u8>> {
    let mut certificates = pem::decode_certificates(text.as_bytes(), BUNDLE_PEM_MAX_BYTES).unwrap_or_default();
    certificates.truncate(ROOTS_MAX);
    certificates
}

fn fingerprints(text: &str) -> BTreeSet<Fingerprint> {
    certificates(text).iter().map(|der| fingerprint(der)).collect()
}

fn fingerprint(der: &[u8]) -> Fingerprint {
    let mut half = Fingerprint::default();
    half.iter_mut().zip(digest(&SHA256, der).as_ref()).for_each(|(to, from)| *to = *from);
    half
}

fn sha256(text: &str) -> Digest {
    let mut whole = Digest::default();
    whole.iter_mut().zip(digest(&SHA256, text.as_bytes()).as_ref()).for_each(|(to, from)| *to = *from);
    whole
}

fn parse_claim(claim: &str) -> BTreeSet<Fingerprint> {
    let parse = |word: &str| {
        let bits = (word.len() == 32).then(|| u128::from_str_radix(word, 16).ok())??;
        Some(bits.to_be_bytes())
    };
    claim.split(',').take(ROOTS_MAX).filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use signet_testkit::TestCa;

    fn root() -> String {
        TestCa::root("cluster.local").pem()
    }

    #[test]
    fn planes_that_cooperate_keep_each_others_roots_and_drop_their_own_old_ones() {
        let (ours, theirs, newer) = (root(), root(), root());
        let first = Wanted::new(&ours);
        let joined = first.joined_with(&theirs, "");
        assert_eq!(joined, format!("{ours}{theirs}"));
        assert!(first.is_met_by(&Seen::new(&joined, Some(&first.claim()))));
        assert!(!first.is_met_by(&Seen::new(&joined, Some(""))), "others must learn which are ours");
        assert!(!first.is_met_by(&Seen::new(&theirs, Some(&first.claim()))));

        let second = Wanted::new(&newer);
        assert_eq!(second.joined_with(&joined, &first.claim()), format!("{newer}{theirs}"));
        let third = Wanted::new(&format!("{ours}{newer}"));
        assert_eq!(third.joined_with(&joined, &first.claim()), format!("{ours}{newer}{theirs}"));
        assert_eq!(first.joined_with(&joined, &first.claim()), joined, "joining again changes nothing");
    }

    #[test]
    fn what_is_no_certificate_is_not_taken_over() {
        let ours = root();
        let wanted = Wanted::new(&ours);
        for found in ["", "edited", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let joined = wanted.joined_with(found, "zz,,0");
            assert!(joined.starts_with(&ours), "{found}");
            assert!(wanted.is_met_by(&Seen::new(&joined, Some(&wanted.claim()))), "{found}");
        }
    }

    #[test]
    fn who_publishes_alone_wants_exactly_its_own() {
        let (ours, theirs) = (root(), root());
        let wanted = Wanted::new(&ours);
        assert!(wanted.is_met_by(&Seen::new(&ours, None)));
        assert!(!wanted.is_met_by(&Seen::new(&format!("{ours}{theirs}"), None)));
    }
}
