//! Compiles the `.proto` files with a compiler written in Rust, so that no installed `protoc` is needed.

use std::error::Error;
use std::path::PathBuf;

/// Described apart: whoever serves this one serves none of the others.
const WORKLOAD_API: &str = "proto/spiffe/workload.proto";

const SOURCES: [&str; 2] = ["proto/istio/v1/auth/ca.proto", "proto/signet/ca/v1/ca.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    for (sources, file) in [(&SOURCES[..], "descriptors.bin"), (&[WORKLOAD_API], "workload_api.bin")] {
        let descriptors = protox::compile(sources, ["proto"])?;
        std::fs::write(out.join(file), prost::Message::encode_to_vec(&descriptors))?;
        tonic_prost_build::configure().compile_fds(descriptors)?;
    }
    Ok(())
}
