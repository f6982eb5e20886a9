//! The check of manifests: no text makes it panic, and whatever it tells can be shown with its snippet.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signet_policy::{ReadOptions, Sources, check};

fuzz_target!(|texts: (&str, &str)| {
    let mut sources = Sources::new();
    sources.add("a", texts.0);
    sources.add("b", texts.1);
    for problem in check(&sources, &ReadOptions::default()).problems {
        assert!(problem.render(&sources).contains(problem.code.as_str()));
    }
});
