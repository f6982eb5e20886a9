//! Compiles the part of Envoy's API that the agent speaks into a description for gRPC server reflection.

use std::error::Error;
use std::path::PathBuf;

const SOURCE: &str = "proto/envoy/service/secret/v3/sds.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile([SOURCE], ["proto"])?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    std::fs::write(out.join("descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;
    Ok(())
}
