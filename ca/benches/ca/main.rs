//! How fast the authority is, and what it bears: one table, each figure against the bound that we hold ourselves to.
//!
//! Speed is told as a share of the bare cryptography that no issuer can do without (one RSA-2048 verification for the
//! token, one P-256 verification for the request, one P-256 signature for the leaf), measured in the same run and
//! interleaved, since figures of different minutes on a shared machine cannot be compared. Words name the parts to
//! measure (all without one). With `--json` the last line on standard output is the same in JSON.

mod floor;
mod grpc;
mod idle;
mod ledger;
mod material;
mod pipeline;
mod process;
mod proof;
mod report;
mod stats;
mod storm;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use grpc::Load;
use material::Material;
use report::Report;

const PARTS: [&str; 6] = ["pipeline", "grpc", "storm", "idle", "ledger", "proof"];

/// Loads over gRPC, each with a server of its own.
const LOADS: [Load; 2] = [Load { in_flight: 64, connections: 8 }, Load { in_flight: 1024, connections: 16 }];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let parts: Vec<&str> = words.iter().map(String::as_str).filter(|word| !word.starts_with("--")).collect();
    if let Some(unknown) = parts.iter().find(|part| !PARTS.contains(part)) {
        return complain(&format!("`{unknown}` is no part, there are {}", PARTS.join(", ")));
    }
    let as_json = words.iter().any(|word| word == "--json");
    match run(if parts.is_empty() { &PARTS } else { &parts }, as_json) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error.to_string()),
    }
}

fn complain(message: &str) -> ExitCode {
    // With standard error gone there is nobody left to tell.
    let _ = writeln!(io::stderr(), "ca: {message}");
    ExitCode::FAILURE
}

fn run(parts: &[&str], as_json: bool) -> Result<(), Box<dyn Error>> {
    let material = Material::new()?;
    let mut report = Report::default();
    if parts.contains(&"pipeline") {
        report.pipeline(&pipeline::measure(&material)?)?;
    }
    if parts.contains(&"grpc") {
        for load in LOADS {
            let server = grpc::serve(&material, &format!("grpc-{}", load.in_flight), &[])?;
            report.grpc(load, &grpc::measure(&material, &server, &grpc::requests(&material), load)?)?;
        }
    }
    if parts.contains(&"storm") {
        stats::any_core()?;
        let agents = material.agents(storm::AGENTS)?;
        report.storm(&storm::measure(&material, agents)?)?;
    }
    if parts.contains(&"idle") {
        report.idle(idle::measure(&material)?)?;
    }
    if parts.contains(&"ledger") {
        stats::any_core()?;
        report.ledger(&ledger::measure(&material)?)?;
    }
    if parts.contains(&"proof") {
        report.proof(&proof::measure(&material)?)?;
    }
    report.end(as_json)?;
    Ok(())
}
