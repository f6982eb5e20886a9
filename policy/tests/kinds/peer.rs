//! PeerAuthentications, and the modes that come of them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use signet_policy::model::{Labels, World};
use signet_policy::mtls::{Effective, effective};
use signet_policy::ztunnel::{Connection, Known};
use signet_policy::{ReadOptions, Sources, read};

use super::{Outcome, case, load, outcome};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(rename = "id")]
    _id: String,
    input: String,
    #[serde(rename = "derived")]
    _derived: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    root_namespace: String,
    workload: Workload,
    #[serde(rename = "derived")]
    _derived: Option<bool>,
    cases: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Workload {
    namespace: String,
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    policies: Vec<Policy>,
    effective_mode: Option<String>,
    #[serde(default)]
    per_port: BTreeMap<String, String>,
    sidecar: Option<BTreeMap<String, String>>,
    ambient_actual: Option<Ambient>,
    #[serde(default)]
    want_finding: Option<String>,
    #[serde(rename = "derived")]
    _derived: Option<bool>,
}

/// What ztunnel makes of the same policies.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ambient {
    workload_references: Vec<String>,
    policy_exists: Option<bool>,
    plaintext_accepted_ports: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    namespace: String,
    name: String,
    created: i64,
    selector: Option<BTreeMap<String, String>>,
    mode: Option<String>,
    #[serde(default)]
    ports: BTreeMap<String, Value>,
}

pub(super) fn run(folder: &Path, value: &Value) -> Outcome {
    let case: Case = case(value);
    let table: Table = load(folder, &case.input);
    let labels: Labels = table.workload.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut checks = 0;
    let mut complaints = Vec::new();
    for row in &table.cases {
        let world = world(row);
        let found = effective(&world.peer, &table.root_namespace, &table.workload.namespace, &labels);
        let wanted = wanted(row);
        assert!(!wanted.is_empty(), "{} wants nothing", row.id);
        checks += wanted.len();
        complaints.extend(wanted.iter().filter_map(|(port, mode)| {
            let is = mode_at(&found, port);
            (is != *mode).then(|| format!("{}: `{port}` is {is}, not {mode}", row.id))
        }));
        if let Some(ambient) = &row.ambient_actual {
            checks += PROBED.len() + 2;
            complaints.extend(check_ambient(&table, row, &world, &found, ambient));
        }
    }
    outcome(checks, complaints)
}

/// Ports that are tried: those of the rows, and one that no row names.
const PROBED: [u16; 4] = [80, 8080, 9090, 12345];

fn check_ambient(table: &Table, row: &Row, world: &World, sidecar: &Effective<'_>, wanted: &Ambient) -> Vec<String> {
    let labels = table.workload.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let namespace = &table.workload.namespace;
    let mut known = Known::default();
    known.peers(&world.peer, &table.root_namespace, namespace, &labels);
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let accepts = |port: u16| {
        let plaintext = Connection { identity: None, source_ip: here, destination_ip: here, destination_port: port };
        known.decide(namespace, &plaintext)
    };
    let mut complaints = Vec::new();
    if known.listed != wanted.workload_references {
        complaints.push(format!("{}: listed {:?}, not {:?}", row.id, known.listed, wanted.workload_references));
    }
    let exists = accepts(PROBED[0]).unknown.is_empty();
    if wanted.policy_exists.is_some_and(|wanted| wanted != exists) {
        complaints.push(format!("{}: whether the policy exists is {exists}", row.id));
    }
    let words: Vec<&str> = wanted.plaintext_accepted_ports.split([',', ' ']).collect();
    let mut differs = false;
    for port in PROBED {
        let accepted = accepts(port).allowed;
        differs |= accepted != sidecar.accepts_plaintext(port);
        // `all`, `all except 8080`, `none` or a list.
        let named = words.contains(&port.to_string().as_str());
        let should = if words.contains(&"except") { !named } else { words.first() == Some(&"all") || named };
        if accepted != should {
            complaints.push(format!("{}: plaintext on {port} is {accepted}, not {should}", row.id));
        }
    }
    if differs && row.want_finding.is_none() {
        complaints.push(format!("{}: the planes differ, and no finding is wanted", row.id));
    }
    complaints
}

/// Ports (or `default`) and the modes that are wanted there. A remark may follow the mode.
fn wanted(row: &Row) -> Vec<(String, String)> {
    let first = |text: &str| text.split(' ').next().unwrap_or_default().to_owned();
    let default = row.effective_mode.iter().map(|mode| ("default".to_owned(), first(mode)));
    let ports = row.per_port.iter().chain(row.sidecar.iter().flatten());
    default.chain(ports.map(|(port, mode)| (port.clone(), first(mode)))).collect()
}

fn mode_at(found: &Effective<'_>, port: &str) -> String {
    match port {
        "default" => found.mode.to_string(),
        port => found.at(port.parse().unwrap()).to_string(),
    }
}

fn world(row: &Row) -> World {
    let mut sources = Sources::new();
    for policy in &row.policies {
        let created = signet_identity::Timestamp::from_unix_secs(policy.created).to_string();
        let mut spec = json!({});
        if let Some(labels) = &policy.selector {
            spec["selector"] = json!({"matchLabels": labels});
        }
        if let Some(mode) = &policy.mode {
            spec["mtls"] = json!({"mode": mode});
        }
        if !policy.ports.is_empty() {
            let ports = policy.ports.iter().map(|(port, mode)| (port.clone(), json!({"mode": mode})));
            spec["portLevelMtls"] = Value::Object(ports.collect());
        }
        let metadata = json!({"name": policy.name, "namespace": policy.namespace, "creationTimestamp": created});
        let object = json!({"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication",
            "metadata": metadata, "spec": spec});
        sources.add(&row.id, &object.to_string());
    }
    read(&sources, &ReadOptions::default()).into_world().unwrap_or_else(|problems| panic!("{}: {problems:?}", row.id))
}
