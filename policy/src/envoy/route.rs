//! The same decisions for chosen routes of a listener: the listener holds filters that do nothing, and each route says
//! what they do for it. A change of policy then reaches the next request of connections that are open.

use serde_json::{Map, Value, json};

use super::{Filter, FilterConfig, HTTP_RBAC, Rbac, RbacAction};

/// The filters that a listener holds, one for each action, in the order in which they decide.
///
/// Routes refer to filters by name, so each has a name of its own. Envoy knows a filter by the type of its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// AUDIT.
    Audit,
    /// DENY.
    Deny,
    /// ALLOW.
    Allow,
}

impl Slot {
    /// In the order in which they decide.
    pub const ALL: [Self; 3] = [Self::Audit, Self::Deny, Self::Allow];

    /// The name of the filter.
    pub fn name(self) -> String {
        let action = match self {
            Self::Audit => "audit",
            Self::Deny => "deny",
            Self::Allow => "allow",
        };
        format!("{HTTP_RBAC}.{action}")
    }

    /// The filter that a listener holds: it lets everything through.
    pub fn filter(self) -> Filter {
        Filter { name: self.name(), typed_config: FilterConfig::HttpRbac(Rbac::default()) }
    }

    fn of(rbac: &Rbac) -> Self {
        let action = rbac.rules.as_ref().or(rbac.shadow_rules.as_ref()).map(|rules| rules.action);
        match action {
            Some(RbacAction::Log) => Self::Audit,
            Some(RbacAction::Deny) => Self::Deny,
            Some(RbacAction::Allow) | None => Self::Allow,
        }
    }
}

/// What a route says (`typed_per_filter_config`) so that the [`Slot`] of its listener do what `filters`, those that
/// [`super::local_filters`] rendered for HTTP, would do. Other filters are passed over.
pub fn per_route(filters: &[Filter]) -> Map<String, Value> {
    let mut routes = Map::new();
    for filter in filters {
        if let FilterConfig::HttpRbac(rbac) = &filter.typed_config {
            let config = json!({
                "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute",
                "rbac": rbac,
            });
            routes.insert(Slot::of(rbac).name(), config);
        }
    }
    routes
}
