//! `cargo xtask demo`: builds what the demo shows and becomes it.

use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

use crate::error::ChoreError;
use crate::python::ENVOY;
use crate::talk;
use crate::workspace::{Workspace, run_step};

/// What `cargo xtask demo` can be told.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Handed on to `signet demo`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    demo: Vec<String>,
}

/// The programs that the demo starts, each also the name of its package.
const PROGRAMS: [&str; 3] = ["signet", "signet-ca", "sds-agent"];

/// Does not return once the demo runs: it takes this process over, so its exit status and signals are its own.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode, ChoreError> {
    build_release(workspace, &PROGRAMS)?;
    let envoy = ENVOY.provide(workspace)?;
    let program = workspace.target().join("release/signet");
    let source = workspace.command(&program).arg("demo").args(&options.demo).env(ENVOY.variable, envoy).exec();
    let hint = "build it with `cargo build --release -p signet`".to_owned();
    Err(ChoreError::Start { program: program.display().to_string(), hint, source })
}

/// Builds the named packages' programs as they ship. Cargo's talk goes to stderr.
pub(crate) fn build_release(workspace: &Workspace, packages: &[&str]) -> Result<(), ChoreError> {
    talk::progress(&format!("building {}", packages.join(", ")));
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--release", "--bins"]);
    for package in packages {
        cargo.args(["-p", package]);
    }
    run_step("release build", &mut cargo)
}
