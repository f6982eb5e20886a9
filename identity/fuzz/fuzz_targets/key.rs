//! Private keys as PEM: whatever is accepted can sign, and what it signs verifies by its public half.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signet_identity::PrivateKey;

fuzz_target!(|bytes: &[u8]| {
    let Ok(key) = PrivateKey::from_pem(bytes) else { return };
    let Ok(signer) = key.signer() else { return };
    let signature = signer.sign(b"message").expect("an accepted key signs");
    assert!(key.public().verify(signer.algorithm(), b"message", &signature));
});
