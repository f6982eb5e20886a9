//! `signet policy`: what Istio's security policies mean. Reads files; what they mean is the policy room's business.

mod check;
mod files;

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
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<Answer, PolicyError> {
    match &args.verb {
        Verb::Check(args) => check::run(args),
    }
}
