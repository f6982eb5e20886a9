//! `signet policy explain`: one decision as a tree: point, policy, rule, condition, what it saw and what it wanted.

use serde_json::{Value, json};
use signet_policy::source::printable;
use signet_policy::trace::{ClauseTrace, ConditionTrace, Outcome, PolicyTrace, RuleTrace, Trace};
use signet_policy::{Sources, Verdict, World};

use super::PolicyError;
use super::ask::{Answered, effect, policy_name};
use super::decide::{self, Form};
use super::given::Given;
use super::question::Question;
use crate::Answer;
use crate::output;

/// Explain one decision: every policy that reaches the workload, rule by rule, with what each condition saw.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  signet policy explain policies/ --workload shop/web --port 8080 --path /admin
  signet policy explain policies/ --request request.yaml -o json

Exit status: 0 when the request is let through, 1 when it is refused, 2 when that could not be decided.")]
pub(crate) struct Args {
    #[command(flatten)]
    given: Given,

    /// How to show the explanation.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<Answer, PolicyError> {
    let (read, question, answered) = args.given.answer()?;
    output::data(&match args.output {
        Form::Text => tree(&answered, &question, &read.world, &read.sources),
        Form::Json => output::pretty(&json(&answered, &read.world, &read.sources)),
    });
    decide::status(&answered)
}

/// Grows a line at a time; each level is indented by two more.
struct Tree<'a> {
    lines: Vec<String>,
    world: &'a World,
    sources: &'a Sources,
}

fn tree(answered: &Answered, question: &Question, world: &World, sources: &Sources) -> String {
    let mut tree = Tree { lines: Vec::new(), world, sources };
    tree.lines.extend(decide::text(answered, sources).lines().map(str::to_owned));
    let from = question.from.identity.as_deref().unwrap_or("plaintext");
    let to = &question.to;
    let target = to.workload.as_deref().or(to.namespace.as_deref()).unwrap_or_default();
    tree.line(0, &format!("{from} -> {target} port {} at {:?}", to.port, question.at));
    if let Some(trace) = &answered.trace {
        if trace.policies.is_empty() {
            tree.line(1, "no AuthorizationPolicy reaches it");
        }
        trace.policies.iter().for_each(|policy| tree.policy(policy));
        if let Some(rule) = nearest(trace, answered.verdict) {
            let name = policy_name(world, rule.id.policy);
            let conditions = if rule.missing == 1 { "condition keeps" } else { "conditions keep" };
            tree.line(
                0,
                &format!("nearest: {} {conditions} rule {} of {name} from matching", rule.missing, rule.id.rule),
            );
        }
    }
    tree.lines.join("\n")
}

impl Tree<'_> {
    fn line(&mut self, depth: usize, text: &str) {
        self.lines.push(format!("{}{}", "  ".repeat(depth), printable(text)));
    }

    fn policy(&mut self, policy: &PolicyTrace) {
        let dry = if policy.dry_run { ", a dry run" } else { "" };
        self.line(1, &format!("{} {}{dry}", policy.action, policy_name(self.world, policy.policy)));
        if policy.rules.is_empty() {
            self.line(2, "no rules: it never matches");
        }
        for rule in policy.rules.iter().flatten() {
            let place = self.sources.locate(rule.at);
            self.line(2, &format!("{} rule {} ({place})", mark(rule.outcome), rule.id.rule));
            for (name, clauses) in [("from", &rule.from), ("to", &rule.to)] {
                clauses.iter().for_each(|clause| self.clause(name, clause, clauses.len()));
            }
            rule.when.iter().for_each(|condition| self.condition(3, condition));
        }
    }

    fn clause(&mut self, name: &str, clause: &ClauseTrace, of: usize) {
        let held = if clause.held { "yes" } else { "no " };
        let any = if of > 1 { ", any of these" } else { "" };
        self.line(3, &format!("{held} {name}{any}"));
        clause.conditions.iter().for_each(|condition| self.condition(4, condition));
    }

    fn condition(&mut self, depth: usize, condition: &ConditionTrace) {
        let list = |negated: bool| {
            let values = condition.values.iter().filter(|value| value.negated == negated);
            let texts: Vec<String> = values.map(|value| format!("`{}`", value.text)).collect();
            texts.join(", ")
        };
        let wanted: Vec<String> = [("", list(false)), ("not ", list(true))]
            .into_iter()
            .filter(|(_, values)| !values.is_empty())
            .map(|(not, values)| format!("{not}{values}"))
            .collect();
        let saw = condition.saw.as_ref().map_or_else(|| "nothing".to_owned(), |saw| format!("`{saw}`"));
        let mut text =
            format!("{} {}: wants {}, saw {saw}", mark(condition.outcome), condition.name, wanted.join(" and "));
        if let Outcome::NotEnforceable(what) = condition.outcome {
            text.push_str(&format!(": {}", effect(what)));
        }
        self.line(depth, &text);
    }
}

fn mark(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Matches => "yes",
        Outcome::DoesNotMatch => "no ",
        Outcome::NotEnforceable(_) => "-- ",
    }
}

/// Of the rules that would turn the answer round, the one that lacks least: ALLOW for a refusal, DENY for the other.
fn nearest(trace: &Trace, verdict: Verdict) -> Option<&RuleTrace> {
    use signet_policy::model::Action;
    let wanted = if verdict == Verdict::Deny { Action::Allow } else { Action::Deny };
    let rules = trace.policies.iter().filter(|policy| policy.action == wanted && !policy.dry_run);
    let rules = rules.flat_map(|policy| policy.rules.iter().flatten());
    rules.filter(|rule| rule.outcome == Outcome::DoesNotMatch).min_by_key(|rule| rule.missing)
}

fn json(answered: &Answered, world: &World, sources: &Sources) -> Value {
    let mut value = decide::json(answered, world, sources);
    let policies = answered.trace.iter().flat_map(|trace| &trace.policies).map(|policy| {
        let rules: Vec<Value> = policy.rules.iter().flatten().map(|rule| rule_json(rule, sources)).collect();
        json!({
            "policy": policy_name(world, policy.policy),
            "action": policy.action.to_string(),
            "dryRun": policy.dry_run,
            "rules": rules,
        })
    });
    let policies: Vec<Value> = policies.collect();
    let nearest = answered.trace.as_ref().and_then(|trace| nearest(trace, answered.verdict)).map(
        |rule| json!({ "policy": policy_name(world, rule.id.policy), "index": rule.id.rule, "missing": rule.missing }),
    );
    if let Some(object) = value.as_object_mut() {
        object.insert("policies".to_owned(), policies.into());
        object.insert("nearest".to_owned(), nearest.unwrap_or_default());
    }
    value
}

fn rule_json(rule: &RuleTrace, sources: &Sources) -> Value {
    let clauses = |clauses: &[ClauseTrace]| {
        let clause = |clause: &ClauseTrace| json!({ "held": clause.held, "conditions": conditions(&clause.conditions, sources) });
        clauses.iter().map(clause).collect::<Vec<Value>>()
    };
    json!({
        "index": rule.id.rule,
        "at": sources.locate(rule.at),
        "outcome": mark_word(rule.outcome),
        "missing": rule.missing,
        "from": clauses(&rule.from),
        "to": clauses(&rule.to),
        "when": conditions(&rule.when, sources),
    })
}

fn conditions(conditions: &[ConditionTrace], sources: &Sources) -> Vec<Value> {
    let values = |condition: &ConditionTrace| {
        let value = |value: &signet_policy::trace::ValueTrace| json!({ "text": value.text, "negated": value.negated, "matched": value.matched, "at": sources.locate(value.at) });
        condition.values.iter().map(value).collect::<Vec<Value>>()
    };
    let condition = |condition: &ConditionTrace| {
        json!({
            "name": condition.name,
            "at": sources.locate(condition.at),
            "outcome": mark_word(condition.outcome),
            "saw": condition.saw,
            "values": values(condition),
        })
    };
    conditions.iter().map(condition).collect()
}

fn mark_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Matches => "matches",
        Outcome::DoesNotMatch => "does not match",
        Outcome::NotEnforceable(what) => effect(what),
    }
}
