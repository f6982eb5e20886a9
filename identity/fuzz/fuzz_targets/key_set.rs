//! Key sets (JWKS): no text makes the reader panic, and its count is the number of keys it knows.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signet_identity::JwkSet;

fuzz_target!(|bytes: &[u8]| {
    let Ok(keys) = JwkSet::from_json(bytes) else { return };
    assert_eq!(keys.is_empty(), keys.len() == 0);
    let _ = keys.knows("a");
});
