//! `signet-ca authority`: the keys of a running authority, seen and moved by an operator.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Value, json};
use signet_runtime::command::{EXIT_UNANSWERED, Verb};

use super::running;
use crate::control::Question;

const ID: &str = "id";
const FORCE: &str = "force";
const WHEN_KNOWN: &str = "when-known";

const EXAMPLES: &str = "\
Examples:
  See which generation signs, which roots are published, and who has them:
    signet-ca authority list

  Change keys: make the next generation and publish its root, then let it sign once its root is known everywhere:
    signet-ca authority prepare
    signet-ca authority activate 2 --when-known

  Stop trusting a key that signed before: have its certificates replaced, then take its root away:
    signet-ca authority taint 1
    signet-ca authority revoke 1";

/// The verb.
pub(super) const AUTHORITY: Verb = Verb { command, run };

fn command() -> Command {
    let of_one = |name: &'static str, about: &'static str| {
        let id = Arg::new(ID).value_name("GENERATION").required(true).value_parser(value_parser!(u64));
        Command::new(name).about(about).arg(id.help("The number that `list` shows"))
    };
    let flag = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
    let activate = of_one("activate", "Let a published generation sign")
        .arg(flag(WHEN_KNOWN).help("As soon as its root is known everywhere").conflicts_with(FORCE))
        .arg(flag(FORCE).help("Now, even if its root is not known everywhere; also back to an old generation"));
    Command::new("authority")
        .about("See and change the keys of the running authority")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .args(running::common())
        .subcommand(Command::new("list").about("Show all generations and the published bundle"))
        .subcommand(Command::new("prepare").about("Make the next generation and publish its root"))
        .subcommand(activate)
        .subcommand(of_one("taint", "Have every certificate under an old generation replaced now"))
        .subcommand(of_one("revoke", "Take the roots of a tainted generation, or of one that never signed, away"))
        .after_help(EXAMPLES)
}

fn run(matches: &ArgMatches) -> ExitCode {
    let Some((verb, below)) = matches.subcommand() else { return ExitCode::from(EXIT_UNANSWERED) };
    let question =
        Question { subject: "authority".to_owned(), verb: verb.to_owned(), arguments: arguments(verb, below) };
    running::answered(below, &question, |overview| print(overview, running::wants_json(below)))
}

fn arguments(verb: &str, matches: &ArgMatches) -> Value {
    let id = || matches.get_one::<u64>(ID).copied();
    match verb {
        "activate" => {
            json!({ "id": id(), "force": matches.get_flag(FORCE), "when_known": matches.get_flag(WHEN_KNOWN) })
        }
        "taint" | "revoke" => json!({ "id": id() }),
        _ => Value::Null,
    }
}

fn print(overview: &Value, as_json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if as_json {
        return writeln!(out, "{overview:#}");
    }
    let bundle = overview.get("bundle").unwrap_or(&Value::Null);
    let [generation, watchers, acknowledged] = ["generation", "watchers", "acknowledged"].map(|key| word(bundle, key));
    writeln!(out, "bundle {generation}, which {acknowledged} of {watchers} watching agents have")?;
    let generations = overview.get("generations").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let head = ["GENERATION", "PHASE", "SINCE", "ENDS", "LEAVES UNTIL", "ORIGIN", "KEY ID"].map(str::to_owned);
    let keys = ["id", "phase", "since", "not_after", "horizon", "origin", "key_id"];
    let rows: Vec<_> = generations.iter().map(|generation| keys.map(|key| word(generation, key))).collect();
    table(&mut out, std::iter::once(&head).chain(&rows))?;
    for generation in generations {
        if let Some(waits_for) = generation.get("waits_for").and_then(Value::as_str) {
            writeln!(out, "generation {} waits: {waits_for}", word(generation, "id"))?;
        }
    }
    match overview.get("remark").and_then(Value::as_str) {
        Some(remark) => writeln!(out, "{remark}"),
        None => Ok(()),
    }
}

fn word(of: &Value, key: &str) -> String {
    match of.get(key) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Columns as wide as their widest word.
fn table<'a, const N: usize>(
    out: &mut impl Write,
    rows: impl Iterator<Item = &'a [String; N]> + Clone,
) -> io::Result<()> {
    let mut widths = [0; N];
    for row in rows.clone() {
        widths.iter_mut().zip(row).for_each(|(width, word)| *width = word.len().max(*width));
    }
    for row in rows {
        let line: String = row.iter().zip(widths).map(|(word, width)| format!("{word:width$}  ")).collect();
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
