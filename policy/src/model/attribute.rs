//! The attributes of a request that policies test, each with the patterns that fit it.
//!
//! A field of `source` or `operation` and the `when` key for the same attribute are the same [`Test`].

use super::{
    Cidr, Glob, PathPattern, PatternError, RequestPrincipal, ServiceAccountPattern, StringPattern, TrustDomainPattern,
    Values, Written,
};
use crate::source::Place;

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

    /// Each value that is a pattern as a test of its own, of which it is the only value and which is not negated.
    pub fn singles(&self) -> Vec<Single> {
        match self {
            Self::Principal(values) => singles(values, Self::Principal),
            Self::RequestPrincipal(values) => singles(values, Self::RequestPrincipal),
            Self::ServiceAccount(values) => singles(values, Self::ServiceAccount),
            Self::TrustDomain(values) => singles(values, Self::TrustDomain),
            Self::Namespace(values) => singles(values, Self::Namespace),
            Self::RemoteIp(values) => singles(values, Self::RemoteIp),
            Self::SourceIp(values) => singles(values, Self::SourceIp),
            Self::DestinationIp(values) => singles(values, Self::DestinationIp),
            Self::DestinationPort(values) => singles(values, Self::DestinationPort),
            Self::Sni(values) => singles(values, Self::Sni),
            Self::Host(values) => singles(values, Self::Host),
            Self::Method(values) => singles(values, Self::Method),
            Self::Path(values) => singles(values, Self::Path),
            Self::Header(name, values) => singles(values, |values| Self::Header(name.clone(), values)),
            Self::Claim(path, values) => singles(values, |values| Self::Claim(path.clone(), values)),
            Self::Metadata { filter, key, values } => {
                singles(values, |values| Self::Metadata { filter: filter.clone(), key: key.clone(), values })
            }
        }
    }
}

/// One value of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Single {
    /// As it was written.
    pub text: Box<str>,
    /// Where it was written.
    pub at: Place,
    /// Whether it stood among those of which none may match.
    pub negated: bool,
    /// Whether the attribute matches this value.
    pub test: Test,
}

fn singles<T: Clone>(values: &Values<T>, test: impl Fn(Values<T>) -> Test) -> Vec<Single> {
    let negated = values.none_of.iter().map(|written| (written, true));
    let all = values.any_of.iter().map(|written| (written, false)).chain(negated);
    let single = |(written, negated): (&Written<T>, bool)| Single {
        text: written.text.clone(),
        at: written.at,
        negated,
        test: test(Values { any_of: vec![written.clone()], none_of: Vec::new() }),
    };
    all.filter(|(written, _)| written.pattern.is_ok()).map(single).collect()
}
