//! Filters that decide: what each is for, and the rules in it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::dump::text;

/// What stands before the name of a rule that asks an external service.
const CUSTOM: &str = "istio-ext-authz";

/// What a filter is for. In the order in which they decide.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Finds out whether to ask the provider of that name; or refuses, where that cannot be asked.
    Custom(String),
    /// Asks whoever was found out about, by what its rules' names begin with.
    Asks(String),
    /// Verifies tokens.
    Tokens,
    /// AUDIT.
    Audit,
    /// DENY.
    Deny,
    /// ALLOW.
    Allow,
}

impl Role {
    /// The action as policies have it.
    pub fn action(&self) -> &'static str {
        match self {
            Self::Custom(_) | Self::Asks(_) => "CUSTOM",
            Self::Tokens => "tokens",
            Self::Audit => "AUDIT",
            Self::Deny => "DENY",
            Self::Allow => "ALLOW",
        }
    }
}

/// A filter that decides, or takes part in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decider {
    /// The filter's name.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Its settings as protobuf JSON without their type; `None` where they never came.
    pub settings: Option<Value>,
}

/// One rule of an RBAC filter.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'d> {
    /// Its key.
    pub key: &'d str,
    /// Whether its result is only looked at. Of CUSTOM that is how it is found out whether to ask.
    pub watched: bool,
    /// Permissions and principals.
    pub policy: &'d Value,
}

/// What the key of a rule says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleName<'d> {
    /// Of the policy.
    pub namespace: &'d str,
    /// Of the policy.
    pub name: &'d str,
    /// Its place in the policy, as text.
    pub rule: &'d str,
}

impl<'d> RuleName<'d> {
    /// Reads `…ns[NAMESPACE]-policy[NAME]-rule[INDEX]…`, the way that Istio does.
    pub fn parse(key: &'d str) -> Option<Self> {
        let (_, rest) = key.split_once("ns[")?;
        let (rest, _) = rest.rsplit_once(']')?;
        let (rest, rule) = rest.rsplit_once("]-rule[")?;
        let (namespace, name) = rest.rsplit_once("]-policy[")?;
        [namespace, name, rule].iter().all(|part| !part.is_empty()).then_some(Self { namespace, name, rule })
    }
}

impl Decider {
    pub(super) fn is_missing(&self) -> bool {
        self.settings.is_none()
    }

    /// The part of an RBAC filter that is enforced, or the one that is watched.
    pub(super) fn part(&self, watched: bool) -> Option<&Value> {
        self.settings.as_ref()?.get(if watched { "shadowRules" } else { "rules" })
    }

    /// The rules of an RBAC filter, enforced ones first.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        [false, true].into_iter().flat_map(|watched| {
            let policies = self.part(watched).and_then(|part| part.get("policies")).and_then(Value::as_object);
            policies.into_iter().flatten().map(move |(key, policy)| Entry { key, watched, policy })
        })
    }
}

/// The settings of a filter, wherever they stand; `None` where they are to come and have not.
pub(super) fn settings<'v>(filter: &'v Value, extensions: &BTreeMap<&str, &'v Value>) -> Option<&'v Value> {
    let own = filter.get("typedConfig").or_else(|| extensions.get(text(filter, "name")).copied())?;
    // A struct in the place of the message itself.
    match own.get("value") {
        Some(inner) if text(own, "@type").ends_with("TypedStruct") => Some(inner),
        _ => Some(own),
    }
}

/// What a filter decides; `None` where it decides nothing about who may do what.
pub(super) fn decider(filter: &Value, settings: Option<&Value>) -> Option<Decider> {
    let name = text(filter, "name");
    let kind = settings.map_or("", |settings| {
        let own = filter.get("typedConfig").filter(|own| text(own, "@type").ends_with("TypedStruct"));
        own.map_or_else(|| text(settings, "@type"), |own| text(own, "typeUrl"))
    });
    let kind = kind.rsplit('/').next().unwrap_or_default();
    let role = match kind {
        "envoy.extensions.filters.http.rbac.v3.RBAC" | "envoy.extensions.filters.network.rbac.v3.RBAC" => {
            rbac(settings?)
        }
        "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz"
        | "envoy.extensions.filters.network.ext_authz.v3.ExtAuthz" => {
            let marker =
                settings?.get("filterEnabledMetadata").and_then(|wanted| wanted.pointer("/value/stringMatch/prefix"));
            Role::Asks(marker.and_then(Value::as_str).unwrap_or_default().to_owned())
        }
        "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication" => Role::Tokens,
        _ => return missing(filter, name),
    };
    let mut settings = settings?.clone();
    if let Some(fields) = settings.as_object_mut() {
        fields.remove("@type");
    }
    Some(Decider { name: name.to_owned(), role, settings: Some(settings) })
}

/// A filter that is to be sent on its own, was not, and would decide.
fn missing(filter: &Value, name: &str) -> Option<Decider> {
    let types = filter.get("configDiscovery")?.get("typeUrls")?.as_array()?;
    let decides = |kind: &str| kind.contains(".rbac.") || kind.contains(".ext_authz.") || kind.contains(".jwt_authn.");
    let is_missing = filter.get("typedConfig").is_none() && types.iter().filter_map(Value::as_str).any(decides);
    is_missing.then(|| Decider { name: name.to_owned(), role: Role::Allow, settings: None })
}

pub(super) fn rbac(settings: &Value) -> Role {
    let parts = [settings.get("rules"), settings.get("shadowRules")];
    let keys = parts.iter().flatten().filter_map(|part| part.get("policies")?.as_object()).flat_map(|all| all.keys());
    let asking = keys.filter(|key| key.starts_with(CUSTOM)).min();
    if let Some(key) = asking {
        let before = key.split_once("-ns[").map_or(key.as_str(), |(before, _)| before);
        return Role::Custom(before.to_owned());
    }
    match parts.iter().flatten().map(|part| text(part, "action")).next() {
        Some("LOG") => Role::Audit,
        Some("DENY") => Role::Deny,
        _ => Role::Allow,
    }
}
