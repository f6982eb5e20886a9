//! `cargo xtask bench NAME`: one benchmark, in a release build.

use std::process::ExitCode;

use clap::ValueEnum;

use crate::demo::build_release;
use crate::error::ChoreError;
use crate::workspace::{Workspace, run_step};

/// What `cargo xtask bench` can be told.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// What to measure.
    name: Bench,
    /// Also print one last line of JSON on stdout, with the same figures.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Bench {
    /// The authority: speed against the bare cryptography, a storm, memory, ledger, ways of proving tokens.
    Ca,
    /// Of these, issuing certificates against the bare cryptography it needs.
    Issue,
    /// The agent's start, and its memory with many streams.
    Agent,
    /// Decisions by the policy engine, beside looking at every rule; compiling.
    Policy,
}

impl Bench {
    /// The package that holds it, and its name there.
    fn target(self) -> (&'static str, &'static str) {
        match self {
            Self::Ca | Self::Issue => ("signet-ca", "ca"),
            Self::Agent => ("sds-agent", "agent"),
            Self::Policy => ("signet-policy", "decide"),
        }
    }

    /// The parts of it to measure; all if there are none.
    fn parts(self) -> &'static [&'static str] {
        match self {
            Self::Issue => &["pipeline", "grpc"],
            Self::Ca | Self::Agent | Self::Policy => &[],
        }
    }

    /// The programs that it starts, by package.
    fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Ca | Self::Issue | Self::Policy => &[],
            Self::Agent => &["signet-ca", "sds-agent"],
        }
    }
}

/// Builds what the benchmark starts, then runs it.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode, ChoreError> {
    if !options.name.programs().is_empty() {
        build_release(workspace, options.name.programs())?;
    }
    let (package, bench) = options.name.target();
    let mut cargo = workspace.cargo();
    cargo.args(["bench", "-p", package, "--bench", bench, "--"]).args(options.name.parts());
    if options.json {
        cargo.arg("--json");
    }
    run_step(&format!("bench {bench}"), &mut cargo)?;
    Ok(ExitCode::SUCCESS)
}
