//! The part of Envoy's RBAC messages that policies become, as protobuf JSON writes it.
//!
//! One type for each message, with the names of Envoy's API. Reading back refuses what is not in this part, so that two
//! trees that are equal are equal in Envoy too. Knows nothing of policies.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `envoy.config.rbac.v3.RBAC`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rules {
    /// What happens to a request that some policy matches.
    #[serde(default, skip_serializing_if = "RbacAction::is_allow")]
    pub action: RbacAction,
    /// By name. Envoy tries them in this order too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub policies: BTreeMap<String, Policy>,
}

/// `envoy.config.rbac.v3.RBAC.Action`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RbacAction {
    /// A match lets through, and nothing else does.
    #[default]
    Allow,
    /// A match refuses.
    Deny,
    /// A match is marked for the log.
    Log,
}

impl RbacAction {
    /// Whether it is the one that JSON leaves out.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    fn is_allow(&self) -> bool {
        *self == Self::Allow
    }
}

/// `envoy.config.rbac.v3.Policy`: one of the permissions, and one of the principals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// What is asked for.
    pub permissions: Vec<Permission>,
    /// Who asks.
    pub principals: Vec<Principal>,
}

/// `envoy.config.rbac.v3.Permission`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Permission {
    /// All of them.
    AndRules {
        /// The rules.
        rules: Vec<Permission>,
    },
    /// One of them.
    OrRules {
        /// The rules.
        rules: Vec<Permission>,
    },
    /// Always.
    Any(bool),
    /// A header, `:authority` and `:method` among them.
    Header(HeaderMatcher),
    /// The path without its query.
    UrlPath(PathMatcher),
    /// The path without its query, by a template.
    UriTemplate(UriTemplate),
    /// The address that the connection came in on.
    DestinationIp(CidrRange),
    /// The port that the connection came in on.
    DestinationPort(u32),
    /// Dynamic metadata.
    Metadata(MetadataMatcher),
    /// Not that.
    NotRule(Box<Permission>),
    /// The server name of the TLS handshake.
    RequestedServerName(StringMatcher),
}

/// `envoy.config.rbac.v3.Principal`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Principal {
    /// All of them.
    AndIds {
        /// The principals.
        ids: Vec<Principal>,
    },
    /// One of them.
    OrIds {
        /// The principals.
        ids: Vec<Principal>,
    },
    /// Always.
    Any(bool),
    /// A name in the certificate of the peer.
    #[serde(rename_all = "camelCase")]
    Authenticated {
        /// The pattern on it.
        principal_name: StringMatcher,
    },
    /// The peer of the TCP connection.
    DirectRemoteIp(CidrRange),
    /// The client, by whatever the listener trusts to tell it.
    RemoteIp(CidrRange),
    /// A header.
    Header(HeaderMatcher),
    /// Dynamic metadata, which is where the claims of a token are.
    Metadata(MetadataMatcher),
    /// A string that another filter left on the connection.
    #[serde(rename_all = "camelCase")]
    FilterState {
        /// Its name.
        key: String,
        /// The pattern on it.
        string_match: StringMatcher,
    },
    /// Not that.
    NotId(Box<Principal>),
}

/// `envoy.type.matcher.v3.StringMatcher`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StringMatcher {
    /// The pattern.
    #[serde(flatten)]
    pub pattern: StringMatch,
    /// Whether the case of letters does not count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignore_case: bool,
}

/// The pattern of a [`StringMatcher`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StringMatch {
    /// Equal to it.
    Exact(String),
    /// Beginning with it.
    Prefix(String),
    /// Ending with it.
    Suffix(String),
    /// All of it matches a regular expression (RE2).
    SafeRegex {
        /// The expression.
        regex: String,
    },
}

impl From<StringMatch> for StringMatcher {
    fn from(pattern: StringMatch) -> Self {
        Self { pattern, ignore_case: false }
    }
}

/// `envoy.config.route.v3.HeaderMatcher`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderMatcher {
    /// The header.
    pub name: String,
    /// The pattern on its value.
    #[serde(flatten)]
    pub matcher: HeaderMatch,
}

/// The pattern of a [`HeaderMatcher`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HeaderMatch {
    /// On the value.
    StringMatch(StringMatcher),
    /// There at all, though it be empty.
    PresentMatch(bool),
}

/// `envoy.type.matcher.v3.PathMatcher`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathMatcher {
    /// The pattern.
    pub path: StringMatcher,
}

/// `envoy.config.core.v3.TypedExtensionConfig` with a path template in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UriTemplate {
    /// The name of the extension.
    pub name: String,
    /// Its settings.
    pub typed_config: UriTemplateConfig,
}

/// The settings of Envoy's path templates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "@type", deny_unknown_fields)]
pub enum UriTemplateConfig {
    /// `envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig`.
    #[serde(
        rename = "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig",
        rename_all = "camelCase"
    )]
    Match {
        /// The template.
        path_template: String,
    },
}

/// `envoy.config.core.v3.CidrRange`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CidrRange {
    /// The address.
    pub address_prefix: String,
    /// How many of its leading bits count.
    #[serde(default)]
    pub prefix_len: u32,
}

/// `envoy.type.matcher.v3.MetadataMatcher`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetadataMatcher {
    /// The filter that wrote it.
    pub filter: String,
    /// From the outside in.
    pub path: Vec<PathSegment>,
    /// The pattern on the value.
    pub value: ValueMatcher,
}

/// One step into a structure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathSegment {
    /// The name of a field.
    pub key: String,
}

/// `envoy.type.matcher.v3.ValueMatcher`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum ValueMatcher {
    /// On a string.
    StringMatch(StringMatcher),
    /// On a list, of which one value must match.
    #[serde(rename_all = "camelCase")]
    ListMatch {
        /// The pattern on it.
        one_of: Box<ValueMatcher>,
    },
    /// One of the patterns.
    #[serde(rename_all = "camelCase")]
    OrMatch {
        /// The patterns.
        value_matchers: Vec<ValueMatcher>,
    },
}
