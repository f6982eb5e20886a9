//! The project's own chores, as `cargo xtask CHORE`.
//!
//! This file knows the command line and nothing else; each chore has a module. Chores run `cargo`, `python3` and what
//! they built, and never import a Signet crate: they must work on a checkout that does not compile yet.

mod bench;
mod demo;
mod error;
mod fuzz;
mod python;
mod softhsm;
mod talk;
mod test;
mod workspace;

use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::error::ChoreError;
use crate::workspace::Workspace;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "The project's own chores.",
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Everything needed to trust a change: format, lints, build, tests with a real Envoy, docs.
    #[command(after_help = "Examples:\n  \
        cargo xtask test                          what CI runs\n  \
        cargo xtask test --quick                  build and tests only\n  \
        cargo xtask test --quick -- expired       only tests with `expired` in their name\n  \
        cargo xtask test --quick -- --test tidy   only the rules of the house")]
    Test(test::Options),
    /// Watch real Envoys talk mutual TLS with identities from Signet, through rotations and crashes.
    #[command(after_help = "Examples:\n  \
        cargo xtask demo            a table for people\n  \
        cargo xtask demo --json     one last line of JSON on stdout\n  \
        cargo xtask demo --keep     leave it running and print how to look around\n  \
        cargo xtask demo -- --help  the demo's own options")]
    Demo(demo::Options),
    /// Measure, in a release build, and print ratios.
    #[command(
        after_help = "Examples:\n  cargo xtask bench ca\n  cargo xtask bench issue\n  cargo xtask bench agent --json"
    )]
    Bench(bench::Options),
    /// Feed every parser with hostile inputs, for a bounded time each, and count them.
    #[command(after_help = "Needs a C++ compiler. What was found interesting is kept under the target directory.\n\n\
        Examples:\n  cargo xtask fuzz                      every target for a minute\n  \
        cargo xtask fuzz csr --seconds 600    one of them for ten\n  cargo xtask fuzz --list")]
    Fuzz(fuzz::Options),
    /// Install the pinned Envoy under the target directory.
    #[command(after_help = "SIGNET_ENVOY=PATH names an Envoy of your own; nothing is installed then.\n\n\
        Examples:\n  cargo xtask envoy\n  SIGNET_ENVOY=$(cargo xtask envoy --print-path) cargo test -p signet-tests")]
    Envoy(ProvisionOptions),
    /// Install the Python tools with which tests check certificates under the target directory.
    #[command(after_help = "SIGNET_TOOLS_PYTHON=PATH names a Python of your own that has xtask/python/tools.txt.\n\n\
        Example:\n  cargo xtask tools")]
    Tools(ProvisionOptions),
    /// Unpack SoftHSM, a PKCS#11 token in software, under the target directory.
    #[command(
        after_help = "SIGNET_SOFTHSM=ROOT names the root below which it is installed; nothing is unpacked then.\n\n\
        Example:\n  cargo xtask softhsm && cargo test -p signet-ca --features pkcs11 pkcs11"
    )]
    Softhsm(ProvisionOptions),
}

#[derive(Args)]
struct ProvisionOptions {
    /// Print the path of the program on stdout.
    #[arg(long)]
    print_path: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli.chore) {
        Ok(code) => code,
        Err(error) => {
            talk::error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(chore: &Chore) -> Result<ExitCode, ChoreError> {
    let workspace = Workspace::locate()?;
    match chore {
        Chore::Test(options) => test::run(&workspace, options),
        Chore::Demo(options) => demo::run(&workspace, options),
        Chore::Bench(options) => bench::run(&workspace, options),
        Chore::Fuzz(options) => fuzz::run(&workspace, options),
        Chore::Envoy(options) => provided(python::ENVOY.title, &python::ENVOY.provide(&workspace)?, options),
        Chore::Tools(options) => provided(python::TOOLS.title, &python::TOOLS.provide(&workspace)?, options),
        Chore::Softhsm(options) => provided("SoftHSM", &softhsm::provide(&workspace)?, options),
    }
}

fn provided(title: &str, place: &Path, options: &ProvisionOptions) -> Result<ExitCode, ChoreError> {
    if options.print_path {
        talk::data(&place.display().to_string());
    } else {
        talk::progress(&format!("{title} ready: {}", place.display()));
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
