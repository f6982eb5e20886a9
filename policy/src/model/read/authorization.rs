//! Reads AuthorizationPolicy.

use super::fields::{Fields, Log, one_of};
use super::others::target;
use crate::model::{
    Action, AuthorizationPolicy, Clause, Condition, DRY_RUN, Glob, Meta, MetadataPattern, PathPattern, PatternError,
    RequestPrincipal, Rule, ServiceAccountPattern, Spotted, StringPattern, Test, Text, TrustDomainPattern, Values,
    When, Written, boolean, port,
};
use crate::source::{Node, Value};

const CLAIMS: &str = "request.auth.claims";
const HEADERS: &str = "request.headers";
const METADATA: &str = "experimental.envoy.filters.";

pub(super) fn policy(meta: Meta, spec: Option<&Node>, log: &mut Log) -> Option<AuthorizationPolicy> {
    let mut policy = AuthorizationPolicy {
        dry_run: meta.annotation(DRY_RUN).map(dry_run),
        meta,
        target: Default::default(),
        action: Action::Allow,
        provider: None,
        rules: Vec::new(),
    };
    let Some(spec) = spec.filter(|spec| spec.value != Value::Null) else { return Some(policy) };
    let mut fields = Fields::open(spec, "spec", log)?;
    policy.target = target(&mut fields, log);
    if let Some(node) = fields.take("action") {
        let all = [Action::Allow, Action::Deny, Action::Audit, Action::Custom];
        let names = all.map(|action| (action.to_string(), action));
        let names: Vec<(&str, Action)> = names.iter().map(|(name, action)| (name.as_str(), *action)).collect();
        policy.action = one_of(node, "action", &names, log)?;
    }
    if let Some(mut provider) = fields.take("provider").and_then(|node| Fields::open(node, "provider", log)) {
        policy.provider = provider.text("name", log);
        provider.finish(log);
    }
    let namespace = policy.meta.namespace.clone();
    let rules = fields.list("rules", log);
    policy.rules = rules.iter().map(|node| rule(node, &namespace, log)).collect();
    fields.finish(log);
    Some(policy)
}

fn dry_run(text: &Text) -> Spotted<Option<bool>> {
    Spotted { value: boolean(&text.value), at: text.at }
}

fn rule(node: &Node, namespace: &str, log: &mut Log) -> Option<Rule> {
    let mut fields = Fields::open(node, "rules", log)?;
    let mut clauses = |list: &str, inner: &str, read: fn(&mut Fields<'_>, &str, &mut Log) -> Vec<Condition>| {
        let items = fields.list(list, log);
        let clause = |item: &Node| {
            let mut conditions = Vec::new();
            if let Some(mut outer) = Fields::open(item, list, log) {
                if let Some(mut fields) = outer.take(inner).and_then(|node| Fields::open(node, inner, log)) {
                    conditions = read(&mut fields, namespace, log);
                    fields.finish(log);
                }
                outer.finish(log);
            }
            Clause { at: item.at, conditions }
        };
        items.iter().map(clause).collect::<Vec<Clause>>()
    };
    let from = clauses("from", "source", source);
    let to = clauses("to", "operation", operation);
    let items = fields.list("when", log);
    let when = items.iter().filter_map(|item| condition(item, namespace, log)).collect();
    let at = fields.at;
    fields.finish(log);
    Some(Rule { at, from, to, when })
}

/// Reads a field and its twin with `not`; nothing when both are absent or empty.
struct Pair<'a, 'n> {
    fields: &'a mut Fields<'n>,
    log: &'a mut Log,
    found: Vec<Condition>,
}

impl Pair<'_, '_> {
    fn read<T>(
        &mut self,
        name: &str,
        parse: &dyn Fn(&str) -> Result<T, PatternError>,
        test: impl FnOnce(Values<T>) -> Test,
    ) {
        let mut letters = name.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        let negated: String = "not".chars().chain(first).chain(letters).collect();
        let any_of = self.fields.patterns(name, parse, self.log);
        let none_of = self.fields.patterns(&negated, parse, self.log);
        let Some(at) = any_of.first().or(none_of.first()).map(|written| written.at) else { return };
        let name = Spotted { value: name.into(), at };
        self.found.push(Condition { name, test: test(Values { any_of, none_of }) });
    }
}

fn string(text: &str) -> Result<StringPattern, PatternError> {
    Ok(StringPattern::parse(text))
}

fn source(fields: &mut Fields<'_>, namespace: &str, log: &mut Log) -> Vec<Condition> {
    let account = |text: &str| ServiceAccountPattern::parse(text, namespace);
    let mut pair = Pair { fields, log, found: Vec::new() };
    pair.read("principals", &string, Test::Principal);
    pair.read("requestPrincipals", &|text| Ok(RequestPrincipal::parse(text)), Test::RequestPrincipal);
    pair.read("serviceAccounts", &account, Test::ServiceAccount);
    pair.read("trustDomains", &TrustDomainPattern::parse, Test::TrustDomain);
    pair.read("namespaces", &|text| Ok(Glob::parse(text)), Test::Namespace);
    pair.read("remoteIpBlocks", &str::parse, Test::RemoteIp);
    pair.read("ipBlocks", &str::parse, Test::SourceIp);
    pair.found
}

fn operation(fields: &mut Fields<'_>, _: &str, log: &mut Log) -> Vec<Condition> {
    let mut pair = Pair { fields, log, found: Vec::new() };
    pair.read("hosts", &string, Test::Host);
    pair.read("methods", &string, Test::Method);
    pair.read("paths", &PathPattern::parse, Test::Path);
    pair.read("ports", &port, Test::DestinationPort);
    pair.found
}

fn condition(node: &Node, namespace: &str, log: &mut Log) -> Option<When> {
    let mut fields = Fields::open(node, "when", log)?;
    let key = fields.text("key", log).unwrap_or(Spotted { value: "".into(), at: node.at });
    let any_of = fields.texts("values", log);
    let none_of = fields.texts("notValues", log);
    fields.finish(log);
    let has_values = !any_of.is_empty() || !none_of.is_empty();
    Some(match test(&key.value, Lists { any_of, none_of }, namespace) {
        Some(test) => When::Known(Condition { name: key, test }),
        None => When::Unknown { key, has_values },
    })
}

/// Both lists of `when`, not parsed yet.
struct Lists {
    any_of: Vec<Text>,
    none_of: Vec<Text>,
}

impl Lists {
    fn parse<T>(self, parse: impl Fn(&str) -> Result<T, PatternError>) -> Values<T> {
        let written = |text: Text| Written { pattern: parse(&text.value), text: text.value, at: text.at };
        Values {
            any_of: self.any_of.into_iter().map(&written).collect(),
            none_of: self.none_of.into_iter().map(&written).collect(),
        }
    }
}

fn test(key: &str, values: Lists, namespace: &str) -> Option<Test> {
    Some(match key {
        "source.ip" => Test::SourceIp(values.parse(str::parse)),
        "remote.ip" => Test::RemoteIp(values.parse(str::parse)),
        "source.namespace" => Test::Namespace(values.parse(|text| Ok(Glob::parse(text)))),
        "source.serviceAccount" => {
            Test::ServiceAccount(values.parse(|text| ServiceAccountPattern::parse(text, namespace)))
        }
        "source.principal" => Test::Principal(values.parse(string)),
        "source.trustDomain" => Test::TrustDomain(values.parse(TrustDomainPattern::parse)),
        "request.auth.principal" => Test::RequestPrincipal(values.parse(|text| Ok(RequestPrincipal::parse(text)))),
        "request.auth.audiences" => Test::Claim(vec!["aud".into()], values.parse(string)),
        "request.auth.presenter" => Test::Claim(vec!["azp".into()], values.parse(string)),
        "destination.ip" => Test::DestinationIp(values.parse(str::parse)),
        "destination.port" => Test::DestinationPort(values.parse(port)),
        "connection.sni" => Test::Sni(values.parse(string)),
        _ => return bracketed(key, values),
    })
}

/// The keys that hold a name in brackets.
fn bracketed(key: &str, values: Lists) -> Option<Test> {
    let inside = |rest: &str| rest.strip_prefix('[')?.strip_suffix(']').filter(|name| !name.is_empty()).map(Box::from);
    if let Some(rest) = key.strip_prefix(HEADERS) {
        Some(Test::Header(inside(rest)?, values.parse(string)))
    } else if let Some(rest) = key.strip_prefix(CLAIMS) {
        let whole: Box<str> = inside(rest)?;
        let names: Vec<Box<str>> = whole.split("][").map(Box::from).collect();
        let regular = names.iter().all(|name| !name.is_empty() && !name.contains(['[', ']']));
        Some(Test::Claim(if regular { names } else { vec![whole] }, values.parse(string)))
    } else if let Some(rest) = key.strip_prefix(METADATA) {
        let (filter, bracket) = rest.split_at_checked(rest.find('[')?)?;
        let filter = format!("envoy.filters.{filter}").into();
        Some(Test::Metadata { filter, key: inside(bracket)?, values: values.parse(metadata) })
    } else {
        None
    }
}

fn metadata(text: &str) -> Result<MetadataPattern, PatternError> {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    Ok(MetadataPattern { in_list: inner.is_some(), pattern: StringPattern::parse(inner.unwrap_or(text)) })
}
