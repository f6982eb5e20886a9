//! Policies and the filters of Envoy that they become.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use signet_policy::envoy::{Chain, CustomOptions, Filter, KnownService, RenderOptions, custom_filters, local_filters};
use signet_policy::model::{AuthorizationPolicy, Labels, MeshConfig, Reading, World};
use signet_policy::select::{Destination, Point, Selection, Switches};
use signet_policy::{ReadOptions, Sources, read};

use super::{Outcome, case, load, outcome};

/// A case, with what `defaults` say where it is silent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(rename = "id")]
    _id: String,
    input: String,
    want_filters_in_order: Vec<String>,
    #[serde(rename = "features")]
    _features: Vec<String>,
    workload: Workload,
    root_namespace: String,
    trust_domain_bundle: Vec<Box<str>>,
    builder: String,
    use_filter_state: bool,
    feature_flags: Flags,
    known_services: Vec<Service>,
    #[serde(default = "http")]
    filter_type: String,
    #[serde(default)]
    mesh_config: Option<Value>,
}

fn http() -> String {
    "http".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Workload {
    namespace: Box<str>,
    labels: BTreeMap<Box<str>, Box<str>>,
    is_waypoint: bool,
    gateway_api: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Flags {
    #[serde(rename = "PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS")]
    several_providers: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Service {
    hostname: Box<str>,
    namespace: Box<str>,
}

pub(super) fn run(folder: &Path, defaults: &Value, facts: &BTreeMap<String, Value>, value: &Value) -> Outcome {
    let mut merged = defaults.clone();
    let fields = merged.as_object_mut().expect("`defaults` is a mapping");
    fields.extend(facts.get("filter_type").map(|kind| ("filter_type".to_owned(), kind.clone())));
    fields.extend(value.as_object().expect("a case is a mapping").clone());
    let case: Case = case(&merged);
    let found: Vec<Value> = filters(folder, &case).iter().map(|filter| serde_json::to_value(filter).unwrap()).collect();
    let wanted: Vec<Value> = case.want_filters_in_order.iter().map(|name| load(folder, name)).collect();
    let mut complaints: Vec<String> =
        found.iter().zip(&wanted).filter_map(|(found, wanted)| differ(found, wanted)).collect();
    if found.len() != wanted.len() {
        complaints.push(format!("{} filters, not {}", found.len(), wanted.len()));
    }
    outcome(wanted.len().max(1), complaints)
}

fn filters(folder: &Path, case: &Case) -> Vec<Filter> {
    let reading = read_input(folder, &case.input);
    let world = reading.partial();
    let (chain, point) = match case.filter_type.as_str() {
        "http" => (Chain::Http, Point::SidecarHttp),
        "network" => (Chain::Tcp, Point::SidecarTcp),
        other => panic!("filter type `{other}` is not known"),
    };
    let attached = attached(world, case, point);
    let options = RenderOptions {
        chain,
        identity_in_filter_state: case.use_filter_state,
        trust_domains: &case.trust_domain_bundle,
    };
    if case.builder != "custom" {
        assert!(case.builder.starts_with("local"), "builder `{}` is not known", case.builder);
        return local_filters(&attached, &options);
    }
    let mesh = mesh_config(case.mesh_config.as_ref());
    let service =
        |service: &Service| KnownService { hostname: service.hostname.clone(), namespace: service.namespace.clone() };
    let services: Vec<KnownService> = case.known_services.iter().map(service).collect();
    let custom = CustomOptions {
        providers: &mesh.providers,
        several_providers: case.feature_flags.several_providers,
        services: Some(&services),
    };
    custom_filters(&attached, &options, &custom).0
}

pub(super) fn read_input(folder: &Path, name: &str) -> Reading {
    let path = folder.join(name);
    let mut sources = Sources::new();
    sources.add(name, &std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
    let reading = read(&sources, &ReadOptions { default_namespace: String::new() });
    assert!(!reading.has_errors(), "{}: {:?}", path.display(), reading.problems);
    reading
}

fn mesh_config(value: Option<&Value>) -> MeshConfig {
    let Some(value) = value else { return MeshConfig::default() };
    let mut sources = Sources::new();
    sources.add("mesh_config", &value.to_string());
    read(&sources, &ReadOptions::default()).into_world().unwrap().mesh
}

/// What reaches the workload. A Gateway's pods are known by their label.
fn attached<'w>(world: &'w World, case: &Case, point: Point) -> Vec<&'w AuthorizationPolicy> {
    let labels: Labels = case.workload.labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let is_gateway = labels.get("gateway.networking.k8s.io/gateway-name").is_some();
    assert_eq!(case.workload.gateway_api, is_gateway, "a gateway has the label of one");
    let destination = Destination {
        namespace: case.workload.namespace.clone(),
        labels,
        is_waypoint: case.workload.is_waypoint,
        service: None,
    };
    let switches = Switches { several_providers: case.feature_flags.several_providers, ..Switches::default() };
    let selection = Selection { root_namespace: &case.root_namespace, switches, destination: &destination, point };
    selection.select(&world.authorization).into_iter().map(|(_, policy)| policy).collect()
}

/// The first place where two trees differ.
pub(super) fn differ(found: &Value, wanted: &Value) -> Option<String> {
    fn walk(path: &str, found: &Value, wanted: &Value) -> Option<String> {
        match (found, wanted) {
            (Value::Object(found), Value::Object(wanted)) => {
                // Each key once: twice would double with every level.
                let keys = found.keys().chain(wanted.keys().filter(|key| !found.contains_key(*key)));
                keys.map(|key| (key, found.get(key), wanted.get(key))).find_map(|(key, found, wanted)| {
                    let path = format!("{path}/{key}");
                    match (found, wanted) {
                        (Some(found), Some(wanted)) => walk(&path, found, wanted),
                        (found, wanted) => Some(format!("{path}: {found:?}, not {wanted:?}")),
                    }
                })
            }
            (Value::Array(found), Value::Array(wanted)) if found.len() == wanted.len() => {
                let pairs = found.iter().zip(wanted).enumerate();
                pairs
                    .map(|(index, (found, wanted))| walk(&format!("{path}/{index}"), found, wanted))
                    .find_map(|found| found)
            }
            _ => (found != wanted).then(|| format!("{path}: {found}, not {wanted}")),
        }
    }
    walk("", found, wanted)
}
