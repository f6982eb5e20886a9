//! Authorizations in ztunnel's own form: which connections they match, and what follows for a workload.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use signet_policy::model::{Cidr, ServiceAccountPattern, StringPattern};
use signet_policy::ztunnel::{Authorization, Clause, Connection, Known, Match, Pair, Peer, Rule, Scope};

use super::{Outcome, case, load, outcome};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(rename = "id")]
    _id: String,
    input: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    connections: BTreeMap<String, Wire>,
    #[serde(rename = "string_match_semantics")]
    _string_match_semantics: String,
    cases: Vec<Row>,
    decisions: Vec<Decided>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    identity: Option<String>,
    src: SocketAddr,
    dst: SocketAddr,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    policy: Policy,
    matches: BTreeMap<String, bool>,
    #[serde(rename = "derived")]
    _derived: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    action: String,
    rules: Vec<Vec<Vec<Matched>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
#[derive(Default)]
struct Matched {
    namespaces: Vec<Text>,
    not_namespaces: Vec<Text>,
    principals: Vec<Text>,
    not_principals: Vec<Text>,
    service_accounts: Vec<Account>,
    not_service_accounts: Vec<Account>,
    source_ips: Vec<String>,
    not_source_ips: Vec<String>,
    destination_ips: Vec<String>,
    not_destination_ips: Vec<String>,
    destination_ports: Vec<u16>,
    not_destination_ports: Vec<u16>,
}

#[derive(Deserialize)]
enum Text {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Presence(Vec<Value>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Account {
    namespace: String,
    service_account: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decided {
    id: String,
    policies: Vec<String>,
    identity: Option<String>,
    decision: String,
    reason: Option<String>,
    #[serde(rename = "derived")]
    _derived: Option<bool>,
}

pub(super) fn run(folder: &Path, value: &Value) -> Outcome {
    let case: Case = case(value);
    let table: Table = load(folder, &case.input);
    let mut checks = table.decisions.len();
    let mut complaints = Vec::new();
    for row in &table.cases {
        let policy = authorization(&row.policy);
        for (name, wanted) in &row.matches {
            let wire = table.connections.get(name).unwrap_or_else(|| panic!("{}: no connection `{name}`", row.id));
            checks += 1;
            if policy.matches(&wire.connection()) != *wanted {
                complaints.push(format!("{}: `{name}` should be {wanted}", row.id));
            }
        }
    }
    complaints.extend(table.decisions.iter().filter_map(decide));
    outcome(checks, complaints)
}

impl Wire {
    fn connection(&self) -> Connection<'_> {
        let identity = self.identity.as_ref().map(|id| Peer::parse(id).unwrap_or_else(|| panic!("{id}")));
        Connection {
            identity,
            source_ip: self.src.ip(),
            destination_ip: self.dst.ip(),
            destination_port: self.dst.port(),
        }
    }
}

fn authorization(policy: &Policy) -> Authorization {
    let clause = |matches: &Vec<Matched>| Clause { matches: matches.iter().map(matched).collect() };
    let rule = |clauses: &Vec<Vec<Matched>>| Rule { clauses: clauses.iter().map(clause).collect() };
    let denies = match policy.action.as_str() {
        "Allow" => false,
        "Deny" => true,
        other => panic!("action `{other}` is not known"),
    };
    Authorization { denies, rules: policy.rules.iter().map(rule).collect(), ..named("p", denies) }
}

fn named(name: &str, denies: bool) -> Authorization {
    Authorization {
        name: name.to_owned(),
        namespace: "ns".to_owned(),
        scope: Scope::Namespace,
        denies,
        rules: Vec::new(),
        dry_run: false,
    }
}

fn matched(row: &Matched) -> Match {
    fn map<T, U>([any_of, none_of]: [&[T]; 2], each: impl Fn(&T) -> U) -> Pair<U> {
        Pair { any_of: any_of.iter().map(&each).collect(), none_of: none_of.iter().map(&each).collect() }
    }
    let text = |text: &Text| match text {
        Text::Exact(text) => StringPattern::Exact(text.as_str().into()),
        Text::Prefix(text) => StringPattern::Prefix(text.as_str().into()),
        Text::Suffix(text) => StringPattern::Suffix(text.as_str().into()),
        Text::Presence(nothing) => {
            assert!(nothing.is_empty());
            StringPattern::Presence
        }
    };
    let account = |account: &Account| ServiceAccountPattern {
        namespace: account.namespace.as_str().into(),
        name: account.service_account.as_str().into(),
    };
    let block = |text: &String| text.parse::<Cidr>().unwrap();
    Match {
        namespaces: map([&row.namespaces, &row.not_namespaces], text),
        principals: map([&row.principals, &row.not_principals], text),
        service_accounts: map([&row.service_accounts, &row.not_service_accounts], account),
        source_ips: map([&row.source_ips, &row.not_source_ips], block),
        destination_ips: map([&row.destination_ips, &row.not_destination_ips], block),
        destination_ports: map([&row.destination_ports, &row.not_destination_ports], |port| *port),
    }
}

/// Policies of the decision rows are named in words; a word that is not known fails.
fn decide(row: &Decided) -> Option<String> {
    let mut known = Known::default();
    for words in &row.policies {
        let (dry_run, rest) = words.strip_prefix("dry-run ").map_or((false, words.as_str()), |rest| (true, rest));
        let policy = match rest.split_once(' ') {
            None if rest == "allow-all" => everything(false),
            None if rest == "deny-all" => everything(true),
            Some(("allow", name)) => of_account(name, false),
            Some(("deny", name)) => of_account(name, true),
            Some(("reference", "to a policy that was never received")) => {
                known.listed.push("ns/never-received".to_owned());
                continue;
            }
            _ => panic!("{}: policy `{words}` is not known here", row.id),
        };
        known.sent.push(Authorization { dry_run, ..policy });
    }
    let identity = row.identity.as_deref().or(Some("spiffe://td/ns/default/sa/defaultacct")).and_then(Peer::parse);
    let address: SocketAddr = "127.0.0.1:80".parse().unwrap();
    let connection = Connection {
        identity,
        source_ip: address.ip(),
        destination_ip: address.ip(),
        destination_port: address.port(),
    };
    let answer = known.decide("ns", &connection);
    let found = if answer.allowed { "allow" } else { "deny" };
    let reason = match answer.by {
        Some(by) if by.denies => "explicitly denied",
        Some(_) => "allowed by",
        None if answer.allowed => "nothing refuses",
        None => "no allow policy matched",
    };
    let differs = found != row.decision || row.reason.as_ref().is_some_and(|wanted| !wanted.contains(reason));
    differs.then(|| format!("{}: {found} ({reason}), not {} ({:?})", row.id, row.decision, row.reason))
}

fn everything(denies: bool) -> Authorization {
    Authorization { rules: vec![Rule::default()], ..named("all", denies) }
}

/// One that matches a service account of the namespace `default`.
fn of_account(name: &str, denies: bool) -> Authorization {
    let account = ServiceAccountPattern { namespace: "default".into(), name: name.into() };
    let accounts = Pair { any_of: vec![account], none_of: Vec::new() };
    let found = Match { service_accounts: accounts, ..Match::default() };
    Authorization { rules: vec![Rule { clauses: vec![Clause { matches: vec![found] }] }], ..named(name, denies) }
}
