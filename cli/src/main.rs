//! `signet`: the operator's program. Data goes to stdout, talk to stderr; the exit status is 0 for yes, 1 for no,
//! and 2 when the question could not be answered.

mod demo;
mod http;
mod output;
mod policy;
mod secrets;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tells what policies mean, looks into Signet's daemons, and shows what they do.
#[derive(Parser)]
#[command(name = "signet", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Policy(Box<policy::Args>),
    Secrets(secrets::Args),
    Demo(demo::Args),
}

/// What a command found out.
enum Answer {
    Yes,
    No,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let answer = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => match cli.command {
            Command::Secrets(args) => runtime.block_on(secrets::run(&args)).map_err(|e| output::chain(&e)),
            Command::Policy(args) => runtime.block_on(policy::run(&args)).map_err(|e| output::chain(&e)),
            Command::Demo(args) => runtime.block_on(demo::run(&args)).map_err(|e| output::chain(&e)),
        },
        Err(error) => Err(format!("cannot start: {error}")),
    };
    match answer {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Err(message) => {
            output::talk(&format!("error: {message}"));
            ExitCode::from(2)
        }
    }
}
