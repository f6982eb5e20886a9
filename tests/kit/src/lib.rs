//! What tests of several rooms share: issuers of Kubernetes-style tokens, certificate authorities and directories
//! made on the spot, and the hostile variants of all three.
//!
//! Certificates come from an encoder that Signet does not ship (`rcgen`) and RSA keys from a library that it does not
//! ship (`rsa`), so a test that uses them does not hold Signet against itself. Everything here panics when it cannot
//! do its work: that is a failed test, not a case to handle. No key outlives the process that made it.

pub mod ca;
pub mod keys;
pub mod knobs;
pub mod layout;
pub mod token;

use std::path::{Path, PathBuf};

pub use ca::{IssuedLeaf, LeafBuilder, TestCa};
pub use layout::istio_layout;
pub use tempfile::TempDir;
pub use token::TokenIssuer;

/// The folder of policies with expected results: below `SIGNET_FIXTURES`, or where it stands beside the project. `None`
/// where it is not given and not there: whoever leaves cases out then says so.
pub fn policy_fixtures() -> Option<PathBuf> {
    match std::env::var_os("SIGNET_FIXTURES") {
        Some(folder) => Some(PathBuf::from(folder).join("policy")),
        None => {
            let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/policy");
            beside.is_dir().then_some(beside)
        }
    }
}

/// A directory of its own for one test, removed when dropped.
///
/// # Panics
/// When the system's temporary directory is not writable.
pub fn temp_dir() -> TempDir {
    tempfile::Builder::new().prefix("signet-test-").tempdir().expect("the temporary directory should be writable")
}

/// The same, kept in memory where the machine has a place for that: for tests that make files durable thousands of
/// times, and simulate what is lost.
///
/// # Panics
/// As [`temp_dir`].
pub fn memory_dir() -> TempDir {
    let in_memory = tempfile::Builder::new().prefix("signet-test-").tempdir_in("/dev/shm");
    in_memory.unwrap_or_else(|_| temp_dir())
}
