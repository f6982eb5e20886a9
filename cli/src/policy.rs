//! `signet policy`: what Istio's security policies mean. Reads files; what they mean is the policy room's business.

mod ask;
mod cases;
mod check;
mod decide;
mod explain;
mod files;
mod given;
mod inspect;
mod question;
mod render;

use clap::Subcommand;

use crate::Answer;

/// Checks Istio's security policies, and tells what they mean.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Check(check::Args),
    Decide(decide::Args),
    Explain(explain::Args),
    Inspect(inspect::Args),
    Render(render::Args),
    Test(cases::Args),
}

/// Why a question about policies could not be answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyError {
    /// A file or directory could not be read.
    #[error("{0} of the given files could not be read")]
    Unreadable(usize),
    /// Nothing was read at all.
    #[error("no manifest was found: directories are searched for .yaml, .yml and .json")]
    Nothing,
    /// Policies that could not be read: nothing is decided by the others.
    #[error("{0} problems keep the policies from being read, so nothing is decided by them")]
    Unread(usize),
    /// There is no configuration dump, or it says nothing.
    #[error("{0}")]
    Dump(String),
    /// The question itself is wrong.
    #[error("the request cannot be decided: {0}")]
    Request(String),
}

/// Runs the command.
pub(crate) async fn run(args: &Args) -> Result<Answer, PolicyError> {
    match &args.verb {
        Verb::Check(args) => check::run(args),
        Verb::Decide(args) => decide::run(args),
        Verb::Explain(args) => explain::run(args),
        Verb::Inspect(args) => inspect::run(args).await,
        Verb::Render(args) => render::run(args),
        Verb::Test(args) => cases::run(args),
    }
}
