//! `signet policy test`: requests with the answers that are expected, and which rules they reach.

mod junit;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use signet_policy::source::printable;
use signet_policy::{RuleId, Verdict, World};
use signet_runtime::Clock;

use super::ask::{Answered, Around, ask, policy_name, word};
use super::question::Question;
use super::{PolicyError, files, given};
use crate::Answer;
use crate::output;

/// Most cases of one file.
const CASES_MAX: usize = 100_000;

/// Test policies: cases in files that end with .test.yaml, each with requests and the answers that are expected.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  signet policy test policies/
  signet policy test policies/ --junit report.xml --min-coverage 100

Exit status: 0 when every case holds, 1 when one does not or too few rules are covered, 2 when they cannot be run.")]
pub(crate) struct Args {
    /// Directories that are searched for files ending with .test.yaml.
    #[arg(required = true, value_name = "DIR")]
    paths: Vec<PathBuf>,

    /// Write a JUnit report to this file.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// How many of a hundred rules must match in some case.
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    min_coverage: u8,
}

/// A file of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Suite {
    /// Manifests, relative to the file; its directory where none is named.
    #[serde(default)]
    policies: Vec<PathBuf>,
    /// The namespace of objects that name none.
    #[serde(default)]
    namespace: Option<String>,
    /// Keys for tokens, relative to the file.
    #[serde(default)]
    jwks: Option<PathBuf>,
    cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    request: Question,
    expect: Expected,
    /// `NAMESPACE/NAME` of the policy that must settle it.
    #[serde(default)]
    policy: Option<String>,
    /// The rule of that policy.
    #[serde(default)]
    rule: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expected {
    Allow,
    Deny,
}

/// What came of one file.
struct Report {
    file: String,
    cases: Vec<Outcome>,
    rules: BTreeSet<RuleId>,
    covered: BTreeSet<RuleId>,
    /// Names of the rules that no case reaches.
    missed: Vec<String>,
}

/// What came of one case; `failure` says what was found instead.
struct Outcome {
    name: String,
    failure: Option<String>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<Answer, PolicyError> {
    let found = files::cases(&args.paths).map_err(|refused| PolicyError::Request(refused.to_string()))?;
    if found.is_empty() {
        return Err(PolicyError::Request("no file ends with .test.yaml".to_owned()));
    }
    let reports = found.iter().map(|path| suite(path)).collect::<Result<Vec<Report>, PolicyError>>()?;
    reports.iter().for_each(Report::show);
    if let Some(path) = &args.junit {
        let text = junit::report(&reports);
        std::fs::write(path, text).map_err(|error| PolicyError::Request(format!("{}: {error}", path.display())))?;
    }
    let failed = reports.iter().flat_map(|report| &report.cases).filter(|case| case.failure.is_some()).count();
    let cases: usize = reports.iter().map(|report| report.cases.len()).sum();
    let rules: usize = reports.iter().map(|report| report.rules.len()).sum();
    let covered: usize = reports.iter().map(|report| report.covered.len()).sum();
    output::talk(&format!("{cases} cases, {failed} failed; {covered} of {rules} rules covered"));
    let enough = covered * 100 >= rules * usize::from(args.min_coverage);
    Ok(if failed == 0 && enough { Answer::Yes } else { Answer::No })
}

fn suite(path: &Path) -> Result<Report, PolicyError> {
    let suite: Suite = given::parse(&given::small(path)?, path)?;
    if suite.cases.is_empty() || suite.cases.len() > CASES_MAX {
        let message = format!("{}: from 1 to {CASES_MAX} cases are wanted", path.display());
        return Err(PolicyError::Request(message));
    }
    let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let beside: Vec<PathBuf> = suite.policies.iter().map(|name| folder.join(name)).collect();
    let paths = if beside.is_empty() { vec![folder.clone()] } else { beside };
    let read = given::read(&paths, suite.namespace.as_deref().unwrap_or("default"))?;
    let keys = suite.jwks.as_ref().map(|name| given::keys(&folder.join(name))).transpose()?;
    let around = Around { keys: keys.as_ref(), now: Clock::system().now().into() };
    let mut report = Report::new(path, &read.world);
    for case in &suite.cases {
        let answered = ask(&read.world, &case.request, &around)?;
        report.covered.extend(reached(&answered));
        report.cases.push(Outcome { name: case.name.clone(), failure: failure(case, &answered) });
    }
    let missed = report.rules.difference(&report.covered);
    report.missed =
        missed.map(|rule| format!("rule {} of {}", rule.rule, policy_name(&read.world, rule.policy))).collect();
    Ok(report)
}

/// Every rule that matches, whatever its action.
fn reached(answered: &Answered) -> impl Iterator<Item = RuleId> {
    let reasons = answered.trace.iter().map(|trace| &trace.reasons);
    reasons.flat_map(|reasons| {
        let dry_run = reasons.dry_run.deny.iter().chain(&reasons.dry_run.allow);
        let acting = reasons.custom.iter().chain(&reasons.deny).chain(&reasons.allow).chain(&reasons.audit);
        acting.chain(dry_run).copied()
    })
}

fn failure(case: &Case, answered: &Answered) -> Option<String> {
    let wanted = if case.expect == Expected::Allow { Verdict::Allow } else { Verdict::Deny };
    let right = answered.verdict == wanted
        && case.policy.as_ref().is_none_or(|policy| answered.policy.as_ref() == Some(policy))
        && case.rule.is_none_or(|rule| answered.rule.is_some_and(|found| found.rule == rule));
    if right {
        return None;
    }
    let by = case.policy.as_ref().map(|policy| format!(" by {policy}")).unwrap_or_default();
    let rule = case.rule.map(|rule| format!(" rule {rule}")).unwrap_or_default();
    let found = format!("{}: {}", word(answered.verdict), answered.because);
    Some(format!("expected {}{by}{rule}, found {found}", word(wanted)))
}

impl Report {
    fn new(path: &Path, world: &World) -> Self {
        let mut rules = BTreeSet::new();
        for (policy, found) in (0_u32..).zip(&world.authorization) {
            let numbered = (0_u32..).zip(&found.rules).filter(|(_, rule)| rule.is_some());
            rules.extend(numbered.map(|(rule, _)| RuleId { policy, rule }));
        }
        let file = path.display().to_string();
        Self { file, cases: Vec::new(), rules, covered: BTreeSet::new(), missed: Vec::new() }
    }

    fn show(&self) {
        output::data(&printable(&self.file));
        for case in &self.cases {
            let line = match &case.failure {
                None => format!("  ok    {}", case.name),
                Some(failure) => format!("  FAIL  {}: {failure}", case.name),
            };
            output::data(&printable(&line));
        }
        self.missed.iter().for_each(|rule| output::data(&format!("  never matched: {}", printable(rule))));
    }
}
