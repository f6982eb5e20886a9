//! `signet policy render`: what proxies are told of the policies that reach a workload.

use std::path::PathBuf;

use serde_json::{Value, json};
use signet_policy::World;
use signet_policy::envoy::{
    Chain, CustomOptions, JwtOptions, RenderOptions, custom_filters, jwt_filter, local_filters, per_route,
};
use signet_policy::select::{Destination, Selection, Switches};
use signet_policy::ztunnel::Known;

use super::PolicyError;
use super::ask::destination;
use super::given::{labels, read, small};
use super::question::{At, Question, To};
use crate::Answer;
use crate::output;

/// Render what Envoy or ztunnel is told, as Istio would: RBAC, jwt_authn and ext_authz filters, or Authorizations.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  signet policy render policies/ --workload shop/web -o yaml
  signet policy render policies/ --workload shop/web --per-route
  signet policy render policies/ --to-namespace shop --at ztunnel

Exit status: 0 when it was rendered whole, 1 when a provider cannot be asked and is rendered as a refusal, 2 when nothing
could be rendered.")]
pub(crate) struct Args {
    /// Files and directories of policies and of what they select, or `-` for stdin.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// The namespace of objects that name none.
    #[arg(short, long, default_value = "default")]
    namespace: String,

    /// For whom it is rendered.
    #[arg(long, value_enum, default_value_t)]
    at: At,

    /// The workload, among the manifests.
    #[arg(long, value_name = "NAMESPACE/NAME", conflicts_with = "to_namespace")]
    workload: Option<String>,

    /// The namespace of the workload, when it is not among them.
    #[arg(long, value_name = "NAMESPACE")]
    to_namespace: Option<String>,

    /// A label of that workload, repeatable.
    #[arg(long = "label", value_name = "NAME=VALUE", requires = "to_namespace")]
    labels: Vec<String>,

    /// What a route says (typed_per_filter_config), for RBAC filters of a listener that let everything through.
    #[arg(long)]
    per_route: bool,

    /// The peer's identity is in filter state, as at waypoints, and not in the connection's certificate.
    #[arg(long)]
    identity_in_filter_state: bool,

    /// Keys (a JSON Web Key Set) for rules that hold none; without them every token of those is refused.
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,

    /// How to show it.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Form {
    /// Protobuf JSON.
    #[default]
    Json,
    /// The same as YAML.
    Yaml,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<Answer, PolicyError> {
    let read = read(&args.paths, &args.namespace)?;
    let labels = labels(&args.labels)?;
    let to = To { workload: args.workload.clone(), namespace: args.to_namespace.clone(), labels, ..To::default() };
    let question = Question { at: args.at, to, ..Question::default() };
    let destination = destination(&read.world, &question)?;
    let keys = args.jwks.as_deref().map(small).transpose()?;
    let (value, complaints) = match args.at {
        At::Ztunnel => (ztunnel(&read.world, &destination), Vec::new()),
        _ => envoy(&read.world, &destination, args, keys.as_deref()),
    };
    output::data(&match args.output {
        Form::Yaml => serde_saphyr::to_string(&value).unwrap_or_else(|error| error.to_string()),
        Form::Json => output::pretty(&value),
    });
    complaints.iter().for_each(|complaint| output::talk(complaint));
    Ok(if complaints.is_empty() { Answer::Yes } else { Answer::No })
}

fn envoy(world: &World, destination: &Destination, args: &Args, keys: Option<&str>) -> (Value, Vec<String>) {
    let selection = Selection {
        root_namespace: &world.mesh.root_namespace,
        switches: Switches::default(),
        destination,
        point: args.at.into(),
    };
    let policies: Vec<_> = selection.select(&world.authorization).into_iter().map(|(_, policy)| policy).collect();
    let requests: Vec<_> = selection.select(&world.request).into_iter().map(|(_, policy)| policy).collect();
    let chain = if selection.point.sees_http() { Chain::Http } else { Chain::Tcp };
    let options = RenderOptions {
        chain,
        identity_in_filter_state: args.identity_in_filter_state || args.at == At::Waypoint,
        trust_domains: &world.mesh.trust_domains,
    };
    let custom = CustomOptions { providers: &world.mesh.providers, several_providers: false, services: None };
    let (mut filters, errors) = custom_filters(&policies, &options, &custom);
    if chain == Chain::Http {
        let jwt = JwtOptions { clears_route_cache: args.at != At::SidecarHttp, keys: &|_| keys.map(str::to_owned) };
        filters.extend(jwt_filter(&requests, &jwt));
    }
    let local = local_filters(&policies, &options);
    let complaints = errors.iter().map(ToString::to_string).collect();
    if args.per_route {
        return (json!({ "typedPerFilterConfig": per_route(&local) }), complaints);
    }
    filters.extend(local);
    (json!({ "filters": filters }), complaints)
}

fn ztunnel(world: &World, destination: &Destination) -> Value {
    let known = Known::new(world, Switches::default(), destination);
    let sent: Vec<Value> = known.sent.iter().map(signet_policy::ztunnel::Authorization::to_protobuf_json).collect();
    json!({ "authorizations": sent, "workloadLists": known.listed })
}
