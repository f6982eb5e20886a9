//! What a proxy has against what it should have: filter by filter, rule by rule, and where in a rule they part.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::dump::Scope;
use super::filters::{Decider, Role, RuleName, decider, settings};
use crate::envoy::Filter;

/// Longest value that a difference shows, in characters.
const SHOWN_MAX: usize = 80;

/// In which way something differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// It should be there and is not.
    Missing,
    /// It is there and no given policy asks for it.
    Unexpected,
    /// It is there, and says something else.
    Different,
    /// It is watched and should be enforced, or the other way round.
    Trial,
    /// Filters stand in another order.
    Order,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::Unexpected => "unexpected",
            Self::Different => "different",
            Self::Trial => "other trial",
            Self::Order => "other order",
        })
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Difference {
    /// In which way.
    pub kind: Kind,
    /// The action that it is about, as policies have it.
    pub action: &'static str,
    /// `NAMESPACE/NAME` of the policy, where it is about one.
    pub policy: Option<String>,
    /// The rule, where it is about one.
    pub rule: Option<String>,
    /// What, and where in it; a sentence without full stop.
    pub detail: String,
}

/// Every difference between a scope and the filters that were rendered for it; none where they are equal. `keys` says
/// whether the key sets of token issuers count: the control plane fetches those that no policy holds.
pub fn compare(wanted: &[Filter], scope: &Scope, keys: bool) -> Vec<Difference> {
    let wanted: Vec<Decider> = wanted.iter().filter_map(rendered).collect();
    let (wanted, found) = (effective(&wanted), effective(&scope.deciders));
    let mut told = Told { differences: Vec::new(), keys };
    let mut left: BTreeMap<&Role, Vec<&Decider>> = BTreeMap::new();
    found.iter().for_each(|decider| left.entry(&decider.role).or_default().push(decider));
    for decider in &wanted {
        let same = left.get_mut(&decider.role).filter(|same| !same.is_empty()).map(|same| same.remove(0));
        match same {
            Some(same) => told.both(decider, same),
            None => told.one(Kind::Missing, decider),
        }
    }
    left.values().flatten().for_each(|decider| told.one(Kind::Unexpected, decider));
    let order = |all: &[&Decider]| all.iter().map(|decider| decider.role.clone()).collect::<Vec<_>>();
    let (wanted, found) = (order(&wanted), order(&found));
    if told.differences.is_empty() && wanted != found {
        let names = |roles: &[Role]| roles.iter().map(Role::action).collect::<Vec<_>>().join(", ");
        let detail = format!("the filters stand as {}, wanted {}", names(&found), names(&wanted));
        told.tell(Kind::Order, "order", None, detail);
    }
    told.differences
}

fn rendered(filter: &Filter) -> Option<Decider> {
    let value = serde_json::to_value(filter).ok()?;
    decider(&value, settings(&value, &BTreeMap::new()))
}

/// Without RBAC filters that neither enforce nor watch anything. One whose settings never came is not such a one.
fn effective(deciders: &[Decider]) -> Vec<&Decider> {
    let acts = |decider: &&Decider| {
        let is_rbac = !matches!(decider.role, Role::Tokens | Role::Asks(_)) && !decider.is_missing();
        !is_rbac || [false, true].into_iter().any(|watched| decider.part(watched).is_some())
    };
    deciders.iter().filter(acts).collect()
}

struct Told {
    differences: Vec<Difference>,
    keys: bool,
}

impl Told {
    fn tell(&mut self, kind: Kind, action: &'static str, key: Option<&str>, detail: String) {
        let name = key.and_then(RuleName::parse);
        let policy = name.as_ref().map(|name| format!("{}/{}", name.namespace, name.name));
        let rule = name.map(|name| name.rule.to_owned());
        self.differences.push(Difference { kind, action, policy, rule, detail });
    }

    /// A filter that stands on one side only.
    fn one(&mut self, kind: Kind, decider: &Decider) {
        let action = decider.role.action();
        if decider.is_missing() {
            let detail = format!("the settings of the filter `{}` never came", decider.name);
            return self.tell(Kind::Different, action, None, detail);
        }
        let before = self.differences.len();
        for entry in decider.entries() {
            self.tell(kind, action, Some(entry.key), trial(entry.watched, &decider.role).to_owned());
        }
        if self.differences.len() == before {
            let what = match decider.role {
                Role::Asks(_) => "the filter that asks the external service",
                Role::Tokens => "the filter that verifies tokens",
                Role::Allow => "a filter without rules: everything is refused by it",
                _ => "a filter without rules",
            };
            self.tell(kind, action, None, what.to_owned());
        }
    }

    fn both(&mut self, wanted: &Decider, found: &Decider) {
        let (Some(want), Some(have)) = (&wanted.settings, &found.settings) else {
            return self.one(Kind::Different, found);
        };
        match wanted.role {
            Role::Tokens => self.tokens(want, have),
            Role::Asks(_) => self.whole("CUSTOM", None, want, have),
            _ => self.rules(wanted, found, want, have),
        }
    }

    fn rules(&mut self, wanted: &Decider, found: &Decider, want: &Value, have: &Value) {
        let action = wanted.role.action();
        let by_key = |decider: &'_ Decider| -> BTreeMap<String, Vec<(bool, Value)>> {
            let mut all: BTreeMap<String, Vec<(bool, Value)>> = BTreeMap::new();
            for entry in decider.entries() {
                all.entry(entry.key.to_owned()).or_default().push((entry.watched, entry.policy.clone()));
            }
            all
        };
        let (wanted_rules, found_rules) = (by_key(wanted), by_key(found));
        let keys: BTreeSet<&String> = wanted_rules.keys().chain(found_rules.keys()).collect();
        let before = self.differences.len();
        for key in keys {
            let (want, have) = (wanted_rules.get(key), found_rules.get(key));
            match (want.map(Vec::as_slice), have.map(Vec::as_slice)) {
                (Some([(wants, want)]), Some([(has, have)])) => {
                    if wants != has {
                        let detail = format!("{}, wanted {}", trial(*has, &found.role), trial(*wants, &wanted.role));
                        self.tell(Kind::Trial, action, Some(key), detail);
                    }
                    self.whole(action, Some(key), want, have);
                }
                (Some(_), None) => self.tell(Kind::Missing, action, Some(key), String::new()),
                (None, Some(rules)) => {
                    let watched = rules.iter().all(|(watched, _)| *watched);
                    let detail = trial(watched, &found.role).to_owned();
                    self.tell(Kind::Unexpected, action, Some(key), detail);
                }
                (want, have) => {
                    if want != have {
                        self.tell(Kind::Different, action, Some(key), "it stands in both parts of a filter".to_owned());
                    }
                }
            }
        }
        if self.differences.len() == before {
            self.whole(action, None, want, have);
        }
    }

    /// Each provider by its name, and then what is asked of them.
    fn tokens(&mut self, want: &Value, have: &Value) {
        let (mut want, mut have) = (want.clone(), have.clone());
        if !self.keys {
            [&mut want, &mut have].into_iter().for_each(without_keys);
        }
        let empty = Value::Object(serde_json::Map::new());
        let providers = |value: &Value| value.get("providers").unwrap_or(&empty).clone();
        let (wanted, found) = (providers(&want), providers(&have));
        for (name, provider) in wanted.as_object().into_iter().flatten() {
            match found.get(name) {
                Some(other) => self.whole("tokens", None, provider, other),
                None => self.tell(Kind::Missing, "tokens", None, issuer(provider)),
            }
        }
        let others = found.as_object().into_iter().flatten().filter(|(name, _)| wanted.get(name).is_none());
        others.for_each(|(_, provider)| self.tell(Kind::Unexpected, "tokens", None, issuer(provider)));
        if wanted == found {
            self.whole("tokens", None, &want, &have);
        }
    }

    fn whole(&mut self, action: &'static str, key: Option<&str>, want: &Value, have: &Value) {
        if let Some((at, want, have)) = parting(want, have) {
            let detail = format!("at `{at}`: {}, wanted {}", shown(have), shown(want));
            self.tell(Kind::Different, action, key, detail);
        }
    }
}

fn trial(watched: bool, role: &Role) -> &'static str {
    match (watched, role) {
        (true, Role::Custom(_)) => "it decides whether to ask",
        (true, _) => "it is a dry run",
        (false, _) => "it is enforced",
    }
}

fn issuer(provider: &Value) -> String {
    format!("the issuer `{}`", provider.get("issuer").and_then(Value::as_str).unwrap_or_default())
}

fn without_keys(config: &mut Value) {
    let providers = config.get_mut("providers").and_then(Value::as_object_mut);
    for provider in providers.into_iter().flat_map(|all| all.values_mut()).filter_map(Value::as_object_mut) {
        provider.retain(|name, _| name != "localJwks" && name != "remoteJwks");
    }
}

/// Where two trees part first, and what stands there in each; `None` is where nothing stands.
type Parting<'v> = (String, Option<&'v Value>, Option<&'v Value>);

fn parting<'v>(want: &'v Value, have: &'v Value) -> Option<Parting<'v>> {
    let below = |name: String, want: Option<&'v Value>, have: Option<&'v Value>| match (want, have) {
        (Some(want), Some(have)) => parting(want, have).map(|(at, want, have)| (join(&name, &at), want, have)),
        (want, have) => Some((name, want, have)),
    };
    match (want, have) {
        (Value::Object(wants), Value::Object(has)) => {
            let names: BTreeSet<&String> = wants.keys().chain(has.keys()).collect();
            names.into_iter().find_map(|name| below(name.clone(), wants.get(name), has.get(name)))
        }
        (Value::Array(wants), Value::Array(has)) => {
            let longer = wants.len().max(has.len());
            (0..longer).find_map(|index| below(index.to_string(), wants.get(index), has.get(index)))
        }
        (want, have) => (want != have).then(|| (String::new(), Some(want), Some(have))),
    }
}

fn join(name: &str, rest: &str) -> String {
    if rest.is_empty() { name.to_owned() } else { format!("{name}/{rest}") }
}

fn shown(value: Option<&Value>) -> String {
    let Some(value) = value else { return "nothing".to_owned() };
    let text = value.to_string();
    let short: String = text.chars().take(SHOWN_MAX).collect();
    if short.len() < text.len() { format!("`{short}…`") } else { format!("`{short}`") }
}
