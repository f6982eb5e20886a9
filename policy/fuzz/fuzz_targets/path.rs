//! Paths: no mode makes anything panic, and no fragment is left in any.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signet_policy::model::Normalization;
use signet_policy::path::normalize;

fuzz_target!(|path: &str| {
    for mode in [Normalization::None, Normalization::Base, Normalization::MergeSlashes] {
        if let Ok(once) = normalize(path, mode) {
            assert!(!once.contains('#'));
        }
    }
    let _ = normalize(path, Normalization::DecodeAndMergeSlashes);
});
