//! SPIFFE ids: parsing and printing are each other's inverse, and an id is a member of its own trust domain alone.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signet_identity::{SpiffeId, TrustDomain};

fuzz_target!(|text: &str| {
    if let Ok(domain) = text.parse::<TrustDomain>() {
        assert_eq!(domain.as_str(), text);
    }
    let Ok(id) = text.parse::<SpiffeId>() else { return };
    assert_eq!(id.to_string(), text);
    assert!(text.len() <= 2048 && !text.ends_with('/'));
    assert!(id.is_member_of(&id.trust_domain()));
    let other: TrustDomain = format!("x{}", id.trust_domain_name()).parse().unwrap_or_else(|_| id.trust_domain());
    assert_eq!(id.is_member_of(&other), other == id.trust_domain());
});
