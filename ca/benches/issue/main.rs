//! How close issuing comes to the bare cryptography it cannot do without: one RSA-2048 verification for the token, one
//! P-256 verification for the request, one P-256 signature for the leaf.
//!
//! Two tables: the pipeline in this process, and the whole server over TLS on loopback with one core to itself. Both
//! are held against the same floor, measured in the same run and interleaved, since figures of different minutes on a
//! shared machine cannot be compared. With `--json` the last line on standard output is the same in JSON.

mod floor;
mod material;
mod over_grpc;
mod pipeline;
mod stats;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use material::Material;
use serde_json::json;
use stats::{Spread, micros};

/// Shares of the floor that we hold ourselves to.
const PIPELINE_GOAL: f64 = 0.85;
const GRPC_GOAL: f64 = 0.60;

fn main() -> ExitCode {
    match run(std::env::args().any(|word| word == "--json")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With standard error gone there is nobody left to tell.
            let _ = writeln!(io::stderr(), "issue: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(as_json: bool) -> Result<(), Box<dyn Error>> {
    let material = Material::new()?;
    let pipeline = pipeline::measure(&material)?;
    let grpc = over_grpc::measure(&material)?;

    let mut out = io::stdout().lock();
    let kept = |count: usize, what: &str, is_calm: bool| {
        let which = if is_calm { "calm" } else { "disturbed" };
        format!("processor time, medians of {count} {which} {what}")
    };
    let rounds = kept(pipeline.rounds, "rounds", pipeline.is_calm);
    writeln!(out, "\nbare cryptography that a certificate needs (ring, one core); {rounds}")?;
    row(&mut out, "RSA-2048 verify (token)", &pipeline.floor.rsa_verify)?;
    row(&mut out, "P-256 verify (request)", &pipeline.floor.p256_verify)?;
    row(&mut out, "P-256 sign (leaf)", &pipeline.floor.p256_sign)?;
    row(&mut out, "sum: the floor", &pipeline.floor.sum)?;
    writeln!(out, "\nissuing in this process, one core")?;
    row(&mut out, "token, request, leaf, chain", &pipeline.certificate)?;
    share(&mut out, &pipeline.share, PIPELINE_GOAL)?;
    writeln!(
        out,
        "\nissuing over gRPC with TLS on loopback, {} in flight on {} connections, server on one core, logging each;\n{}",
        over_grpc::IN_FLIGHT,
        over_grpc::CONNECTIONS,
        kept(grpc.runs, "runs", grpc.is_calm)
    )?;
    writeln!(
        out,
        "  certificates a second        {:>10.0}   ({:.0} to {:.0})",
        grpc.rate.median, grpc.rate.min, grpc.rate.max
    )?;
    row(&mut out, "latency, median", &grpc.p50)?;
    row(&mut out, "latency, 99 of 100", &grpc.p99)?;
    row(&mut out, "server's processor time each", &grpc.server_cpu)?;
    share(&mut out, &grpc.share, GRPC_GOAL)?;
    let (median, min, max) = percents(&grpc.share_by_clock);
    writeln!(
        out,
        "  the same by the clock        {median:>10.1} %   ({min:.1} to {max:.1}), lower where the core was shared"
    )?;
    writeln!(out)?;
    if as_json {
        let line = json!({
            "bench": "issue",
            "floor_us": micros(pipeline.floor.sum.median),
            "rsa_verify_us": micros(pipeline.floor.rsa_verify.median),
            "p256_verify_us": micros(pipeline.floor.p256_verify.median),
            "p256_sign_us": micros(pipeline.floor.p256_sign.median),
            "pipeline_us": micros(pipeline.certificate.median),
            "pipeline_per_second": 1.0 / pipeline.certificate.median,
            "pipeline_share": pipeline.share.median,
            "pipeline_goal": PIPELINE_GOAL,
            "grpc_in_flight": over_grpc::IN_FLIGHT,
            "grpc_per_second": grpc.rate.median,
            "grpc_p50_us": micros(grpc.p50.median),
            "grpc_p99_us": micros(grpc.p99.median),
            "grpc_server_cpu_us": micros(grpc.server_cpu.median),
            "grpc_share": grpc.share.median,
            "pipeline_calm": pipeline.is_calm,
            "grpc_calm": grpc.is_calm,
            "grpc_share_by_clock": grpc.share_by_clock.median,
            "grpc_goal": GRPC_GOAL,
            "ok": pipeline.share.median >= PIPELINE_GOAL && grpc.share.median >= GRPC_GOAL,
        });
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn row(out: &mut impl Write, what: &str, secs: &Spread) -> io::Result<()> {
    let (median, min, max) = (micros(secs.median), micros(secs.min), micros(secs.max));
    writeln!(out, "  {what:<28} {median:>10.1} µs  ({min:.1} to {max:.1})")
}

fn share(out: &mut impl Write, share: &Spread, goal: f64) -> io::Result<()> {
    let verdict = if share.median >= goal { "reached" } else { "MISSED" };
    let ((median, min, max), goal) = (percents(share), 100.0 * goal);
    writeln!(
        out,
        "  share of the floor           {median:>10.1} %   ({min:.1} to {max:.1}), goal {goal:.0} %: {verdict}"
    )
}

fn percents(share: &Spread) -> (f64, f64, f64) {
    (100.0 * share.median, 100.0 * share.min, 100.0 * share.max)
}
