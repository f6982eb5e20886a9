//! Certificates in DER: whatever is accepted reads back as itself from its own bytes and from PEM.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signet_identity::Certificate;

fuzz_target!(|bytes: &[u8]| {
    let Ok(certificate) = Certificate::from_der(bytes) else { return };
    assert_eq!(certificate.der(), bytes);
    let again = Certificate::list_from_pem(certificate.to_pem().as_bytes(), 1 << 20).expect("its own PEM is readable");
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].der(), bytes);
    assert!(certificate.lifetime().not_before() <= certificate.lifetime().not_after());
});
