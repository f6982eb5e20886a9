//! `cargo xtask test`: the steps that CI runs, in its order, stopping at the first that fails.

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use crate::error::ChoreError;
use crate::python::{ENVOY, TOOLS};
use crate::softhsm;
use crate::talk;
use crate::workspace::{Workspace, run_step};

/// What `cargo xtask test` can be told.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Leave out format, lints and docs.
    #[arg(long)]
    quick: bool,
    /// Handed on to `cargo test`: a part of test names, or its options.
    #[arg(last = true, value_name = "ARGS")]
    cargo_test: Vec<String>,
}

/// Runs every step and prints how long each took.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode, ChoreError> {
    let mut steps = Steps::default();
    if !options.quick {
        steps.cargo("format", workspace.cargo().args(["fmt", "--all", "--check"]))?;
        let lints = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
        steps.cargo("lints", workspace.cargo().args(lints))?;
        let lints = ["clippy", "-p", "signet-ca", "--features", "otlp,pkcs11", "--all-targets", "--", "-D", "warnings"];
        steps.cargo("lints of features", workspace.cargo().args(lints))?;
    }
    let (envoy, tools) =
        steps.step("Envoy and certificate tools", || Ok((ENVOY.provide(workspace)?, TOOLS.provide(workspace)?)))?;
    steps.cargo("build", workspace.cargo().args(["build", "--workspace", "--all-targets"]))?;
    let mut tests = workspace.cargo();
    tests.args(["test", "--workspace"]).args(&options.cargo_test);
    tests.env(ENVOY.variable, envoy).env(TOOLS.variable, tools);
    steps.cargo("tests", &mut tests)?;
    if !options.quick {
        features(workspace, &mut steps)?;
        let mut docs = workspace.cargo();
        docs.args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
        steps.cargo("docs", &mut docs)?;
    }
    talk::progress(&steps.summary());
    Ok(ExitCode::SUCCESS)
}

/// The tests of what is not compiled in by default.
fn features(workspace: &Workspace, steps: &mut Steps) -> Result<(), ChoreError> {
    let token = steps.step("SoftHSM", || softhsm::provide(workspace))?;
    let mut tests = workspace.cargo();
    tests.args(["test", "-p", "signet-ca", "--features", "otlp,pkcs11", "--lib", "--test", "room"]);
    tests.args(["--", "otlp", "pkcs11", "token::"]).env(softhsm::VARIABLE, token);
    steps.cargo("tests of features", &mut tests)
}

/// What was done, and how long it took.
#[derive(Default)]
struct Steps {
    done: Vec<(String, Duration)>,
}

impl Steps {
    fn cargo(&mut self, name: &str, command: &mut Command) -> Result<(), ChoreError> {
        self.step(name, || run_step(name, command))
    }

    fn step<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T, ChoreError>) -> Result<T, ChoreError> {
        talk::progress(&format!("\n== {name}"));
        let start = Instant::now();
        let result = work();
        let took = start.elapsed();
        let outcome = if result.is_ok() { "done" } else { "FAILED" };
        talk::progress(&format!("== {name}: {outcome} in {}", seconds(took)));
        self.done.push((name.to_owned(), took));
        result
    }

    fn summary(&self) -> String {
        let total = self.done.iter().map(|(_, took)| *took).sum();
        let mut table = "\n== all steps passed\n".to_owned();
        for (name, took) in &self.done {
            table.push_str(&row(name, *took));
        }
        table + &row("together", total)
    }
}

fn row(name: &str, took: Duration) -> String {
    format!("{name:30} {:>8}\n", seconds(took))
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f32())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Steps;

    #[test]
    fn the_summary_names_every_step_and_adds_up_their_times() {
        let build = ("build".to_owned(), Duration::from_millis(1500));
        let tests = ("tests".to_owned(), Duration::from_secs(2));

        let summary = Steps { done: vec![build, tests] }.summary();

        let lines: Vec<&str> = summary.lines().map(str::trim_end).collect();
        assert!(lines.iter().any(|line| line.starts_with("build") && line.ends_with("1.5 s")));
        assert!(lines.iter().any(|line| line.starts_with("together") && line.ends_with("3.5 s")));
    }
}
