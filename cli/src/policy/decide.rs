//! `signet policy decide`: what becomes of one request.

use serde_json::{Value, json};
use signet_policy::{Sources, Verdict, World};

use super::PolicyError;
use super::ask::{Answered, policy_name, word};
use super::given::Given;
use crate::Answer;
use crate::output;

/// Decide one request: what becomes of it, because of which policy and rule, and what cannot be enforced there.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  signet policy decide policies/ --workload shop/web --port 8080 --from spiffe://cluster.local/ns/shop/sa/front --path /cart
  signet policy decide policies/ --request request.yaml -o json

Exit status: 0 when the request is let through, 1 when it is refused, 2 when that could not be decided.")]
pub(crate) struct Args {
    #[command(flatten)]
    given: Given,

    /// How to show the answer.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

/// Forms of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// For people.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<Answer, PolicyError> {
    let (read, _, answered) = args.given.answer()?;
    output::data(&match args.output {
        Form::Text => text(&answered, &read.sources),
        Form::Json => output::pretty(&json(&answered, &read.world, &read.sources)),
    });
    status(&answered)
}

/// Yes, no, or that nobody can tell.
pub(crate) fn status(answered: &Answered) -> Result<Answer, PolicyError> {
    match answered.verdict {
        Verdict::Allow => Ok(Answer::Yes),
        Verdict::Deny => Ok(Answer::No),
        Verdict::Undecided => Err(PolicyError::Request(answered.because.clone())),
    }
}

/// A line each for the answer and what it rests on.
pub(crate) fn text(answered: &Answered, sources: &Sources) -> String {
    let mut lines = vec![format!("{}: {}", word(answered.verdict), answered.because)];
    if let Some(provider) = &answered.asks {
        lines.push(format!("if `{provider}` has no objection, which is asked first"));
    }
    let facts = [("mutual TLS", &answered.mtls), ("token", &answered.token)];
    lines.extend(facts.iter().filter_map(|(name, fact)| Some(format!("{name}: {}", fact.as_ref()?))));
    for (what, at) in &answered.not_enforceable {
        lines.push(format!("not enforceable: {what} ({})", sources.locate(*at)));
    }
    if let Some(verdict) = answered.dry_run {
        lines.push(format!("with the dry runs enforced: {}", word(verdict)));
    }
    lines.iter().map(|line| signet_policy::source::printable(line)).collect::<Vec<_>>().join("\n")
}

/// The same for programs.
pub(crate) fn json(answered: &Answered, world: &World, sources: &Sources) -> Value {
    let rule = answered.rule.map(|rule| json!({ "policy": policy_name(world, rule.policy), "index": rule.rule }));
    let not: Vec<Value> =
        answered.not_enforceable.iter().map(|(what, at)| json!({ "what": what, "at": sources.locate(*at) })).collect();
    json!({
        "verdict": word(answered.verdict),
        "because": answered.because,
        "policy": answered.policy,
        "rule": rule,
        "asks": answered.asks,
        "mutualTls": answered.mtls,
        "token": answered.token,
        "notEnforceable": not,
        "dryRunVerdict": answered.dry_run.map(word),
    })
}
