//! The table for people, and its last line for machines.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use crate::grpc::{Load, Measured as Grpc};
use crate::stats::{Spread, micros};
use crate::{ledger, pipeline, proof, storm};

/// Shares of the floor that we hold ourselves to.
const PIPELINE_GOAL: f64 = 0.85;
const GRPC_GOAL: f64 = 0.65;

/// Bounds of a storm.
const PEAK_MEMORY_GOAL_MIB: f64 = 128.0;
const HEALTH_P99_GOAL_MS: f64 = 50.0;

const IDLE_MEMORY_GOAL_MIB: f64 = 20.0;

const MIB: f64 = 1024.0 * 1024.0;
const MILLIS: f64 = 1e3;

/// Collects figures while it prints them.
#[derive(Default)]
pub(crate) struct Report {
    figures: Map<String, Value>,
    missed: Vec<String>,
}

impl Report {
    pub(crate) fn pipeline(&mut self, of: &pipeline::Measured) -> io::Result<()> {
        let kept = kept(of.rounds, "rounds", of.is_calm);
        title(&format!("bare cryptography that a certificate needs (ring, one core); {kept}"))?;
        row("RSA-2048 verify (token)", &of.floor.rsa_verify)?;
        row("P-256 verify (request)", &of.floor.p256_verify)?;
        row("P-256 sign (leaf)", &of.floor.p256_sign)?;
        row("sum: the floor", &of.floor.sum)?;
        title("issuing in one process, one core: token, request, leaf, chain")?;
        row("processor time each", &of.certificate)?;
        let is_reached = self.share("pipeline", &of.share, PIPELINE_GOAL)?;
        self.put(
            "pipeline",
            json!({
                "floor_us": micros(of.floor.sum.median),
                "rsa_verify_us": micros(of.floor.rsa_verify.median),
                "p256_verify_us": micros(of.floor.p256_verify.median),
                "p256_sign_us": micros(of.floor.p256_sign.median),
                "certificate_us": micros(of.certificate.median),
                "per_second": 1.0 / of.certificate.median,
                "share": of.share.median,
                "goal": PIPELINE_GOAL,
                "calm": of.is_calm,
                "ok": is_reached,
            }),
        );
        Ok(())
    }

    pub(crate) fn grpc(&mut self, load: Load, of: &Grpc) -> io::Result<()> {
        let Load { in_flight, connections } = load;
        let kept = kept(of.runs, "runs", of.is_calm);
        title(&format!(
            "issuing over gRPC with TLS, {in_flight} in flight on {connections} connections, one core, ledger durable; {kept}"
        ))?;
        of_grpc(of)?;
        let is_reached = self.share(&format!("grpc {in_flight}"), &of.share, GRPC_GOAL)?;
        self.put(&format!("grpc_{in_flight}"), figures(of, is_reached));
        Ok(())
    }

    pub(crate) fn storm(&mut self, of: &storm::Measured) -> io::Result<()> {
        let (agents, secs) = (storm::AGENTS, storm::SPAN.as_secs());
        let bad = agents * storm::BAD_PER_AGENT;
        title(&format!(
            "a storm: {agents} agents in {secs} s, each on a new connection, and {bad} bad tokens; two cores"
        ))?;
        plain("certificates issued", &format!("{} in {:.1} s", of.issued, of.secs))?;
        plain("attempts that had to be repeated", &of.tried_again.to_string())?;
        plain("bad tokens, and those not looked at", &format!("{}, {}", of.bad, of.bad_unseen))?;
        plain(
            "from first packet to certificate",
            &format!("p50 {:.1} ms, p99 {:.1} ms", of.p50 * MILLIS, of.p99 * MILLIS),
        )?;
        plain("processor time of the server", &format!("{:.1} s", of.server_cpu))?;
        let all = self.bound("storm: certificates", of.issued as f64, agents as f64, true, "")?;
        let peak = of.peak_memory as f64 / MIB;
        let memory = self.bound("storm: peak memory", peak, PEAK_MEMORY_GOAL_MIB, false, "MiB")?;
        let p99 = of.health_p99 * MILLIS;
        let health = self.bound("storm: health, 99 of 100", p99, HEALTH_P99_GOAL_MS, false, "ms")?;
        let failed = self.bound("storm: health not answered", of.health_failed as f64, 0.0, false, "")?;
        self.put(
            "storm",
            json!({
                "agents": agents, "issued": of.issued, "tried_again": of.tried_again, "secs": of.secs,
                "bad_tokens": of.bad, "bad_tokens_unseen": of.bad_unseen,
                "p50_ms": of.p50 * MILLIS, "p99_ms": of.p99 * MILLIS,
                "health_p99_ms": p99, "health_max_ms": of.health_max * MILLIS, "health_failed": of.health_failed,
                "peak_memory_mib": peak, "server_cpu_secs": of.server_cpu,
                "ok": all && memory && health && failed,
            }),
        );
        Ok(())
    }

    pub(crate) fn idle(&mut self, bytes: u64) -> io::Result<()> {
        title("a server that nobody asks for anything")?;
        let memory = bytes as f64 / MIB;
        let is_kept = self.bound("idle: memory", memory, IDLE_MEMORY_GOAL_MIB, false, "MiB")?;
        self.put("idle", json!({ "memory_mib": memory, "goal_mib": IDLE_MEMORY_GOAL_MIB, "ok": is_kept }));
        Ok(())
    }

    pub(crate) fn ledger(&mut self, of: &ledger::Measured) -> io::Result<()> {
        title(&format!(
            "the ledger alone, {} records waiting together, each on the disk before it counts",
            ledger::TOGETHER
        ))?;
        let (verified, mib) = (of.records as f64 / of.verify_secs, of.bytes as f64 / MIB);
        plain("records appended a second", &format!("{:.0}", of.appended_per_second))?;
        plain("records verified a second", &format!("{verified:.0} ({:.0} MiB/s)", mib / of.verify_secs))?;
        self.put(
            "ledger",
            json!({
                "appended_per_second": of.appended_per_second, "records": of.records, "mib": mib,
                "verified_per_second": verified, "verify_secs": of.verify_secs,
            }),
        );
        Ok(())
    }

    pub(crate) fn proof(&mut self, [local, review]: &[Grpc; 2]) -> io::Result<()> {
        let millis = proof::REVIEW.as_millis();
        for (what, of) in [("proved locally", local), ("reviewed by an API server", review)] {
            title(&format!(
                "tokens {what}, {} in flight; the stand-in takes {millis} ms for a review",
                proof::LOAD.in_flight
            ))?;
            of_grpc(of)?;
        }
        let times = local.rate.median / review.rate.median;
        plain("local proof is faster by", &format!("x{times:.1}"))?;
        self.put(
            "proof",
            json!({
                "review_ms": u64::try_from(millis).unwrap_or(u64::MAX),
                "local": figures(local, true), "review": figures(review, true), "local_over_review": times,
            }),
        );
        Ok(())
    }

    /// What was missed, and the line for machines.
    pub(crate) fn end(self, as_json: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match self.missed.as_slice() {
            [] => writeln!(out, "\nevery bound was kept\n")?,
            missed => writeln!(out, "\nMISSED: {}\n", missed.join(", "))?,
        }
        if as_json {
            let mut line = Map::new();
            line.insert("bench".to_owned(), "ca".into());
            line.extend(self.figures);
            line.insert("ok".to_owned(), self.missed.is_empty().into());
            writeln!(out, "{}", Value::Object(line))?;
        }
        Ok(())
    }

    fn put(&mut self, key: &str, figures: Value) {
        self.figures.insert(key.to_owned(), figures);
    }

    fn judge(&mut self, what: &str, is_kept: bool) -> &'static str {
        if !is_kept {
            self.missed.push(what.to_owned());
        }
        if is_kept { "reached" } else { "MISSED" }
    }

    fn share(&mut self, what: &str, share: &Spread, goal: f64) -> io::Result<bool> {
        let is_reached = share.median >= goal;
        let verdict = self.judge(what, is_reached);
        let [median, min, max, goal] = [share.median, share.min, share.max, goal].map(|share| 100.0 * share);
        let label = "share of the floor";
        let line = format!("{median:>10.1} %   ({min:.1} to {max:.1}), goal {goal:.0} %: {verdict}");
        writeln!(io::stdout(), "  {label:<36} {line}")?;
        Ok(is_reached)
    }

    fn bound(&mut self, what: &str, value: f64, goal: f64, is_least: bool, unit: &str) -> io::Result<bool> {
        let is_kept = if is_least { value >= goal } else { value <= goal };
        let (verdict, relation) = (self.judge(what, is_kept), if is_least { "at least" } else { "at most" });
        let line = format!("{value:>10.1} {unit}, {relation} {goal:.0}: {verdict}");
        writeln!(io::stdout(), "  {what:<36} {line}")?;
        Ok(is_kept)
    }
}

fn of_grpc(of: &Grpc) -> io::Result<()> {
    let Spread { median, min, max } = of.rate;
    plain("certificates a second", &format!("{median:.0}   ({min:.0} to {max:.0})"))?;
    row("latency, median", &of.p50)?;
    row("latency, 99 of 100", &of.p99)?;
    row("server's processor time each", &of.server_cpu)
}

fn figures(of: &Grpc, is_reached: bool) -> Value {
    json!({
        "per_second": of.rate.median, "p50_us": micros(of.p50.median), "p99_us": micros(of.p99.median),
        "server_cpu_us": micros(of.server_cpu.median), "per_second_per_core": 1.0 / of.server_cpu.median,
        "share": of.share.median, "goal": GRPC_GOAL, "calm": of.is_calm, "ok": is_reached,
    })
}

fn kept(count: usize, what: &str, is_calm: bool) -> String {
    let which = if is_calm { "calm" } else { "disturbed" };
    format!("medians of {count} {which} {what}")
}

fn title(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "\n{text}")
}

fn plain(what: &str, value: &str) -> io::Result<()> {
    writeln!(io::stdout(), "  {what:<36} {value:>10}")
}

fn row(what: &str, secs: &Spread) -> io::Result<()> {
    let [median, min, max] = [secs.median, secs.min, secs.max].map(micros);
    plain(what, &format!("{median:>10.1} µs  ({min:.1} to {max:.1})"))
}
