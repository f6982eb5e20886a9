//! Policies and the Authorizations of ztunnel that they become, and the form of its static configuration.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use signet_policy::model::{PeerAuthentication, World};
use signet_policy::ztunnel::{Authorization, authorization, converted_peer};

use super::rbac::{differ, read_input};
use super::{Outcome, case, load, outcome};

/// A case, with what `defaults` say where it is silent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(rename = "id")]
    _id: String,
    input: String,
    want: Option<String>,
    resource: String,
    #[serde(rename = "note", default)]
    _note: String,
    root_namespace: String,
    dry_run_supported: bool,
}

pub(super) fn run(folder: &Path, defaults: &Value, value: &Value) -> Outcome {
    let mut merged = defaults.clone();
    let fields = merged.as_object_mut().expect("`defaults` is a mapping");
    fields.extend(value.as_object().expect("a case is a mapping").clone());
    let case: Case = case(&merged);
    let reading = read_input(folder, &case.input);
    let found = convert(reading.partial(), &case).map(|found| found.to_protobuf_json());
    let wanted: Option<Value> = case.want.as_ref().map(|name| load(folder, name));
    let complaint = match (&found, &wanted) {
        (Some(found), Some(wanted)) => differ(found, wanted),
        (None, None) => None,
        (found, wanted) => Some(format!("{found:?}, not {wanted:?}")),
    };
    outcome(1, complaint.into_iter().collect())
}

fn convert(world: &World, case: &Case) -> Option<Authorization> {
    let root = &case.root_namespace;
    match case.resource.as_str() {
        "AuthorizationPolicy" => {
            let [policy] = world.authorization.as_slice() else { panic!("{}: one policy", case.input) };
            authorization(policy, root, case.dry_run_supported).ok()
        }
        "PeerAuthentication" => {
            // What is asked about is the one with a selector; the others are the mesh's and the namespace's.
            let selected = |policy: &&PeerAuthentication| policy.selector.is_some();
            let policy = world.peer.iter().find(selected).or(world.peer.first()).expect("a policy");
            converted_peer(policy, &world.peer, root)
        }
        other => panic!("resource `{other}` is not known"),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigCase {
    #[serde(rename = "id")]
    _id: String,
    input: String,
    #[serde(rename = "shows")]
    _shows: String,
}

/// Every policy of a static configuration is one that a written policy becomes.
pub(super) fn config(folder: &Path, value: &Value) -> Outcome {
    let case: ConfigCase = case(value);
    let config: Value = load(folder, &case.input);
    let policies = config["policies"].as_array().expect("policies");
    let complaints = policies.iter().filter_map(|wanted| differ(&written_as(wanted).to_local_config(), wanted));
    outcome(policies.len(), complaints.collect())
}

/// The policy that a static configuration holds. Ports alone are read: what else a match may hold is not known here.
fn written_as(config: &Value) -> Authorization {
    use signet_policy::ztunnel::{Clause, Match, Pair, Rule, Scope};
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let ports = |value: &Value| -> Vec<u16> {
        list(value).iter().map(|port| u16::try_from(port.as_u64().expect("a port")).expect("a port")).collect()
    };
    let a_match = |value: &Value| {
        let mut pair = Pair::default();
        for (name, value) in value.as_object().expect("a match") {
            match name.as_str() {
                "destinationPorts" => pair.any_of = ports(value),
                "notDestinationPorts" => pair.none_of = ports(value),
                other => panic!("`{other}` of a match is not known here"),
            }
        }
        Match { destination_ports: pair, ..Match::default() }
    };
    let clause = |value: &Value| Clause { matches: list(value).iter().map(a_match).collect() };
    let rule = |value: &Value| Rule { clauses: list(value).iter().map(clause).collect() };
    Authorization {
        name: config["name"].as_str().expect("a name").to_owned(),
        namespace: config["namespace"].as_str().expect("a namespace").to_owned(),
        scope: match config["scope"].as_str() {
            Some("Global") => Scope::Global,
            Some("Namespace") => Scope::Namespace,
            Some("WorkloadSelector") => Scope::WorkloadSelector,
            other => panic!("scope {other:?} is not known"),
        },
        denies: config["action"] == "Deny",
        rules: list(&config["rules"]).iter().map(rule).collect(),
        dry_run: config["dryRun"] == true,
    }
}
