//! `signet demo`: the main job on real input, told as it happens.
//!
//! Real daemons and real Envoys run as processes; this module only stages them, tries things, and compares what
//! happened with what was expected.

mod admin;
mod bootstrap;
mod error;
mod issuer;
mod keep;
mod process;
mod programs;
mod report;
mod rotations;
mod stage;
mod story;
mod traffic;
mod trials;

use std::time::{Duration, Instant};

use crate::{Answer, output};
use error::DemoError;
use report::Report;
use stage::Stage;

/// How long the whole story may take once the programs are found.
const STORY_MAX: Duration = Duration::from_secs(90);

/// Watch two real Envoys talk mutual TLS with identities that Signet issues, rotates, and refuses.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  signet demo
  signet demo --json | tail -n 1
  signet demo --keep

Needs `signet-ca` and `sds-agent` beside this program, and Envoy at $SIGNET_ENVOY or on the PATH.
Exit status: 0 when everything went as expected, 1 when something did not, 2 when it could not be tried.")]
pub(crate) struct Args {
    /// Print one last line of JSON with what was seen.
    #[arg(long)]
    json: bool,

    /// Leave everything running at the end, and print commands to look around with.
    #[arg(long)]
    keep: bool,
}

/// Runs the command.
pub(crate) async fn run(args: &Args) -> Result<Answer, DemoError> {
    let programs = programs::Programs::find().await?;
    let mut report = Report::begin(&programs.envoy_version);
    let started = Instant::now();
    let mut stage = Stage::build(programs)?;
    let told = tokio::time::timeout(STORY_MAX, story::tell(&mut stage, &mut report)).await;
    match told {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            stage.keep_files();
            return Err(error);
        }
        Err(_) => {
            stage.keep_files();
            return Err(DemoError::TooLong { seconds: STORY_MAX.as_secs(), logs: stage.root().to_owned() });
        }
    }
    let ok = report.end(started.elapsed());
    if !ok {
        output::talk(&format!("logs and configuration of all processes: {}", stage.root().display()));
        stage.keep_files();
    }
    if args.json {
        output::data(&report.json());
    }
    if args.keep {
        keep::show(&stage);
        keep::wait().await?;
    }
    stage.stop().await;
    Ok(if ok { Answer::Yes } else { Answer::No })
}
