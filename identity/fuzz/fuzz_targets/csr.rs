//! Certificate requests in DER and PEM: whatever is accepted has a key that can be read back on its own.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signet_identity::{PublicKey, VerifiedCsr};

fuzz_target!(|bytes: &[u8]| {
    for csr in [VerifiedCsr::from_der(bytes), VerifiedCsr::from_pem(bytes)].into_iter().flatten() {
        let key = csr.public_key();
        assert_eq!(PublicKey::from_spki_der(key.spki_der()).as_ref(), Ok(key));
    }
});
