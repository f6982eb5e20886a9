//! Trust bundles as PEM: whatever is accepted reads back from what it prints, with the same digest.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signet_identity::{TrustBundle, TrustDomain};

fuzz_target!(|bytes: &[u8]| {
    let domain: TrustDomain = "example.org".parse().expect("a name");
    let Ok(bundle) = TrustBundle::from_pem(domain.clone(), bytes) else { return };
    assert!(!bundle.roots().is_empty());
    let again = TrustBundle::from_pem(domain, bundle.to_pem().as_bytes()).expect("its own PEM is readable");
    assert_eq!(again.digest(), bundle.digest());
});
