//! `signet policy inspect`: what a running proxy enforces, and whether that is what the given policies become.

mod expected;
mod fetch;
mod view;

use std::path::PathBuf;

use signet_policy::inspect::{Dump, EnvoyDump, ZtunnelDump};

use self::expected::Expected;
use self::view::{Group, Report};
use super::PolicyError;
use super::ask::destination;
use super::given::{labels, read, small};
use super::question::{At, Question, To};
use crate::Answer;
use crate::output;

/// Inspect a proxy's configuration dump: which policies are in force there, and whether they equal the given ones.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  signet policy inspect --admin http://127.0.0.1:15000
  signet policy inspect --admin /run/envoy/admin.sock policies/ --workload shop/web
  istioctl proxy-config all web-1 -n shop -o json | signet policy inspect --dump - policies/ --workload shop/web
  signet policy inspect --dump dump.json -o istio

Exit status: 0 when the proxy enforces what the given policies become, or none were given; 1 when something differs; 2
when that could not be told.")]
pub(crate) struct Args {
    /// Files and directories of policies and of what they select. Without any, it is only told what is in force.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// A configuration dump, Envoy's or ztunnel's, or `-` for stdin.
    #[arg(long, value_name = "FILE", conflicts_with = "admin", required_unless_present = "admin")]
    dump: Option<PathBuf>,

    /// The proxy's admin interface: `http://HOST:PORT`, or the path of a Unix socket.
    #[arg(long, value_name = "URL|SOCKET")]
    admin: Option<String>,

    /// The namespace of objects that name none.
    #[arg(short, long, default_value = "default")]
    namespace: String,

    /// What the proxy is; for ztunnel the dump says it itself.
    #[arg(long, value_enum, default_value_t)]
    at: At,

    /// The workload that the proxy stands before, among the manifests.
    #[arg(long, value_name = "NAMESPACE/NAME", conflicts_with = "to_namespace")]
    workload: Option<String>,

    /// The namespace of the workload, when it is not among them.
    #[arg(long, value_name = "NAMESPACE")]
    to_namespace: Option<String>,

    /// A label of that workload, repeatable.
    #[arg(long = "label", value_name = "NAME=VALUE", requires = "to_namespace")]
    labels: Vec<String>,

    /// Look at this listener only; repeatable.
    #[arg(long = "listener", value_name = "NAME")]
    listeners: Vec<String>,

    /// The peer's identity is in filter state, as at waypoints, and not in the connection's certificate.
    #[arg(long)]
    identity_in_filter_state: bool,

    /// Keys (a JSON Web Key Set) for rules that hold none. With them, the proxy's keys are compared too.
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,

    /// How to show it.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Form {
    /// For people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// The table of Istio's own tool: what is in force, and nothing about differences.
    Istio,
}

/// Runs the command.
pub(crate) async fn run(args: &Args) -> Result<Answer, PolicyError> {
    let text = fetch::dump(args.dump.as_deref(), args.admin.as_deref()).await.map_err(PolicyError::Dump)?;
    let dump = Dump::parse(&text).map_err(|error| PolicyError::Dump(error.to_string()))?;
    drop(text);
    let expected = if args.paths.is_empty() { None } else { Some(expected(args, &dump)?) };
    let report = match &dump {
        Dump::Envoy(dump) => envoy(dump, args, expected.as_ref())?,
        Dump::Ztunnel(dump) => ztunnel(dump, expected.as_ref()),
    };
    output::data(&match (args.output, &dump) {
        (Form::Table, _) => report.table(),
        (Form::Json, _) => output::pretty(&report.json()),
        (Form::Istio, Dump::Envoy(dump)) => dump.istio_table().trim_end().to_owned(),
        (Form::Istio, Dump::Ztunnel(dump)) => dump.istio_table().trim_end().to_owned(),
    });
    report.talk();
    Ok(if report.groups.is_empty() { Answer::Yes } else { Answer::No })
}

fn expected(args: &Args, dump: &Dump) -> Result<Expected, PolicyError> {
    let read = read(&args.paths, &args.namespace)?;
    let is_named = args.workload.is_some() || args.to_namespace.is_some();
    let labels = labels(&args.labels)?;
    let to = To { workload: args.workload.clone(), namespace: args.to_namespace.clone(), labels, ..To::default() };
    let at = if matches!(dump, Dump::Ztunnel(_)) { At::Ztunnel } else { args.at };
    let destination = match (is_named, dump) {
        (false, Dump::Ztunnel(_)) => None,
        _ => Some(destination(&read.world, &Question { at, to, ..Question::default() })?),
    };
    let keys = args.jwks.as_deref().map(small).transpose()?;
    let in_filter_state = args.identity_in_filter_state || at == At::Waypoint;
    Ok(Expected { world: read.world, destination, workload: args.workload.clone(), at, keys, in_filter_state })
}

fn envoy(dump: &EnvoyDump, args: &Args, expected: Option<&Expected>) -> Result<Report, PolicyError> {
    let scopes = expected::scopes(dump, args.at, &args.listeners).map_err(PolicyError::Dump)?;
    let mut report = Report::new(dump.remarks.clone());
    report.in_force(&scopes);
    let Some(expected) = expected else { return Ok(report) };
    report.compared = scopes.len();
    for scope in &scopes {
        let differences = expected.envoy(scope);
        report.differ(&scope.place(), differences);
    }
    if scopes.is_empty() && expected.is_wanted() {
        let detail = "the given policies reach this workload, and no listener of the dump decides anything".to_owned();
        report.groups.push(Group::alone(detail));
    }
    Ok(report)
}

fn ztunnel(dump: &ZtunnelDump, expected: Option<&Expected>) -> Report {
    let mut report = Report::new(Vec::new());
    report.known(dump);
    let Some(expected) = expected else { return report };
    report.compared = 1;
    report.differ("", dump.compare(&expected.sent()));
    if let Some((namespace, name, listed)) = expected.listed() {
        match dump.compare_listed(&namespace, &name, &listed) {
            Some(differences) => report.differ("", differences),
            None => {
                let what = format!("the dump has no workload `{namespace}/{name}`: what it lists is unknown");
                report.remarks.push(what);
            }
        }
    }
    report
}
