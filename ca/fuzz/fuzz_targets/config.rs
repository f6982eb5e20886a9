//! Settings files: no text makes the reader panic, and whatever is refused is refused with at least one problem.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use signet_ca::config::CaConfig;
use signet_runtime::Layers;

fuzz_target!(|text: &str| {
    let path = std::env::temp_dir().join(format!("signet-ca-fuzz-{}.toml", std::process::id()));
    fs::write(&path, text).expect("a writable folder");
    let mut layers = Layers::new();
    layers.file(&path);
    if let Err(error) = CaConfig::read(layers) {
        assert!(!error.problems.is_empty());
        let _ = error.to_string();
    }
});
