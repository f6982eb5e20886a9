//! Random sets of policies, each in a mesh of its own.

use fastrand::Rng;
use serde_json::{Map, Value, json};
use signet_policy::compile::Compiled;
use signet_policy::envoy::{Chain, Filter, RenderOptions, local_filters, per_route};
use signet_policy::model::{AuthorizationPolicy, Normalization, World};
use signet_policy::select::{Destination, Point, Selection, Switches};
use signet_policy::{ReadOptions, Sources, read};

use crate::names::{OPERATION, SOURCE, WHEN, chance, one};

/// The settings of a mesh for paths.
pub(crate) const MODES: [(Normalization, &str); 4] = [
    (Normalization::None, "NONE"),
    (Normalization::Base, "BASE"),
    (Normalization::MergeSlashes, "MERGE_SLASHES"),
    (Normalization::DecodeAndMergeSlashes, "DECODE_AND_MERGE_SLASHES"),
];

const ROOT: &str = "istio-system";
const OWN: &str = "foo";

/// A set of policies.
pub(crate) struct Set {
    /// Index into [`MODES`].
    pub(crate) mode: usize,
    /// As it was written, for messages.
    pub(crate) text: String,
    pub(crate) world: World,
    pub(crate) compiled: Compiled,
    /// The same policies where bytes are all that is seen.
    pub(crate) compiled_tcp: Compiled,
    /// The filters of a listener there.
    pub(crate) filters_tcp: Vec<Filter>,
    /// What a route says about it.
    pub(crate) route: Map<String, Value>,
    /// Which of the token settings hold: none, or one of those that the listeners know.
    pub(crate) tokens: Option<usize>,
}

impl Set {
    pub(crate) fn random(rng: &mut Rng, mode: usize, ports: &[u16], token_settings: usize) -> Self {
        let policies: Vec<Value> = (0..rng.usize(1..5)).map(|index| policy(rng, index, ports)).collect();
        const DOMAINS: [&[&str]; 3] = [&["cluster.local"], &["td1", "td2"], &["td1", "cluster.local"]];
        let domains = *one(rng, &DOMAINS);
        let mesh = json!({
            "rootNamespace": ROOT, "trustDomain": domains[0], "trustDomainAliases": domains[1..],
            "pathNormalization": {"normalization": MODES[mode].1},
        });
        let tokens = chance(rng, 70).then(|| rng.usize(..token_settings));
        Self::of(mode, &policies, &mesh, tokens)
    }

    /// A set of these policies.
    pub(crate) fn of(mode: usize, policies: &[Value], mesh: &Value, tokens: Option<usize>) -> Self {
        let mut sources = Sources::new();
        let texts = policies.iter().chain([mesh]).map(|object| serde_json::to_string_pretty(object).unwrap());
        let text = texts.collect::<Vec<String>>().join("\n---\n");
        sources.add("set", &text);
        let world = read(&sources, &ReadOptions::default()).into_world().unwrap();
        let destination = Destination { namespace: OWN.into(), ..Destination::default() };
        let selection = Selection {
            root_namespace: ROOT,
            switches: Switches::default(),
            destination: &destination,
            point: Point::SidecarHttp,
        };
        let compiled = Compiled::new(&world, &selection);
        let attached: Vec<&AuthorizationPolicy> =
            selection.select(&world.authorization).into_iter().map(|(_, policy)| policy).collect();
        let options = RenderOptions {
            chain: Chain::Http,
            identity_in_filter_state: false,
            trust_domains: &world.mesh.trust_domains,
        };
        let route = per_route(&local_filters(&attached, &options));
        let filters_tcp = local_filters(&attached, &RenderOptions { chain: Chain::Tcp, ..options });
        let compiled_tcp = Compiled::new(&world, &Selection { point: Point::SidecarTcp, ..selection });
        Self { mode, text, compiled, compiled_tcp, filters_tcp, route, tokens, world }
    }
}

fn policy(rng: &mut Rng, index: usize, ports: &[u16]) -> Value {
    let action = match rng.u32(..100) {
        0..78 => "ALLOW",
        78..98 => "DENY",
        _ => "AUDIT",
    };
    let rules: Vec<Value> =
        (0..rng.usize(if action == "DENY" { 1..4 } else { 0..3 })).map(|_| rule(rng, ports)).collect();
    let namespace = if chance(rng, 20) { ROOT } else { OWN };
    let mut spec = json!({"action": action});
    if !rules.is_empty() {
        spec["rules"] = Value::Array(rules);
    }
    json!({
        "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
        "metadata": {"name": format!("p{index}"), "namespace": namespace}, "spec": spec,
    })
}

fn rule(rng: &mut Rng, ports: &[u16]) -> Value {
    let mut rule = Map::new();
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
    let operation: Vec<(&str, &[&str])> = OPERATION.iter().copied().chain([("ports", &ports[..])]).collect();
    for (list, inner, fields, percent) in [("from", "source", &SOURCE[..], 60), ("to", "operation", &operation[..], 60)]
    {
        if chance(rng, percent) {
            let clauses = (0..rng.usize(1..3)).map(|_| json!({inner: clause(rng, fields)}));
            rule.insert(list.to_owned(), clauses.collect());
        }
    }
    if chance(rng, 30) {
        let (key, values) = *one(rng, &WHEN);
        let list = if chance(rng, 25) { "notValues" } else { "values" };
        rule.insert("when".to_owned(), json!([{"key": key, list: some(rng, values)}]));
    }
    Value::Object(rule)
}

/// One field, seldom two; a field in its negated form now and then. Service accounts exclude other names.
fn clause(rng: &mut Rng, fields: &[(&str, &[&str])]) -> Value {
    let mut clause = Map::new();
    for _ in 0..if chance(rng, 25) { 2 } else { 1 } {
        let (name, values) = *one(rng, fields);
        let excludes = |key: &String| key.to_lowercase().contains("serviceaccounts");
        if !clause.is_empty() && (name == "serviceAccounts" || clause.keys().any(excludes)) {
            continue;
        }
        let (first, rest) = name.split_at(1);
        let negated = format!("not{}{rest}", first.to_uppercase());
        let name = if chance(rng, 25) { negated } else { name.to_owned() };
        clause.insert(name, json!(some(rng, values)));
    }
    Value::Object(clause)
}

fn some<'a>(rng: &mut Rng, values: &[&'a str]) -> Vec<&'a str> {
    (0..rng.usize(1..4)).map(|_| *one(rng, values)).collect()
}
