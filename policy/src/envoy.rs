//! What policies become in Envoy: the filters that Istio's control plane would send, in its order and to the letter.
//!
//! Takes policies that were already selected for a workload, oldest first. Every answer is a value that is protobuf
//! JSON when it is serialised, and the same for the same input. Where the target cannot enforce a condition, the rule
//! becomes what Istio makes of it (see `rule`); to tell that to people is not the work of this module.

mod custom;
mod ext_authz;
mod jwt;
mod local;
mod node;
mod pattern;
mod route;
mod rule;
mod scalar;
mod tree;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use custom::{CustomOptions, KnownService, custom_filters};
pub(crate) use custom::{asked, provider_name};
pub use ext_authz::ProviderError;
pub use jwt::{HTTP_JWT_AUTHN, JwtOptions, jwt_filter, jwt_per_route};
pub use local::local_filters;
pub use route::{Slot, per_route};
pub use tree::{
    CidrRange, HeaderMatch, HeaderMatcher, MetadataMatcher, PathMatcher, PathSegment, Permission, Policy, Principal,
    RbacAction, Rules, StringMatch, StringMatcher, UriTemplate, UriTemplateConfig, ValueMatcher,
};

/// The name of the RBAC filter for HTTP, which is also where its dynamic metadata stands.
pub const HTTP_RBAC: &str = "envoy.filters.http.rbac";
/// The name of the RBAC filter for connections.
pub const NETWORK_RBAC: &str = "envoy.filters.network.rbac";
/// The name of the external authorization filter for HTTP.
pub const HTTP_EXT_AUTHZ: &str = "envoy.filters.http.ext_authz";
/// The name of the external authorization filter for connections.
pub const NETWORK_EXT_AUTHZ: &str = "envoy.filters.network.ext_authz";

/// What every filter for connections is counted under.
const TCP_STAT_PREFIX: &str = "tcp.";

/// Where the filters will stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Chain {
    /// In an HTTP connection manager.
    Http,
    /// In a filter chain that knows of bytes only: conditions on HTTP cannot be enforced there.
    Tcp,
}

/// What rendering depends on beside the policies.
#[derive(Debug, Clone, Copy)]
pub struct RenderOptions<'a> {
    /// Where the filters will stand.
    pub chain: Chain,
    /// Whether the identity of the caller is what another filter left on the connection (waypoints, HBONE) and not a
    /// name in the certificate of the connection's peer.
    pub identity_in_filter_state: bool,
    /// The trust domain of the mesh, then its aliases. With none, no name is rewritten.
    pub trust_domains: &'a [Box<str>],
}

/// One filter of a chain: `name` and `typed_config`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Filter {
    /// Its name, by which routes refer to it.
    pub name: String,
    /// What it does.
    pub typed_config: FilterConfig,
}

/// The settings of a filter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "@type")]
pub enum FilterConfig {
    /// RBAC for HTTP.
    #[serde(rename = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC")]
    HttpRbac(Rbac),
    /// RBAC for connections.
    #[serde(rename = "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC")]
    NetworkRbac(Rbac),
    /// External authorization for HTTP.
    #[serde(rename = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz")]
    HttpExtAuthz(Map<String, Value>),
    /// External authorization for connections.
    #[serde(rename = "type.googleapis.com/envoy.extensions.filters.network.ext_authz.v3.ExtAuthz")]
    NetworkExtAuthz(Map<String, Value>),
    /// Verification of tokens.
    #[serde(rename = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication")]
    HttpJwtAuthn(Map<String, Value>),
}

/// The settings of an RBAC filter, of either kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rbac {
    /// What is enforced. Absent means that nothing is; rules without policies are rules all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Rules>,
    /// What is only watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow_rules: Option<Rules>,
    /// What the results of the watched rules are found under.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub shadow_rules_stat_prefix: String,
    /// What the filter is counted under, for connections.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stat_prefix: String,
}

impl Filter {
    /// The RBAC filter of a chain.
    fn rbac(chain: Chain, rbac: Rbac) -> Self {
        match chain {
            Chain::Http => Self { name: HTTP_RBAC.to_owned(), typed_config: FilterConfig::HttpRbac(rbac) },
            Chain::Tcp => {
                let rbac = Rbac { stat_prefix: TCP_STAT_PREFIX.to_owned(), ..rbac };
                Self { name: NETWORK_RBAC.to_owned(), typed_config: FilterConfig::NetworkRbac(rbac) }
            }
        }
    }
}
