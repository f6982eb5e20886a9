//! SPIFFE bundles: no text makes the reader panic, and whatever it takes reads back the same from its own document.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signet_identity::{SpiffeBundle, TrustDomain};

fuzz_target!(|bytes: &[u8]| {
    let Ok(domain) = "other.example".parse::<TrustDomain>() else { return };
    let Ok(bundle) = SpiffeBundle::from_json(domain.clone(), bytes) else { return };
    let again = SpiffeBundle::from_json(domain, bundle.to_json().to_string().as_bytes());
    assert_eq!(again, Ok(bundle));
});
