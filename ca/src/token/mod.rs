//! Keys that never leave a token: signed with through its PKCS#11 module.
//!
//! A module is C code of others that may be slow, hang, or lose its token. It is called on threads of its own, a few at
//! a time, and whoever waits for it does so for a bounded time. Every signature is verified before anybody sees it. What
//! is signed, and which generation has which key, is not known here.

mod error;
#[cfg(feature = "pkcs11")]
mod keys;
#[cfg(not(feature = "pkcs11"))]
#[path = "off.rs"]
mod keys;
#[cfg(feature = "pkcs11")]
mod pin;
#[cfg(feature = "pkcs11")]
mod pkcs11;
#[cfg(feature = "pkcs11")]
mod pool;
#[cfg(feature = "pkcs11")]
mod signature;
#[cfg(feature = "pkcs11")]
mod watch;

pub use error::TokenError;
pub(crate) use keys::{TokenKey, TokenKeys, TokenWatch};
