//! Key, chain and roots as files, for programs that do not speak SDS.
//!
//! A reader of secrets like any stream. A set is written whole or not at all, and what is there stays until its
//! successor is complete: an expired identity is not deleted, since a reader can tell by itself and an empty directory
//! would tell it less. What the directory looks like is `directory`'s business.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use signet_identity::{Svid, Timestamp, TrustBundle};
use signet_runtime::files::FileError;
use signet_runtime::tasks::chain;
use signet_runtime::{Backoff, Clock, HealthHandle, Shutdown};
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::sleep;
use zeroize::Zeroizing;

use crate::metrics::Metrics;
use crate::secrets::{SecretReader, Snapshot, Version, Versioned};

mod directory;

pub use directory::{CHAIN_FILE, DATA_LINK, KEY_FILE, ROOTS_FILE};

/// Wait after the first failed write; it doubles each time.
const RETRY_FIRST: Duration = Duration::from_secs(1);

/// Longest wait between two attempts to write.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Why a set was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file system refused; the set before is untouched.
    #[error("files could not be written")]
    File(#[from] FileError),
    /// The writing thread broke: a bug.
    #[error("writing was broken off")]
    Broken(#[from] JoinError),
}

/// Keeps the files in step with what is served.
#[derive(Debug)]
pub struct FileWriter {
    dir: PathBuf,
    secrets: SecretReader,
    clock: Clock,
    health: HealthHandle,
    metrics: Metrics,
    written: Option<(Version, Version)>,
    failures: u32,
}

impl FileWriter {
    /// A writer into `dir`, which is made if it is missing.
    pub fn new(dir: PathBuf, secrets: SecretReader, clock: Clock, health: HealthHandle, metrics: Metrics) -> Self {
        Self { dir, secrets, clock, health, metrics, written: None, failures: 0 }
    }

    /// Runs until shutdown.
    ///
    /// # Errors
    /// None: whatever fails is tried again.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), Infallible> {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX, 0.2);
        loop {
            let snapshot = self.secrets.seen();
            self.write(&snapshot).await;
            let retry = self.failures.checked_sub(1).map(|attempt| backoff.wait(attempt));
            tokio::select! {
                // News stay marked as not seen when another arm wins.
                changed = self.secrets.changed() => if changed.is_err() {
                    shutdown.begun().await;
                    return Ok(());
                },
                () = sleep(retry.unwrap_or_default()), if retry.is_some() => {}
                () = shutdown.begun() => return Ok(()),
            }
        }
    }

    async fn write(&mut self, snapshot: &Snapshot) {
        let (Some(svid), Some(bundle)) = (&snapshot.svid, &snapshot.bundle) else { return };
        let versions = (svid.version().clone(), bundle.version().clone());
        if self.written.as_ref() == Some(&versions) {
            return;
        }
        let result = self.publish(svid, bundle).await;
        self.metrics.files_written(result.is_ok());
        match result {
            Ok(()) => {
                self.written = Some(versions);
                self.health.ready();
                if std::mem::take(&mut self.failures) > 0 {
                    tracing::info!(dir = %self.dir.display(), "files are written again");
                }
            }
            Err(error) => self.failed(&error),
        }
    }

    async fn publish(&self, svid: &Versioned<Svid>, bundle: &Versioned<TrustBundle>) -> Result<(), WriteError> {
        let set = FileSet::new(svid.content(), bundle.content());
        let (dir, now) = (self.dir.clone(), Timestamp::from(self.clock.now()));
        // Waiting for a disk would hold up every stream.
        spawn_blocking(move || directory::publish(&dir, &set, now)).await??;
        Ok(())
    }

    fn failed(&mut self, error: &WriteError) {
        let error = chain(error);
        if self.written.is_none() {
            self.health.not_ready(error.clone());
        }
        if self.failures == 0 {
            tracing::error!(error, dir = %self.dir.display(), "files are out of date, trying again");
        } else {
            tracing::debug!(error, "files are still out of date");
        }
        self.failures = self.failures.saturating_add(1);
    }
}

/// What is written together. Wiped when dropped.
struct FileSet {
    key: Zeroizing<String>,
    chain: String,
    roots: String,
}

impl FileSet {
    fn new(svid: &Svid, bundle: &TrustBundle) -> Self {
        Self { key: svid.key().to_pem(), chain: svid.chain_pem(), roots: bundle.to_pem() }
    }

    fn files(&self) -> [(&'static str, &[u8]); 3] {
        [(KEY_FILE, self.key.as_bytes()), (CHAIN_FILE, self.chain.as_bytes()), (ROOTS_FILE, self.roots.as_bytes())]
    }
}
