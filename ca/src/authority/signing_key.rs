//! What signs for a generation: a key in memory, or one that never leaves its token.

use signet_identity::{KeyError, PrivateKey, PublicKey, SignatureAlgorithm, Signer};

use super::signing::UnfitError;
use crate::token::{TokenError, TokenKey, TokenKeys};

/// Why nothing was signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The key in memory.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key in a token; another time it may sign.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// Where the key of a generation is.
pub(crate) enum Key {
    /// Here.
    Held(PrivateKey),
    /// In a token, where it is found by its certificate.
    InToken,
}

impl Key {
    /// The key itself, where it is here.
    pub(crate) fn held(&self) -> Option<&PrivateKey> {
        match self {
            Self::Held(key) => Some(key),
            Self::InToken => None,
        }
    }

    /// Whether it may be the key of `public`, which of one in a token only the token knows.
    pub(crate) fn may_belong_to(&self, public: &PublicKey) -> bool {
        self.held().is_none_or(|key| key.public() == public)
    }

    pub(super) fn try_clone(&self) -> Result<Self, KeyError> {
        match self {
            Self::Held(key) => PrivateKey::from_pkcs8(key.to_pkcs8()).map(Self::Held),
            Self::InToken => Ok(Self::InToken),
        }
    }
}

/// A key that can sign.
#[derive(Debug)]
pub(super) enum SigningKey {
    Held(Signer),
    InToken(TokenKey),
}

impl SigningKey {
    /// The key that belongs to `public`: `key`, or the one in a token. Waits for the token.
    pub(super) fn of(key: &Key, public: &PublicKey, tokens: Option<&TokenKeys>) -> Result<Self, UnfitError> {
        match key {
            Key::Held(key) if key.public() != public => Err(UnfitError::KeyMismatch),
            Key::Held(key) => Ok(Self::Held(key.signer()?)),
            Key::InToken => {
                let tokens = tokens.ok_or(UnfitError::NoToken)?;
                Ok(Self::InToken(tokens.find(public)?))
            }
        }
    }

    pub(super) fn algorithm(&self) -> SignatureAlgorithm {
        match self {
            Self::Held(signer) => signer.algorithm(),
            Self::InToken(key) => key.algorithm(),
        }
    }

    pub(super) async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match self {
            Self::Held(signer) => Ok(signer.sign(message)?),
            Self::InToken(key) => Ok(key.sign(message).await?),
        }
    }

    /// As [`SigningKey::sign`], for a thread that may wait.
    pub(super) fn sign_waiting(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match self {
            Self::Held(signer) => Ok(signer.sign(message)?),
            Self::InToken(key) => Ok(key.sign_waiting(message)?),
        }
    }
}
