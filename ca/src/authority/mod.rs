//! The signing key with its certificate, what stands above it, and the roots that callers are given.
//!
//! An [`Authority`] is one immutable snapshot: a request that holds it gets chain, roots and signature of one kind,
//! whatever is loaded meanwhile. Which generation signs and which roots are published is decided by `rotation`, kept by
//! a `store`, and put into effect by the keeper.

mod conductor;
mod import;
mod journal;
mod keeper;
mod material;
mod overview;
mod plugged_in;
mod remark;
pub mod rotation;
mod secret_store;
mod self_signed;
mod signing;
mod signing_key;
mod start;
mod state_dir;
mod store;
mod verbs;
mod wish;

pub(crate) use import::Reload;
pub use journal::JournalError;
pub use keeper::{Keeper, KeeperError};
pub(crate) use overview::Ending;
pub use overview::{BundleView, DirectoryView, GenerationView, Overview, RootView};
pub use plugged_in::PluggedInError;
pub use self_signed::RootKey;
pub use signing::{SignedLeaf, UnfitError};
pub use signing_key::SignError;
pub use store::StateError;
pub use wish::WishError;

pub use crate::token::TokenError;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use signet_identity::{
    Certificate, Lifetime, SignatureAlgorithm, SpiffeId, Timestamp, TrustBundle, TrustDomain, hex, pem,
};

use crate::profile::LeafTemplate;
use rotation::root_id;
use self_signed::OwnRoots;
use signing::Signing;

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Where generations are kept.
    #[error("kept authority cannot be used")]
    SelfSigned(#[from] StateError),
    /// The directory of a plugged-in authority.
    #[error("plugged-in authority cannot be used")]
    PluggedIn(#[from] PluggedInError),
}

impl AuthorityError {
    /// Whether it may be gone at the next attempt without anybody's doing.
    fn is_passing(&self) -> bool {
        match self {
            Self::SelfSigned(error) => error.is_passing(),
            Self::PluggedIn(error) => error.is_passing(),
        }
    }
}

/// The roots that callers are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The bundle's number, which grows with each change.
    pub generation: u64,
    /// The roots of every generation that is trusted.
    pub roots: TrustBundle,
    /// The same as PEM, exactly as they stand in answers.
    pub pem: String,
    /// Key ids of authorities whose certificates must be replaced now.
    pub tainted_key_ids: Vec<String>,
    /// Key ids of authorities whose certificates prove nothing any more, those that were revoked too.
    pub distrusted_key_ids: Vec<String>,
    /// Over how long such renewals should be spread.
    pub renewal_spread: Duration,
}

impl Published {
    /// The roots, each with its name: SHA-256 over the certificate in lower-case hexadecimal.
    pub fn roots_by_id(&self) -> impl Iterator<Item = (String, &Certificate)> {
        self.roots.roots().iter().map(|root| (root_id(root), root))
    }
}

/// Everything needed to sign a leaf and to answer its caller.
#[derive(Debug, Clone)]
pub struct Authority {
    generation: u64,
    signing: Arc<Signing>,
    published: Arc<Published>,
    usable: Lifetime,
    is_followed: bool,
}

impl Authority {
    /// Opens the self-signed authority in the state directory `dir`, or creates it there with a P-256 key when the
    /// directory is empty or missing. Nothing rotates: what was there signs, or is refused.
    ///
    /// # Errors
    /// Every variant of [`StateError`]; nothing that was there is changed then.
    pub fn self_signed(
        dir: &Path,
        trust_domain: &TrustDomain,
        root_ttl: Duration,
        now: Timestamp,
    ) -> Result<Self, AuthorityError> {
        let own_roots = OwnRoots { key: RootKey::P256, ttl: root_ttl };
        conductor::open_self_signed(dir, trust_domain, own_roots, now)
    }

    /// What `signing` signs as generation number `generation`, never beyond `horizon`.
    pub(crate) fn new(generation: u64, signing: Arc<Signing>, published: Arc<Published>, horizon: Timestamp) -> Self {
        let usable = signing.usable;
        let (first, last) = (usable.not_before(), usable.not_after().min(horizon));
        let cut = Lifetime::new(first, last.max(first)).unwrap_or(usable);
        Self { generation, signing, published, usable: cut, is_followed: false }
    }

    /// The same, known from another process that may have gone on meanwhile.
    pub(crate) fn followed(&self) -> Self {
        Self { is_followed: true, ..self.clone() }
    }

    /// The same, which signs nothing that lives beyond `end`.
    pub(crate) fn ending(&self, end: Timestamp) -> Self {
        let (signing, published) = (self.signing.clone(), self.published.clone());
        Self { is_followed: self.is_followed, ..Self::new(self.generation, signing, published, end) }
    }

    /// Whether it is known from another process that may have gone on meanwhile, and so must not be published as the
    /// latest that there is.
    pub(crate) fn is_followed(&self) -> bool {
        self.is_followed
    }

    /// The same with another bundle.
    #[cfg(test)]
    pub(crate) fn with_published(&self, published: Arc<Published>) -> Self {
        Self { published, ..self.clone() }
    }

    /// Signs a leaf.
    ///
    /// # Errors
    /// Every variant of [`SignError`].
    pub async fn sign(&self, template: &LeafTemplate) -> Result<SignedLeaf, SignError> {
        self.signing.sign(template).await
    }

    /// Signs `message` for nobody, if the key is in a token.
    #[cfg(feature = "pkcs11")]
    pub(crate) async fn try_token(&self, message: &[u8]) -> Result<(), SignError> {
        self.signing.try_token(message).await
    }

    /// The elements of an answer: the leaf, each certificate between, and all roots in one.
    pub fn chain_pem(&self, leaf: &SignedLeaf) -> Vec<String> {
        let between = &self.signing.middle_pem;
        let mut chain = Vec::with_capacity(between.len() + 2);
        chain.push(pem::encode("CERTIFICATE", &leaf.der));
        chain.extend_from_slice(between);
        chain.push(self.published.pem.clone());
        chain
    }

    /// When leaves signed here are trusted: the signing certificate's validity, cut to the path above it and to the
    /// horizon that was written down for this generation.
    pub fn usable(&self) -> Lifetime {
        self.usable
    }

    /// Whether verifiers would believe a leaf of `id`: no certificate between it and the roots names another trust domain
    /// (X509-SVID, 5.1). Roots that do are believed for what they sign all the same.
    pub fn may_sign_for(&self, id: &SpiffeId) -> bool {
        let between = self.signing.middle.iter().filter(|certificate| !certificate.is_self_issued());
        between
            .flat_map(Certificate::uris)
            .all(|uri| uri.parse::<SpiffeId>().is_ok_and(|named| named.trust_domain_name() == id.trust_domain_name()))
    }

    /// The number of the generation that signs.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The signing certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.signing.certificate
    }

    /// The signing certificate's subject key identifier in hexadecimal, which names this authority in records; empty
    /// when it has none.
    pub fn key_id(&self) -> String {
        self.signing.certificate.subject_key_id().map(hex).unwrap_or_default()
    }

    /// The certificates between leaf and roots in an answer; none for a self-signed root.
    pub fn middle(&self) -> &[Certificate] {
        &self.signing.middle
    }

    /// What is published.
    pub fn published(&self) -> &Arc<Published> {
        &self.published
    }

    /// The published roots, those of the generation that signs first.
    pub fn roots(&self) -> &TrustBundle {
        &self.published.roots
    }

    /// The roots as PEM, exactly as they stand in answers.
    pub fn roots_pem(&self) -> &str {
        &self.published.pem
    }

    /// The algorithm of its signatures.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.signing.algorithm()
    }
}
