//! `signet-ca log-level`: what the running daemon logs, seen and changed without a restart.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};
use serde_json::{Value, json};
use signet_runtime::Verb;

use super::running;
use crate::control::Question;
use crate::logging;

const LEVEL: &str = "level";

const EXAMPLES: &str = "\
Examples:
  See what is logged:
    signet-ca log-level

  Log everything about who is refused and why, and later as before:
    signet-ca log-level info,signet_ca::authenticate=trace
    signet-ca log-level info

A restart goes back to `log.level` of the settings.

Exit status: 0 yes, 1 no (not a level), 2 could not answer.";

/// The verb.
pub(super) const LOG_LEVEL: Verb = Verb { command, run };

fn command() -> Command {
    let level = Arg::new(LEVEL).value_name("LEVEL");
    Command::new("log-level")
        .about("See or change what the running authority logs")
        .arg(level.help("`error`, `warn`, `info`, `debug`, `trace` or `off`, or target=level pairs; none to see"))
        .args(running::common())
        .after_help(EXAMPLES)
}

fn run(matches: &ArgMatches) -> ExitCode {
    let arguments = matches.get_one::<String>(LEVEL).map_or(Value::Null, |level| json!({ "level": level }));
    let question = Question { subject: logging::SUBJECT.to_owned(), verb: logging::LEVEL.to_owned(), arguments };
    running::answered(matches, &question, |answer| print(answer, running::wants_json(matches)))
}

fn print(answer: &Value, as_json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if as_json {
        return writeln!(out, "{answer:#}");
    }
    writeln!(out, "{}", answer.get("level").and_then(Value::as_str).unwrap_or_default())
}
