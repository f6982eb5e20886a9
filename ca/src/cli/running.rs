//! What verbs that ask the running daemon have in common: its control socket, how to print, and what the exit says.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, ArgMatches, value_parser};
use serde_json::Value;
use signet_runtime::command::{EXIT_NO, EXIT_UNANSWERED, complain};
use signet_runtime::tasks::chain;

use super::DAEMON;
use crate::control::{Answer, Question, ask};

const SOCKET: &str = "socket";
const OUTPUT: &str = "output";
const DEFAULT_SOCKET: &str = "/var/lib/signet-ca/control.sock";

/// Where to ask and how to print.
pub(super) fn common() -> [Arg; 2] {
    let socket = Arg::new(SOCKET).long(SOCKET).value_name("PATH").value_parser(value_parser!(PathBuf));
    let output = Arg::new(OUTPUT).short('o').long(OUTPUT).value_name("FORMAT").value_parser(["table", "json"]);
    [
        socket.global(true).default_value(DEFAULT_SOCKET).help("Control socket of the running authority"),
        output.global(true).default_value("table").help("How to print"),
    ]
}

/// Whether JSON is asked for.
pub(super) fn wants_json(matches: &ArgMatches) -> bool {
    matches.get_one::<String>(OUTPUT).is_some_and(|output| output == "json")
}

/// Asks and has the answer printed.
pub(super) fn answered(
    matches: &ArgMatches,
    question: &Question,
    print: impl FnOnce(&Value) -> io::Result<()>,
) -> ExitCode {
    let socket = matches.get_one::<PathBuf>(SOCKET).map_or(Path::new(DEFAULT_SOCKET), PathBuf::as_path);
    let (message, status) = match ask(socket, question) {
        Ok(Answer::Done(done)) => match print(&done) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => (format!("cannot write to stdout: {error}"), EXIT_UNANSWERED),
        },
        Ok(Answer::Refused(why)) => (why, EXIT_NO),
        Ok(Answer::Failed(why)) => (why, EXIT_UNANSWERED),
        Err(error) => (chain(&error), EXIT_UNANSWERED),
    };
    complain(&DAEMON, &message);
    ExitCode::from(status)
}
