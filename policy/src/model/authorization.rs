//! AuthorizationPolicy: rules of clauses of conditions, each condition a test of one attribute of a request.
//!
//! A rule is (any `from`) and (any `to`) and (every `when`); a clause is every condition in it; a condition is any of
//! its values and none of its negated ones. A field of `source` and the `when` key for the same attribute become the
//! same kind of [`Test`], so that everything later knows each attribute once.

use std::fmt;

use super::{
    Cidr, Glob, Meta, PathPattern, PatternError, RequestPrincipal, ServiceAccountPattern, Spotted, StringPattern,
    Target, Text, TrustDomainPattern, Values,
};
use crate::source::Place;

/// What a matching rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Action {
    /// Lets the request through, and nothing that no rule lets through.
    #[default]
    Allow,
    /// Refuses the request.
    Deny,
    /// Marks the request for the log.
    Audit,
    /// Asks an external service.
    Custom,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "ALLOW",
            Self::Deny => "DENY",
            Self::Audit => "AUDIT",
            Self::Custom => "CUSTOM",
        })
    }
}

/// One AuthorizationPolicy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationPolicy {
    /// Name, namespace, age.
    pub meta: Meta,
    /// Whom it is for.
    pub target: Target,
    /// What its rules do.
    pub action: Action,
    /// `provider.name`.
    pub provider: Option<Text>,
    /// By their index in the text; `None` is a rule that is null.
    pub rules: Vec<Option<Rule>>,
    /// The annotation `istio.io/dry-run`: its value, where it is a boolean.
    pub dry_run: Option<Spotted<Option<bool>>>,
}

impl AuthorizationPolicy {
    /// Whether the policy is only watched, never enforced. An annotation that is no boolean counts as false.
    pub fn is_dry_run(&self) -> bool {
        self.dry_run.as_ref().and_then(|dry_run| dry_run.value).unwrap_or(false)
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Where it stands.
    pub at: Place,
    /// Each `source`; none means anybody.
    pub from: Vec<Clause>,
    /// Each `operation`; none means anything.
    pub to: Vec<Clause>,
    /// Each further condition.
    pub when: Vec<When>,
}

/// One `source` or `operation`: every condition must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// Where it stands.
    pub at: Place,
    /// In the order in which proxies are told them, whatever the order in the text.
    pub conditions: Vec<Condition>,
}

/// One item of `when`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// A key that is known.
    Known(Condition),
    /// A key that is not; its rule is no rule.
    Unknown {
        /// The key.
        key: Text,
        /// Whether it had values.
        has_values: bool,
    },
}

/// A test of one attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// As people write it, for instance `paths` or `request.headers[x]`, and where.
    pub name: Text,
    /// The test.
    pub test: Test,
}

/// What may be tested, with the patterns that fit it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// The whole identity, without scheme.
    Principal(Values<StringPattern>),
    /// Issuer and subject of the token.
    RequestPrincipal(Values<RequestPrincipal>),
    /// Namespace and service account in the identity.
    ServiceAccount(Values<ServiceAccountPattern>),
    /// The trust domain in the identity.
    TrustDomain(Values<TrustDomainPattern>),
    /// The namespace in the identity.
    Namespace(Values<Glob>),
    /// The address that the proxy trusts to be the client's.
    RemoteIp(Values<Cidr>),
    /// The address at the other end of the connection.
    SourceIp(Values<Cidr>),
    /// The address that the connection came in on.
    DestinationIp(Values<Cidr>),
    /// The port that the connection came in on.
    DestinationPort(Values<u16>),
    /// The server name of the TLS handshake.
    Sni(Values<StringPattern>),
    /// `:authority`, where case does not count.
    Host(Values<StringPattern>),
    /// `:method`.
    Method(Values<StringPattern>),
    /// The normalised path without its query.
    Path(Values<PathPattern>),
    /// A header, by its name as written.
    Header(Box<str>, Values<StringPattern>),
    /// A claim of the token, by the names from the outside in. `aud` and `azp` have keys of their own.
    Claim(Vec<Box<str>>, Values<StringPattern>),
    /// Dynamic metadata of another filter.
    Metadata {
        /// The filter, with its `envoy.filters.`.
        filter: Box<str>,
        /// The key.
        key: Box<str>,
        /// The values.
        values: Values<MetadataPattern>,
    },
}

/// A pattern on dynamic metadata: on a string, or (`[v]`) on some string of a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetadataPattern {
    /// Whether the value must be a list.
    pub in_list: bool,
    /// The pattern.
    pub pattern: StringPattern,
}

/// An attribute without its patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// See [`Test::Principal`], and so on.
    Principal,
    /// Issuer and subject.
    RequestPrincipal,
    /// Namespace and service account.
    ServiceAccount,
    /// Trust domain.
    TrustDomain,
    /// Namespace.
    Namespace,
    /// Trusted client address.
    RemoteIp,
    /// Peer address.
    SourceIp,
    /// Own address.
    DestinationIp,
    /// Own port.
    DestinationPort,
    /// Server name.
    Sni,
    /// `:authority`.
    Host,
    /// `:method`.
    Method,
    /// Path.
    Path,
    /// A header.
    Header,
    /// A claim.
    Claim,
    /// Dynamic metadata.
    Metadata,
}

impl Field {
    /// Whether the attribute exists in HTTP only.
    pub fn needs_http(self) -> bool {
        matches!(self, Self::RequestPrincipal | Self::Host | Self::Method | Self::Path | Self::Header | Self::Claim)
    }

    /// Whether the attribute comes from a token.
    pub fn needs_token(self) -> bool {
        matches!(self, Self::RequestPrincipal | Self::Claim)
    }

    /// Whether the attribute speaks of the request's target, so that it stands among Envoy's permissions.
    pub fn is_permission(self) -> bool {
        use Field::{DestinationIp, DestinationPort, Host, Metadata, Method, Path, Sni};
        matches!(self, DestinationIp | DestinationPort | Sni | Host | Method | Path | Metadata)
    }
}

/// Runs `$body` with `$values` bound to the values of any test.
macro_rules! with_values {
    ($test:expr, $values:ident => $body:expr) => {
        match $test {
            Test::Principal($values) | Test::Sni($values) | Test::Host($values) | Test::Method($values) => $body,
            Test::Header(_, $values) | Test::Claim(_, $values) => $body,
            Test::RequestPrincipal($values) => $body,
            Test::ServiceAccount($values) => $body,
            Test::TrustDomain($values) => $body,
            Test::Namespace($values) => $body,
            Test::RemoteIp($values) | Test::SourceIp($values) | Test::DestinationIp($values) => $body,
            Test::DestinationPort($values) => $body,
            Test::Path($values) => $body,
            Test::Metadata { values: $values, .. } => $body,
        }
    };
}

impl Test {
    /// The attribute.
    pub fn field(&self) -> Field {
        match self {
            Self::Principal(_) => Field::Principal,
            Self::RequestPrincipal(_) => Field::RequestPrincipal,
            Self::ServiceAccount(_) => Field::ServiceAccount,
            Self::TrustDomain(_) => Field::TrustDomain,
            Self::Namespace(_) => Field::Namespace,
            Self::RemoteIp(_) => Field::RemoteIp,
            Self::SourceIp(_) => Field::SourceIp,
            Self::DestinationIp(_) => Field::DestinationIp,
            Self::DestinationPort(_) => Field::DestinationPort,
            Self::Sni(_) => Field::Sni,
            Self::Host(_) => Field::Host,
            Self::Method(_) => Field::Method,
            Self::Path(_) => Field::Path,
            Self::Header(..) => Field::Header,
            Self::Claim(..) => Field::Claim,
            Self::Metadata { .. } => Field::Metadata,
        }
    }

    /// Whether there are no values at all.
    pub fn is_empty(&self) -> bool {
        with_values!(self, values => values.is_empty())
    }

    /// Every value that is no pattern: its text, its place and why.
    pub fn broken(&self) -> Vec<(&str, Place, &PatternError)> {
        with_values!(self, values => values.broken().collect())
    }

    /// The values as they were written; first those of which one must match, then those of which none may.
    pub fn texts(&self) -> [Vec<(&str, Place)>; 2] {
        with_values!(self, values => [&values.any_of, &values.none_of].map(|list| {
            list.iter().map(|written| (&*written.text, written.at)).collect()
        }))
    }
}
