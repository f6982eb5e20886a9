//! No tokens: the feature `pkcs11` is off, and settings that ask for one are refused.

use std::convert::Infallible;
use std::sync::Arc;

use prometheus_client::registry::Registry;
use signet_identity::{PublicKey, SignatureAlgorithm};
use signet_runtime::{Clock, Health, Shutdown};
use tokio::sync::watch;

use super::TokenError;
use crate::authority::Authority;
use crate::config::Pkcs11Config;

/// There are none.
#[derive(Debug, Clone)]
pub(crate) enum TokenKeys {}

/// There is none.
#[derive(Debug)]
pub(crate) enum TokenKey {}

/// There is nothing to watch.
pub(crate) enum TokenWatch {}

impl TokenKeys {
    pub(crate) fn open(_config: &Pkcs11Config, _clock: Clock) -> Option<Self> {
        None
    }

    pub(crate) fn find(&self, _public: &PublicKey) -> Result<TokenKey, TokenError> {
        match *self {}
    }

    pub(crate) fn register(&self, _registry: &mut Registry) {
        match *self {}
    }

    pub(crate) fn watch(&self, _authority: watch::Receiver<Arc<Authority>>, _health: &Health) -> Option<TokenWatch> {
        match *self {}
    }
}

impl TokenKey {
    pub(crate) fn algorithm(&self) -> SignatureAlgorithm {
        match *self {}
    }

    pub(crate) async fn sign(&self, _message: &[u8]) -> Result<Vec<u8>, TokenError> {
        match *self {}
    }

    pub(crate) fn sign_waiting(&self, _message: &[u8]) -> Result<Vec<u8>, TokenError> {
        match *self {}
    }
}

impl TokenWatch {
    pub(crate) async fn run(self, _shutdown: Shutdown) -> Result<(), Infallible> {
        match self {}
    }
}
