//! Listeners, filter chains and routes of an Envoy's dump, as far as they say who may do what.

use std::collections::BTreeMap;

use serde_json::Value;

use super::DumpError;
use super::filters::{self, Decider};
use super::routes::Routes;

/// Most filter chains and routes that are looked at.
pub const SCOPES_MAX: usize = 100_000;

/// Where a proxy sends what no chain is for.
const BLACK_HOLE: &str = "BlackHoleCluster";

/// What an Envoy says it enforces.
#[derive(Debug, Clone)]
pub struct EnvoyDump {
    /// Every filter chain, and every route of one whose routes have filters of their own.
    pub scopes: Vec<Scope>,
    /// What keeps the dump from being the whole truth, in sentences.
    pub remarks: Vec<String>,
}

/// Somewhere that requests or connections are decided about.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The listener's name, or its address.
    pub listener: String,
    /// The filter chain's name, or its number.
    pub chain: String,
    /// `VIRTUAL_HOST/ROUTE`, where the route has settings of its own.
    pub route: Option<String>,
    /// Whether the control plane sent the listener, and it did not stand in Envoy's own configuration.
    pub is_dynamic: bool,
    /// Whether it is the chain for what no other is for.
    pub is_default: bool,
    /// Whether it has routes with settings of their own: what is true of it is not true of them.
    pub has_routes: bool,
    /// Whether everything is thrown away here.
    pub is_black_hole: bool,
    /// Whose traffic it is.
    pub direction: Direction,
    /// Whether it sees HTTP.
    pub is_http: bool,
    /// What decides, in order.
    pub deciders: Vec<Decider>,
}

/// `traffic_direction` of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the workload.
    Inbound,
    /// From the workload; at a gateway everything.
    Outbound,
    /// Not said.
    Unspecified,
}

impl Scope {
    /// `LISTENER/CHAIN/ROUTE`.
    pub fn place(&self) -> String {
        let route = self.route.as_ref().map(|route| format!("/{route}")).unwrap_or_default();
        format!("{}/{}{route}", self.listener, self.chain)
    }
}

/// The items of a list; none where it is none.
pub(super) fn list<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// A text; empty where it is none.
pub(super) fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

impl EnvoyDump {
    pub(super) fn new(dump: &Value) -> Result<Self, DumpError> {
        let of = |kind: &'static str| list(dump, "configs").filter(move |config| text(config, "@type").ends_with(kind));
        let mut reader = Reader {
            routes: Routes::new(of("v3.RoutesConfigDump")),
            extensions: extensions(of("v3.EcdsConfigDump")),
            found: Self { scopes: Vec::new(), remarks: Vec::new() },
        };
        let mut any = false;
        for config in of("v3.ListenersConfigDump") {
            any = true;
            for listener in list(config, "staticListeners") {
                listener.get("listener").map_or(Ok(()), |listener| reader.listener(listener, false))?;
            }
            for listener in list(config, "dynamicListeners") {
                reader.dynamic(listener)?;
            }
        }
        if any { Ok(reader.found) } else { Err(DumpError::NoListeners) }
    }
}

/// Settings of filters that are sent on their own, by name.
fn extensions<'v>(dumps: impl Iterator<Item = &'v Value>) -> BTreeMap<&'v str, &'v Value> {
    let filters = dumps.flat_map(|dump| list(dump, "ecdsFilters")).filter_map(|found| found.get("ecdsFilter"));
    filters.filter_map(|filter| Some((text(filter, "name"), filter.get("typedConfig")?))).collect()
}

struct Reader<'v> {
    routes: Routes<'v>,
    extensions: BTreeMap<&'v str, &'v Value>,
    found: EnvoyDump,
}

impl<'v> Reader<'v> {
    fn dynamic(&mut self, listener: &'v Value) -> Result<(), DumpError> {
        let name = text(listener, "name");
        if listener.get("warmingState").is_some() {
            self.found.remarks.push(format!("listener `{name}`: a newer configuration waits and is not in force yet"));
        }
        if let Some(error) = listener.get("errorState") {
            let why = text(error, "details");
            self.found.remarks.push(format!("listener `{name}`: Envoy refused the last configuration: {why}"));
        }
        let active = listener.get("activeState").and_then(|state| state.get("listener"));
        active.map_or(Ok(()), |listener| self.listener(listener, true))
    }

    fn listener(&mut self, listener: &'v Value, is_dynamic: bool) -> Result<(), DumpError> {
        let name = match text(listener, "name") {
            "" => address(listener),
            name => name.to_owned(),
        };
        let direction = match text(listener, "trafficDirection") {
            "INBOUND" => Direction::Inbound,
            "OUTBOUND" => Direction::Outbound,
            _ => Direction::Unspecified,
        };
        let own = list(listener, "filterChains").map(|chain| (chain, false));
        let last = listener.get("defaultFilterChain").map(|chain| (chain, true));
        for (number, (chain, is_default)) in own.chain(last).enumerate() {
            let chain_name = match text(chain, "name") {
                "" => number.to_string(),
                name => name.to_owned(),
            };
            let scope = Scope {
                listener: name.clone(),
                chain: chain_name,
                route: None,
                is_dynamic,
                is_default,
                has_routes: false,
                is_black_hole: false,
                direction,
                is_http: false,
                deciders: Vec::new(),
            };
            self.chain(chain, scope)?;
        }
        Ok(())
    }

    fn chain(&mut self, chain: &'v Value, mut scope: Scope) -> Result<(), DumpError> {
        let mut manager = None;
        for filter in list(chain, "filters") {
            let config = filters::settings(filter, &self.extensions);
            if config.is_some_and(|config| text(config, "@type").ends_with("v3.HttpConnectionManager")) {
                manager = config;
            }
            scope.is_black_hole |= config.is_some_and(|config| text(config, "cluster") == BLACK_HOLE);
            scope.deciders.extend(filters::decider(filter, config));
        }
        if let Some(manager) = manager {
            scope.is_http = true;
            for filter in list(manager, "httpFilters") {
                scope.deciders.extend(filters::decider(filter, filters::settings(filter, &self.extensions)));
            }
        }
        let unknown = scope.deciders.iter().filter(|decider| decider.is_missing());
        let remarks =
            unknown.map(|decider| format!("`{}`: the settings of `{}` never came", scope.place(), decider.name));
        self.found.remarks.extend(remarks);
        let routes = manager.map(|manager| self.routes.scopes(manager, &scope)).unwrap_or_default();
        scope.has_routes = !routes.is_empty();
        self.found.scopes.push(scope);
        self.found.scopes.extend(routes);
        if self.found.scopes.len() > SCOPES_MAX { Err(DumpError::TooMany) } else { Ok(()) }
    }
}

fn address(listener: &Value) -> String {
    let Some(address) = listener.get("address") else { return "?".to_owned() };
    let pipe = address.get("pipe").map(|pipe| text(pipe, "path").to_owned());
    let socket = address.get("socketAddress").map(|socket| {
        let port = socket.get("portValue").and_then(Value::as_u64).unwrap_or_default();
        format!("{}:{port}", text(socket, "address"))
    });
    socket.or(pipe).unwrap_or_else(|| "?".to_owned())
}
