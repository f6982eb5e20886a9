//! `cargo xtask fuzz`: the fuzz targets of all rooms, each for a bounded time, with the executions counted.
//!
//! The targets live in `<room>/fuzz`, outside the workspace: they need a C++ compiler and builds of everything below
//! them with coverage and address checks. Such builds ask the stable compiler for unstable switches, which it grants
//! when `RUSTC_BOOTSTRAP` is set.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{ChildStderr, ExitCode, Stdio};

use crate::error::ChoreError;
use crate::talk;
use crate::workspace::{Workspace, run_step};

/// The runner, installed under the target directory.
const CARGO_FUZZ_VERSION: &str = "0.13.2";

/// Lines of a failed target that are shown.
const FAILURE_LINES: usize = 60;

/// What `cargo xtask fuzz` can be told.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Targets to run; all of them when none is named.
    names: Vec<String>,
    /// How long each runs, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// List the targets and end.
    #[arg(long)]
    list: bool,
}

/// One fuzz target.
struct Target {
    /// The room whose `fuzz` folder holds it.
    room: &'static str,
    name: &'static str,
    /// Folder of inputs to begin with, beside those in `<room>/fuzz/seeds`.
    seeds: Option<&'static str>,
}

const fn target(room: &'static str, name: &'static str) -> Target {
    Target { room, name, seeds: None }
}

const TARGETS: &[Target] = &[
    target("identity", "certificate"),
    Target { room: "identity", name: "csr", seeds: Some("certs/fixtures/csr") },
    target("identity", "key"),
    target("identity", "key_set"),
    target("identity", "pem_bundle"),
    target("identity", "spiffe_bundle"),
    target("identity", "spiffe_id"),
    target("identity", "token"),
    target("ca", "config"),
    target("ca", "grpc_request"),
    target("ca", "ledger_segment"),
    target("sds-agent", "cgroup"),
    target("policy", "check"),
    target("policy", "manifest"),
    target("policy", "path"),
    target("policy", "pattern"),
];

/// Runs what was asked for, and prints a table, each row when its target ends.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode, ChoreError> {
    if options.list {
        TARGETS.iter().for_each(|target| talk::data(&format!("{:<10} {}", target.room, target.name)));
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = chosen(&options.names)?;
    let runner = install(workspace)?;
    let mut clean = true;
    talk::data(&format!("{:<10} {:<14} {:>14}  outcome", "room", "target", "executions"));
    for target in chosen {
        talk::progress(&format!("\n== {} in {}, {} s", target.name, target.room, options.seconds));
        let outcome = target.run(workspace, &runner, options.seconds)?;
        clean &= outcome.is_ok();
        // At once: what was counted is not lost when somebody stops the others.
        talk::data(&row(target, &outcome));
    }
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn chosen(names: &[String]) -> Result<Vec<&'static Target>, ChoreError> {
    let known = |name: &String| TARGETS.iter().find(|target| target.name == *name);
    if names.is_empty() {
        return Ok(TARGETS.iter().collect());
    }
    names.iter().map(|name| known(name).ok_or_else(|| ChoreError::UnknownTarget { name: name.clone() })).collect()
}

fn row(target: &Target, outcome: &Result<u64, String>) -> String {
    let (count, words) = match outcome {
        Ok(count) => (count.to_string(), "no failure"),
        Err(_) => ("-".to_owned(), "FAILED"),
    };
    format!("{:<10} {:<14} {count:>14}  {words}", target.room, target.name)
}

/// The runner's path, built first where it is missing.
fn install(workspace: &Workspace) -> Result<PathBuf, ChoreError> {
    let root = workspace.target().join("cargo-fuzz");
    let program = root.join("bin/cargo-fuzz");
    if !program.exists() {
        let mut cargo = workspace.cargo();
        cargo.args(["install", "cargo-fuzz", "--locked", "--version", CARGO_FUZZ_VERSION, "--root"]).arg(&root);
        run_step("install cargo-fuzz", &mut cargo)?;
    }
    Ok(program)
}

impl Target {
    /// The executions, or the last lines of a failure.
    fn run(&self, workspace: &Workspace, runner: &PathBuf, seconds: u32) -> Result<Result<u64, String>, ChoreError> {
        let fuzz = workspace.root().join(self.room).join("fuzz");
        let builds = workspace.target().join("fuzz");
        let corpus = builds.join("corpus").join(self.name);
        fs::create_dir_all(&corpus).map_err(ChoreError::file(&corpus))?;
        let mut command = workspace.command(runner);
        command.env("RUSTC_BOOTSTRAP", "1").args(["run", "--fuzz-dir"]).arg(&fuzz);
        command.arg("--target-dir").arg(&builds).arg(self.name).arg(&corpus);
        let own_seeds = fuzz.join("seeds").join(self.name);
        command.args(Some(own_seeds).filter(|seeds| seeds.is_dir()));
        command.args(self.seeds.map(|seeds| workspace.root().join(seeds)));
        command.arg("--").arg(format!("-max_total_time={seconds}")).args(["-print_final_stats=1", "-timeout=10"]);
        let program = runner.display().to_string();
        let hint = "remove its folder to have it installed again".to_owned();
        let started = command.stderr(Stdio::piped()).spawn();
        let mut child = started.map_err(|source| ChoreError::Start { program, hint, source })?;
        let lines = child.stderr.take().map(follow).unwrap_or_default();
        let status = child.wait().map_err(ChoreError::file(runner))?;
        Ok(outcome(status.success(), &lines))
    }
}

/// Every line of a run, told as it comes where it marks progress.
fn follow(stderr: ChildStderr) -> Vec<String> {
    let mut lines = Vec::new();
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if line.contains("pulse") || line.contains("Compiling") || line.contains("Finished") {
            talk::progress(&line);
        }
        lines.push(line);
    }
    lines
}

fn outcome(succeeded: bool, lines: &[String]) -> Result<u64, String> {
    let executions = lines.iter().rev().find_map(|line| {
        let count = line.strip_prefix("stat::number_of_executed_units:")?;
        count.trim().parse().ok()
    });
    match executions {
        Some(count) if succeeded => Ok(count),
        _ => {
            let told = lines.iter().skip(lines.len().saturating_sub(FAILURE_LINES)).cloned().collect::<Vec<_>>();
            let told = told.join("\n");
            talk::progress(&told);
            Err(told)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_target_of_every_room_is_run_and_none_that_is_not_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for room in ["identity", "ca", "policy"] {
            let folder = root.join(room).join("fuzz/fuzz_targets");
            let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
            let mut there: Vec<_> =
                files.map(|name| name.to_string_lossy().trim_end_matches(".rs").to_owned()).collect();
            there.sort();
            let known: Vec<_> = TARGETS.iter().filter(|target| target.room == room).map(|target| target.name).collect();
            assert_eq!(known, there, "in `{room}`");
        }
    }

    #[test]
    fn executions_count_only_when_the_run_ended_well() {
        let lines = ["#5 pulse".to_owned(), "stat::number_of_executed_units: 4711".to_owned()];
        assert_eq!(outcome(true, &lines), Ok(4711));
        assert!(outcome(false, &lines).is_err());
        assert!(outcome(true, &lines[..1]).is_err(), "a run that does not say how much it did has done nothing");
    }

    #[test]
    fn a_target_that_is_not_there_is_named() {
        let error = chosen(&["cellar".to_owned()]).err().unwrap();
        assert!(error.to_string().contains("`cellar`"), "{error}");
    }
}
