//! Routes with settings of their own for filters that decide: the most specific counts, whole.

use std::collections::BTreeMap;

use serde_json::Value;

use super::dump::{Scope, list, text};
use super::filters::{Decider, rbac};

/// Route configurations by name.
pub(super) struct Routes<'v> {
    by_name: BTreeMap<&'v str, &'v Value>,
}

/// What routes may say about filters, from the least to the most specific.
type Layers<'v> = [Option<&'v Value>; 3];

impl<'v> Routes<'v> {
    pub(super) fn new(dumps: impl Iterator<Item = &'v Value>) -> Self {
        let all = dumps.flat_map(|dump| list(dump, "staticRouteConfigs").chain(list(dump, "dynamicRouteConfigs")));
        let configs = all.filter_map(|found| found.get("routeConfig"));
        Self { by_name: configs.map(|config| (text(config, "name"), config)).collect() }
    }

    /// A scope for each route of a connection manager, if one of them has settings of its own.
    pub(super) fn scopes(&self, manager: &'v Value, chain: &Scope) -> Vec<Scope> {
        let named = manager.get("rds").map(|rds| text(rds, "routeConfigName"));
        let named = named.and_then(|name| self.by_name.get(name).copied());
        let Some(config) = manager.get("routeConfig").or(named) else { return Vec::new() };
        let mut scopes = Vec::new();
        let mut any = config.get("typedPerFilterConfig").is_some();
        for host in list(config, "virtualHosts") {
            for (number, route) in list(host, "routes").enumerate() {
                let layers = [config, host, route].map(|layer| layer.get("typedPerFilterConfig"));
                any |= layers.iter().any(Option::is_some);
                let name = match text(route, "name") {
                    "" => number.to_string(),
                    name => name.to_owned(),
                };
                let route = Some(format!("{}/{name}", text(host, "name")));
                let deciders = chain.deciders.iter().filter_map(|decider| replaced(decider, &layers)).collect();
                scopes.push(Scope { route, deciders, ..chain.clone() });
            }
        }
        if any { scopes } else { Vec::new() }
    }
}

/// The settings that turn a filter on; `None` where it is turned off.
fn turned(config: &Value) -> Option<&Value> {
    if config.get("disabled") == Some(&Value::Bool(true)) { None } else { config.get("config") }
}

/// What a filter is for a route; `None` where the route turns it off.
fn replaced(decider: &Decider, layers: &Layers<'_>) -> Option<Decider> {
    let own = layers.iter().rev().flatten().find_map(|layer| layer.get(&decider.name));
    let Some(own) = own else { return Some(decider.clone()) };
    let own = if text(own, "@type").ends_with("route.v3.FilterConfig") { turned(own)? } else { own };
    if own.get("disabled") == Some(&Value::Bool(true)) {
        return None;
    }
    let kind = text(own, "@type");
    if kind.ends_with("rbac.v3.RBACPerRoute") {
        let settings = own.get("rbac")?;
        return Some(Decider { name: decider.name.clone(), role: rbac(settings), settings: Some(settings.clone()) });
    }
    // Tokens and external authorization: the route chooses among what the filter has, which is told as it is.
    Some(Decider { name: decider.name.clone(), role: decider.role.clone(), settings: Some(own.clone()) })
}
