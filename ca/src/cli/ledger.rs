//! `signet-ca ledger`: looks into a ledger, also while it is written. Data goes to stdout, talk to stderr.

mod filter;
mod records;
mod verify;

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command, value_parser};
use signet_runtime::Verb;
use signet_runtime::command::{EXIT_NO, EXIT_UNANSWERED, complain};
use signet_runtime::files::FileError;

use super::DAEMON;
use crate::ledger::{Chain, Link};

const DIR: &str = "dir";
const OUTPUT: &str = "output";
const THROUGH: &str = "through";
const DEFAULT_DIR: &str = "/var/lib/signet-ca/ledger";

const EXAMPLES: &str = "\
Examples:
  Whether anything was changed, and up to which record:
    signet-ca ledger verify --dir /var/lib/signet-ca/ledger

  Whether a hash that was noted last month still stands where it stood:
    signet-ca ledger verify --through 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

  Who got this certificate, and what a node's pods got in the last hour:
    signet-ca ledger find --serial 5F:3A:…:01
    signet-ca ledger find --node worker-3 --since 1h -o json

  Everything, as it was written:
    signet-ca ledger show -o json

Exit status: 0 yes, 1 no (changed, or nothing found), 2 could not answer.";

/// Looks into a ledger.
pub(super) const LEDGER: Verb = Verb { command, run };

fn command() -> Command {
    let find = Command::new("find").about("Records of certificates that fit all of what is asked");
    let find = filter::fields().into_iter().fold(find, Command::arg);
    let show = Command::new("show").about("All records, in the order in which they were written");
    let through = Arg::new(THROUGH).long(THROUGH).value_name("HASH").value_parser(value_parser!(Link));
    let verify = Command::new("verify")
        .about("Whether every record is there and none was changed")
        .arg(through.help("A hash noted earlier, which the chain must pass through"));
    let verbs = [verify, filter::times().into_iter().fold(show, Command::arg), find];
    Command::new("ledger")
        .about("Look into the record of everything issued")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(verbs.map(|verb| verb.args(common()).after_help(EXAMPLES)))
        .after_help(EXAMPLES)
}

fn common() -> [Arg; 2] {
    let dir = Arg::new(DIR).long(DIR).value_name("DIR").value_parser(value_parser!(PathBuf));
    let output = Arg::new(OUTPUT).long(OUTPUT).short('o').value_name("FORM").value_parser(["table", "json"]);
    [
        dir.default_value(DEFAULT_DIR).help("The ledger's directory, `ledger.dir` in the settings"),
        output.default_value("table").help("How to print"),
    ]
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Table,
    Json,
}

/// What a question about a ledger came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
}

/// Why a question could not be answered.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("`{dir}` holds no ledger")]
    None { dir: PathBuf },
    #[error("{0}")]
    Question(String),
    #[error(
        "{breaks} place(s) do not hold, the first {first}; what stands behind them is shown, but proved by nothing"
    )]
    Broken { breaks: u64, first: crate::ledger::Break },
    #[error("cannot write to stdout: {0}")]
    Output(#[from] io::Error),
}

fn run(matches: &ArgMatches) -> ExitCode {
    let Some((verb, matches)) = matches.subcommand() else { return ExitCode::from(EXIT_UNANSWERED) };
    let form = match matches.get_one::<String>(OUTPUT).map(String::as_str) {
        Some("json") => Form::Json,
        _ => Form::Table,
    };
    let dir = matches.get_one::<PathBuf>(DIR).map_or(Path::new(DEFAULT_DIR), PathBuf::as_path);
    let mut out = io::BufWriter::new(io::stdout().lock());
    let looked = chains(dir).and_then(|chains| match verb {
        "verify" => verify::verify(&chains, matches.get_one::<Link>(THROUGH).copied(), form, &mut out),
        _ => records::show(&chains, &filter::Filter::read(matches, verb == "find")?, form, &mut out),
    });
    let looked = looked.and_then(|answer| Ok(out.flush().map(|()| answer)?));
    match looked {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(EXIT_NO),
        // Whoever reads has seen enough.
        Err(LookError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            tell(error);
            ExitCode::from(EXIT_UNANSWERED)
        }
    }
}

fn chains(dir: &Path) -> Result<Vec<Chain>, LookError> {
    let mut chains = Vec::new();
    for chain in Chain::all(dir)? {
        if !chain.segments()?.is_empty() {
            chains.push(chain);
        }
    }
    if chains.is_empty() { Err(LookError::None { dir: dir.to_owned() }) } else { Ok(chains) }
}

/// Says something on stderr.
fn tell(what: impl fmt::Display) {
    complain(&DAEMON, &what.to_string());
}
