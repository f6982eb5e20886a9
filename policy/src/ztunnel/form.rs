//! The two forms in which people meet an Authorization: protobuf JSON with istiod's names, and ztunnel's own static
//! configuration. Empty lists and defaults are left out of both.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Authorization, Clause, Match, Pair, Rule, Scope};
use crate::model::{Cidr, ServiceAccountPattern, StringPattern};

impl Authorization {
    /// As istiod's protobuf JSON: `groups` of `rules` of `matches`.
    pub fn to_protobuf_json(&self) -> Value {
        let scope = match self.scope {
            Scope::Global => None,
            Scope::Namespace => Some("NAMESPACE"),
            Scope::WorkloadSelector => Some("WORKLOAD_SELECTOR"),
        };
        let rule = |rule: &Rule| listed("rules", rule.clauses.iter().map(protobuf_clause).collect());
        let groups: Vec<Value> = self.rules.iter().map(rule).collect();
        let fields = [
            ("name", (!self.name.is_empty()).then(|| json!(self.name))),
            ("namespace", (!self.namespace.is_empty()).then(|| json!(self.namespace))),
            ("scope", scope.map(|scope| json!(scope))),
            ("action", self.denies.then(|| json!("DENY"))),
            ("groups", (!groups.is_empty()).then_some(Value::Array(groups))),
            ("dryRun", self.dry_run.then_some(Value::Bool(true))),
        ];
        object(fields)
    }

    /// As an entry of `policies` in ztunnel's static configuration.
    pub fn to_local_config(&self) -> Value {
        let scope = match self.scope {
            Scope::Global => "Global",
            Scope::Namespace => "Namespace",
            Scope::WorkloadSelector => "WorkloadSelector",
        };
        let matches =
            |clause: &Clause| -> Vec<Value> { clause.matches.iter().map(|found| fields(found, &LOCAL)).collect() };
        let rules: Vec<Vec<Vec<Value>>> =
            self.rules.iter().map(|rule| rule.clauses.iter().map(matches).collect()).collect();
        json!({
            "name": self.name,
            "namespace": self.namespace,
            "scope": scope,
            "action": if self.denies { "Deny" } else { "Allow" },
            "rules": rules,
            "dryRun": self.dry_run,
        })
    }
}

/// What a form makes of single values.
struct Form {
    presence: fn() -> Value,
    cidr: fn(&Cidr) -> Value,
}

const PROTOBUF: Form = Form { presence: || json!({"presence": {}}), cidr: address };
const LOCAL: Form = Form {
    presence: || json!({"presence": []}),
    // With its prefix always, for the reader there takes no bare addresses.
    cidr: |cidr| json!(format!("{}/{}", cidr.address(), cidr.prefix())),
};

fn protobuf_clause(clause: &Clause) -> Value {
    listed("matches", clause.matches.iter().map(|found| fields(found, &PROTOBUF)).collect())
}

fn fields(found: &Match, form: &Form) -> Value {
    let string = |pattern: &StringPattern| match pattern {
        StringPattern::Exact(text) => json!({"exact": text}),
        StringPattern::Prefix(text) => json!({"prefix": text}),
        StringPattern::Suffix(text) => json!({"suffix": text}),
        StringPattern::Presence => (form.presence)(),
    };
    let account =
        |account: &ServiceAccountPattern| json!({"namespace": account.namespace, "serviceAccount": account.name});
    let mut object = Map::new();
    put(&mut object, ["namespaces", "notNamespaces"], &found.namespaces, string);
    put(&mut object, ["serviceAccounts", "notServiceAccounts"], &found.service_accounts, account);
    put(&mut object, ["principals", "notPrincipals"], &found.principals, string);
    put(&mut object, ["sourceIps", "notSourceIps"], &found.source_ips, form.cidr);
    put(&mut object, ["destinationIps", "notDestinationIps"], &found.destination_ips, form.cidr);
    put(&mut object, ["destinationPorts", "notDestinationPorts"], &found.destination_ports, |port| json!(port));
    Value::Object(object)
}

fn put<T>(object: &mut Map<String, Value>, names: [&str; 2], pair: &Pair<T>, form: impl Fn(&T) -> Value) {
    for (name, list) in names.into_iter().zip([&pair.any_of, &pair.none_of]) {
        if !list.is_empty() {
            object.insert(name.to_owned(), list.iter().map(&form).collect());
        }
    }
}

fn address(cidr: &Cidr) -> Value {
    let bytes = match cidr.address() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let length = (cidr.prefix() > 0).then(|| json!(cidr.prefix()));
    object([("address", Some(json!(STANDARD.encode(bytes)))), ("length", length)])
}

fn listed(name: &str, items: Vec<Value>) -> Value {
    object([(name, (!items.is_empty()).then_some(Value::Array(items)))])
}

fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let present = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(present.collect())
}
