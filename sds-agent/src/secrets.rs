//! What is served right now: one writer, any number of readers.
//!
//! Writer and reader are different types, so a reader cannot publish. A reader sees whole snapshots, only the newest.
//! The roots outlive the identity: when an identity has expired the roots are still handed out.

use std::fmt;
use std::sync::Arc;

use ring::digest;
use signet_identity::{Svid, TrustBundle};
use tokio::sync::watch;

/// Bytes of a digest that stand in a version: enough to tell contents apart, short enough to read.
const VERSION_BYTES: usize = 16;

/// The name of a content: equal contents have equal versions.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(Arc<str>);

impl Version {
    /// The version of `parts`, each of which counts with its length.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut digest = digest::Context::new(&digest::SHA256);
        for part in parts {
            digest.update(&(part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let digest = digest.finish();
        let text: String = digest.as_ref().iter().take(VERSION_BYTES).map(|octet| format!("{octet:02x}")).collect();
        Self(text.into())
    }

    /// Lower-case hexadecimal.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A content and its version. Cheap to clone.
#[derive(Debug)]
pub struct Versioned<T> {
    content: Arc<T>,
    version: Version,
}

impl<T> Versioned<T> {
    /// The content.
    pub fn content(&self) -> &T {
        &self.content
    }

    /// The content, to be kept.
    pub fn shared(&self) -> Arc<T> {
        self.content.clone()
    }

    /// Its version.
    pub fn version(&self) -> &Version {
        &self.version
    }
}

impl<T> Clone for Versioned<T> {
    fn clone(&self) -> Self {
        Self { content: self.content.clone(), version: self.version.clone() }
    }
}

impl Versioned<Svid> {
    fn svid(svid: Svid) -> Self {
        // The key is told by its public half: a digest over the private one would be published with the version.
        let key = svid.key().public().spki_der();
        let version = Version::of(svid.chain().map(|certificate| certificate.der()).chain([key]));
        Self { content: Arc::new(svid), version }
    }
}

impl Versioned<TrustBundle> {
    fn bundle(bundle: TrustBundle) -> Self {
        let version = Version::of([bundle.digest().as_slice()]);
        Self { content: Arc::new(bundle), version }
    }
}

/// Everything that is served at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The identity, unless there is none yet or it has expired.
    pub svid: Option<Versioned<Svid>>,
    /// The roots, once they are known.
    pub bundle: Option<Versioned<TrustBundle>>,
}

impl Snapshot {
    /// The same roots in another order are no news.
    fn renew_bundle(&mut self, bundle: Versioned<TrustBundle>) -> bool {
        let changed = self.bundle.as_ref().map(Versioned::version) != Some(bundle.version());
        if changed {
            self.bundle = Some(bundle);
        }
        changed
    }
}

/// Makes a writer and a first reader. Nothing is served yet.
pub fn channel() -> (SecretWriter, SecretReader) {
    let (sender, receiver) = watch::channel(Snapshot::default());
    (SecretWriter { sender }, SecretReader { receiver })
}

/// The side that publishes.
#[derive(Debug)]
pub struct SecretWriter {
    sender: watch::Sender<Snapshot>,
}

impl SecretWriter {
    /// Publishes an identity and the roots that belong to it, together.
    pub fn publish(&self, svid: Svid, bundle: TrustBundle) {
        let (svid, bundle) = (Versioned::svid(svid), Versioned::bundle(bundle));
        self.sender.send_modify(|snapshot| {
            snapshot.svid = Some(svid);
            snapshot.renew_bundle(bundle);
        });
    }

    /// Publishes roots; the identity stays. Says whether they are others than before.
    pub fn publish_roots(&self, bundle: TrustBundle) -> bool {
        self.sender.send_if_modified(|snapshot| snapshot.renew_bundle(Versioned::bundle(bundle)))
    }

    /// What is served now.
    pub fn current(&self) -> Snapshot {
        self.sender.borrow().clone()
    }

    /// Stops handing out the identity; the roots stay.
    pub fn withdraw(&self) {
        self.sender.send_modify(|snapshot| snapshot.svid = None);
    }
}

/// The side that serves. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SecretReader {
    receiver: watch::Receiver<Snapshot>,
}

/// The writer is gone: nothing will ever change again.
#[derive(Debug, thiserror::Error)]
#[error("nobody publishes secrets any more")]
pub struct WriterGone;

impl SecretReader {
    /// What is served now; marks it as seen.
    pub fn seen(&mut self) -> Snapshot {
        self.receiver.borrow_and_update().clone()
    }

    /// What is served now.
    pub fn current(&self) -> Snapshot {
        self.receiver.borrow().clone()
    }

    /// Waits for something that was not seen. Losing this future loses nothing.
    ///
    /// # Errors
    /// [`WriterGone`].
    pub async fn changed(&mut self) -> Result<(), WriterGone> {
        self.receiver.changed().await.map_err(|_| WriterGone)
    }

    /// Waits until there is an identity. Losing this future loses nothing.
    ///
    /// # Errors
    /// [`WriterGone`].
    pub async fn identity(&mut self) -> Result<Versioned<Svid>, WriterGone> {
        let served = self.receiver.wait_for(|snapshot| snapshot.svid.is_some()).await.map_err(|_| WriterGone)?;
        served.svid.clone().ok_or(WriterGone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signet_identity::{Lifetime, Timestamp};
    use signet_testkit::TestCa;

    fn life() -> Lifetime {
        Lifetime::new(Timestamp::from_unix_secs(1_700_000_000), Timestamp::from_unix_secs(1_700_003_600)).unwrap()
    }

    fn svid(ca: &TestCa) -> Svid {
        ca.leaf("spiffe://cluster.local/ns/shop/sa/web", life()).issue().svid()
    }

    #[test]
    fn a_new_identity_under_the_same_roots_leaves_the_roots_version_alone() {
        let (writer, reader) = channel();
        let ca = TestCa::root("cluster.local");
        writer.publish(svid(&ca), ca.bundle());
        let first = reader.current();
        writer.publish(svid(&ca), ca.bundle());
        let second = reader.current();
        let (one, two) = (first.bundle.unwrap(), second.bundle.unwrap());
        assert_eq!(one.version(), two.version());
        assert_ne!(first.svid.unwrap().version(), second.svid.unwrap().version());
    }

    #[test]
    fn a_withdrawn_identity_leaves_the_roots_served() {
        let (writer, reader) = channel();
        let ca = TestCa::root("cluster.local");
        writer.publish(svid(&ca), ca.bundle());
        writer.withdraw();
        assert!(reader.current().svid.is_none());
        assert!(reader.current().bundle.is_some());
    }

    #[tokio::test]
    async fn roots_alone_are_news_only_when_they_are_others() {
        let (writer, mut reader) = channel();
        let (one, other) = (TestCa::root("cluster.local"), TestCa::root("cluster.local"));
        writer.publish(svid(&one), one.bundle());
        let before = reader.seen();
        assert!(!writer.publish_roots(one.bundle()));
        assert!(writer.publish_roots(other.bundle()));
        reader.changed().await.unwrap();
        let after = reader.seen();
        assert_eq!(before.svid.unwrap().version(), after.svid.unwrap().version());
        assert_ne!(before.bundle.unwrap().version(), after.bundle.unwrap().version());
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(Version::of([b"ab".as_slice(), b"c"]), Version::of([b"a".as_slice(), b"bc"]));
        assert_eq!(Version::of([b"ab".as_slice()]).as_str().len(), 2 * VERSION_BYTES);
    }

    #[tokio::test]
    async fn a_reader_sees_only_the_newest() {
        let (writer, mut reader) = channel();
        let ca = TestCa::root("cluster.local");
        writer.publish(svid(&ca), ca.bundle());
        writer.publish(svid(&ca), ca.bundle());
        reader.changed().await.unwrap();
        let newest = reader.seen().svid.unwrap();
        assert_eq!(newest.version(), reader.current().svid.unwrap().version());
        drop(writer);
        assert!(reader.changed().await.is_err());
    }
}
