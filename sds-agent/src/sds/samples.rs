//! Secrets for the tests of this room.

use std::sync::Arc;
use std::time::Duration;

use signet_identity::{Lifetime, Timestamp};
use signet_testkit::TestCa;

use crate::sds::view::{Policy, Shelf, View};
use crate::secrets::{SecretReader, SecretWriter, Snapshot, channel};

/// A CA and what it has published so far.
pub(super) struct Sample {
    ca: TestCa,
    writer: SecretWriter,
    reader: SecretReader,
}

impl Sample {
    /// Nothing published yet.
    pub(super) fn empty() -> Self {
        let (writer, reader) = channel();
        Self { ca: TestCa::root("cluster.local"), writer, reader }
    }

    /// One identity and its root.
    pub(super) fn new() -> Self {
        let sample = Self::empty();
        sample.rotate();
        sample
    }

    /// A new identity under the same root.
    pub(super) fn rotate(&self) {
        let begin = Timestamp::from_unix_secs(1_700_000_000);
        let life = Lifetime::new(begin, begin.plus(Duration::from_secs(3600))).unwrap();
        let svid = self.ca.leaf("spiffe://cluster.local/ns/shop/sa/web", life).issue().svid();
        self.writer.publish(svid, self.ca.bundle());
    }

    /// A new root with a new identity under it.
    pub(super) fn replace_root(&mut self) {
        self.ca = TestCa::root("cluster.local");
        self.rotate();
    }

    /// The identity has expired.
    pub(super) fn withdraw(&self) {
        self.writer.withdraw();
    }

    /// What the writer published last.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.reader.current()
    }

    /// What is served now.
    pub(super) fn now(&self) -> View {
        let policy = Policy {
            trust_domain: "cluster.local".parse().unwrap(),
            federated: [].into(),
            file_dirs: vec!["/etc/certs".into()],
        };
        View::new(Arc::new(policy), self.snapshot(), Shelf::new())
    }
}
