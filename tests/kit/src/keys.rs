//! Keys that tests need and Signet never makes: RSA, of good and of bad sizes.

use std::sync::OnceLock;

use rsa::RsaPrivateKey;
use rsa::pkcs8::EncodePrivateKey;
use signet_identity::PrivateKey;

/// The PKCS#8 document of this process's RSA-2048 key. Made once, since that takes a second or two.
///
/// # Panics
/// When the key cannot be made.
pub fn rsa_2048_pkcs8() -> &'static [u8] {
    static KEY: OnceLock<Vec<u8>> = OnceLock::new();
    KEY.get_or_init(|| new_rsa_pkcs8(2048))
}

/// This process's RSA-2048 key.
///
/// # Panics
/// When the key cannot be made or Signet refuses it.
pub fn rsa_2048() -> PrivateKey {
    PrivateKey::from_pkcs8(rsa_2048_pkcs8().to_vec().into()).expect("an RSA-2048 key should be accepted")
}

/// The PKCS#8 document of a fresh RSA key of `bits` bits, which Signet may refuse. Above 2048 bits this takes seconds.
///
/// # Panics
/// When the key cannot be made.
pub fn new_rsa_pkcs8(bits: usize) -> Vec<u8> {
    let key = RsaPrivateKey::new(&mut rand::rngs::OsRng, bits).expect("an RSA key should be made");
    key.to_pkcs8_der().expect("an RSA key should encode").as_bytes().to_vec()
}
