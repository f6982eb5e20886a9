//! Token keys as requests and documents see them: one immutable snapshot.

use signet_identity::{JwtKey, Signer, Timestamp};

/// The key that signs.
#[derive(Debug)]
pub(crate) struct SigningKey {
    /// What tokens call it.
    pub(crate) kid: String,
    pub(crate) signer: Signer,
    /// It stays published at least until then, so no token may end later.
    pub(crate) horizon: Timestamp,
}

/// All keys that are published, and the one of them that signs, if there is one yet.
#[derive(Debug, Default)]
pub(crate) struct KeyRing {
    pub(crate) signing: Option<SigningKey>,
    pub(crate) published: Vec<JwtKey>,
    /// Grows with each change of the published keys, alike in all replicas that share them.
    pub(crate) version: u64,
}
