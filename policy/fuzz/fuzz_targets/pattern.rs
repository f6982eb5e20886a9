//! Patterns: no text makes a parser or a match panic, and what prints itself reads back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signet_policy::model::{
    Cidr, PathPattern, RequestPrincipal, ServiceAccountPattern, StringPattern, TrustDomainPattern, port,
};

fuzz_target!(|texts: (&str, &str)| {
    let (text, value) = texts;
    let pattern = StringPattern::parse(text);
    assert_eq!(pattern.to_string(), text);
    let _ = (pattern.matches_non_empty(value), pattern.matches_present(value), pattern.matches_any_case(value));
    if let Ok(block) = text.parse::<Cidr>() {
        assert_eq!(block.to_string().parse(), Ok(block));
        assert!(block.contains(block.address()));
    }
    if let Ok(pattern) = PathPattern::parse(text) {
        let _ = pattern.matches(value);
    }
    let _ = (RequestPrincipal::parse(text), ServiceAccountPattern::parse(text, value));
    let _ = (TrustDomainPattern::parse(text), port(text));
});
