//! What a proxy should have, and which parts of a dump are held against it.

use signet_policy::World;
use signet_policy::envoy::{
    Chain, CustomOptions, Filter, JwtOptions, RenderOptions, custom_filters, jwt_filter, local_filters,
};
use signet_policy::inspect::{Difference, Direction, EnvoyDump, Scope, compare};
use signet_policy::select::{Destination, Point, Selection, Switches};
use signet_policy::ztunnel::{Authorization, Known, authorization, converted_peer, static_strict};

use crate::policy::question::At;

/// The policies, and whom they are for.
pub(super) struct Expected {
    pub(super) world: World,
    /// `None` for a whole ztunnel.
    pub(super) destination: Option<Destination>,
    /// `NAMESPACE/NAME`, where it was named.
    pub(super) workload: Option<String>,
    pub(super) at: At,
    pub(super) keys: Option<String>,
    pub(super) in_filter_state: bool,
}

/// The places of a dump that enforce policies of the workload: chains and routes of listeners for its traffic.
///
/// Listeners for nobody's traffic in particular (admin, health) count where they decide something, or were named.
pub(super) fn scopes<'d>(dump: &'d EnvoyDump, at: At, named: &[String]) -> Result<Vec<&'d Scope>, String> {
    for name in named {
        if !dump.scopes.iter().any(|scope| scope.listener == *name) {
            return Err(format!("the dump has no listener `{name}`"));
        }
    }
    let own = if matches!(at, At::GatewayHttp | At::GatewayTcp) { Direction::Outbound } else { Direction::Inbound };
    let decides = |scope: &&Scope| !scope.deciders.is_empty();
    let deciding: std::collections::BTreeSet<&str> =
        dump.scopes.iter().filter(decides).map(|scope| scope.listener.as_str()).collect();
    let wanted = |scope: &&Scope| match named {
        [] => match scope.direction {
            Direction::Unspecified => deciding.contains(scope.listener.as_str()),
            direction => direction == own,
        },
        named => named.contains(&scope.listener),
    };
    let enforces = |scope: &&Scope| !(scope.has_routes || (scope.is_black_hole && scope.deciders.is_empty()));
    Ok(dump.scopes.iter().filter(wanted).filter(enforces).collect())
}

impl Expected {
    fn point(&self, is_http: bool) -> Point {
        match (self.at, is_http) {
            (At::SidecarHttp | At::SidecarTcp, true) => Point::SidecarHttp,
            (At::SidecarHttp | At::SidecarTcp, false) => Point::SidecarTcp,
            (At::GatewayHttp | At::GatewayTcp, true) => Point::GatewayHttp,
            (At::GatewayHttp | At::GatewayTcp, false) => Point::GatewayTcp,
            (At::Waypoint | At::Ztunnel, _) => self.at.into(),
        }
    }

    fn filters(&self, is_http: bool) -> Vec<Filter> {
        let Some(destination) = &self.destination else { return Vec::new() };
        let mesh = &self.world.mesh;
        let point = self.point(is_http);
        let selection =
            Selection { root_namespace: &mesh.root_namespace, switches: Switches::default(), destination, point };
        let policies: Vec<_> = selection.select(&self.world.authorization).into_iter().map(|(_, one)| one).collect();
        let requests: Vec<_> = selection.select(&self.world.request).into_iter().map(|(_, one)| one).collect();
        let chain = if is_http { Chain::Http } else { Chain::Tcp };
        let options =
            RenderOptions { chain, identity_in_filter_state: self.in_filter_state, trust_domains: &mesh.trust_domains };
        let custom = CustomOptions { providers: &mesh.providers, several_providers: false, services: None };
        let (mut filters, _) = custom_filters(&policies, &options, &custom);
        if is_http {
            let clears_route_cache = point != Point::SidecarHttp;
            let jwt = JwtOptions { clears_route_cache, keys: &|_| self.keys.clone() };
            filters.extend(jwt_filter(&requests, &jwt));
        }
        filters.extend(local_filters(&policies, &options));
        filters
    }

    pub(super) fn envoy(&self, scope: &Scope) -> Vec<Difference> {
        compare(&self.filters(scope.is_http), scope, self.keys.is_some())
    }

    /// Whether the policies ask for anything here.
    pub(super) fn is_wanted(&self) -> bool {
        [true, false].into_iter().any(|is_http| !self.filters(is_http).is_empty())
    }

    /// Everything that a ztunnel of the mesh should know.
    pub(super) fn sent(&self) -> Vec<Authorization> {
        let root = &*self.world.mesh.root_namespace;
        let dry_runs = Switches::default().ztunnel_dry_run;
        let policies = self.world.authorization.iter();
        let mut sent: Vec<Authorization> =
            policies.filter_map(|policy| authorization(policy, root, dry_runs).ok()).collect();
        if !self.world.peer.is_empty() {
            sent.push(static_strict(root));
        }
        sent.extend(self.world.peer.iter().filter_map(|policy| converted_peer(policy, &self.world.peer, root)));
        sent
    }

    /// Namespace and name of the workload that was named, and what it should list.
    pub(super) fn listed(&self) -> Option<(String, String, Vec<String>)> {
        let (namespace, name) = self.workload.as_ref()?.split_once('/')?;
        let known = Known::new(&self.world, Switches::default(), self.destination.as_ref()?);
        Some((namespace.to_owned(), name.to_owned(), known.listed))
    }
}
