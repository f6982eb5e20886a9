//! `signet policy check`: every problem with its place, and whether there is one.

mod view;

use std::path::PathBuf;

use signet_policy::{Checked, Problem, ReadOptions, Severity, check};

use super::{PolicyError, files};
use crate::Answer;
use crate::output;

/// Check policies offline: what the API server or its webhook would refuse, and what hardly means what it seems to.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  signet policy check policies/
  kubectl get authorizationpolicies,peerauthentications,requestauthentications -A -o yaml | signet policy check -
  signet policy check -o sarif policies/ > findings.sarif

Exit status: 0 when nothing is as bad as --fail-on says, 1 when something is, 2 when a file could not be read.")]
pub(crate) struct Args {
    /// Files, directories, or `-` for stdin.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// How to show what was found.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    /// The namespace of objects that name none.
    #[arg(short, long, default_value = "default")]
    namespace: String,

    /// How bad a problem must be to make the answer no.
    #[arg(long, value_enum, default_value_t)]
    fail_on: Level,

    /// A code that is not told, for instance SIG0601; may be given several times.
    #[arg(long, value_name = "CODE")]
    ignore: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON document.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Level {
    /// What is refused, or whose meaning nobody can tell.
    #[default]
    Error,
    /// What hardly means what it seems to, too.
    Warning,
    /// Everything.
    Note,
}

impl From<Level> for Severity {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::Error,
            Level::Warning => Self::Warning,
            Level::Note => Self::Note,
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<Answer, PolicyError> {
    let texts = files::read(&args.paths);
    let options = ReadOptions { default_namespace: args.namespace.clone() };
    let Checked { problems, .. } = check(&texts.sources, &options);
    let told: Vec<Problem> = problems.into_iter().filter(|problem| !is_ignored(problem, &args.ignore)).collect();
    match args.output {
        Format::Text => view::text(&told, &texts.sources),
        Format::Json => output::data(&view::json(&told, &texts.sources)),
        Format::Sarif => output::data(&view::sarif(&told, &texts.sources)),
    }
    output::talk(&view::summary(&told, texts.read));
    if told.iter().any(|problem| problem.severity() >= args.fail_on.into()) {
        return Ok(Answer::No);
    }
    match (texts.unreadable, texts.read) {
        (0, 0) => Err(PolicyError::Nothing),
        (0, _) => Ok(Answer::Yes),
        (count, _) => Err(PolicyError::Unreadable(count)),
    }
}

fn is_ignored(problem: &Problem, ignored: &[String]) -> bool {
    ignored.iter().any(|code| code.eq_ignore_ascii_case(problem.code.as_str()))
}
