//! One check on one attribute, as Envoy makes it.

use std::net::IpAddr;

use super::set::StringSet;
use crate::identity;
use crate::model::{
    Cidr, Glob, MetadataPattern, PathPattern, RequestPrincipal, ServiceAccountPattern, StringPattern,
    TrustDomainPattern,
};
use crate::request::{Request, strings};

/// A check: what is looked at, and whether it must match or must not.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    pub(crate) negated: bool,
    pub(crate) matcher: Matcher,
}

impl Check {
    pub(crate) fn holds(&self, request: &Request<'_>) -> bool {
        self.matcher.matches(request) != self.negated
    }
}

/// The patterns on one attribute, of which one must match.
#[derive(Debug, Clone)]
pub(crate) enum Matcher {
    /// Of an attribute that is not there yet.
    Never,
    Principal(StringSet),
    Namespace(Vec<Glob>),
    ServiceAccount(Vec<ServiceAccountPattern>),
    TrustDomain(Vec<TrustDomainPattern>),
    RequestPrincipal(Vec<RequestPrincipal>),
    SourceIp(Vec<Cidr>),
    RemoteIp(Vec<Cidr>),
    DestinationIp(Vec<Cidr>),
    /// Sorted.
    DestinationPort(Vec<u16>),
    Sni(StringSet),
    /// In lower case.
    Host(StringSet),
    Method(StringSet),
    Path(Vec<PathPattern>),
    /// The name in lower case.
    Header(Box<str>, StringSet),
    Claim(Vec<Box<str>>, StringSet),
    Metadata {
        filter: Box<str>,
        key: Box<str>,
        patterns: Vec<MetadataPattern>,
    },
}

impl Matcher {
    /// Whether the attribute is there and one of the patterns matches it.
    pub(crate) fn matches(&self, request: &Request<'_>) -> bool {
        match self {
            Self::Never => false,
            Self::Principal(set) => request.identity().is_some_and(|id| principal(set, id)),
            Self::Namespace(globs) => any(globs, request.identity(), identity::in_namespace),
            Self::ServiceAccount(accounts) => any(accounts, request.identity(), identity::is_service_account),
            Self::TrustDomain(domains) => any(domains, request.identity(), identity::in_trust_domain),
            Self::RequestPrincipal(patterns) => request_principal(patterns, request),
            Self::SourceIp(blocks) => contains(blocks, request.source_ip),
            Self::RemoteIp(blocks) => contains(blocks, request.remote_ip),
            Self::DestinationIp(blocks) => contains(blocks, request.destination_ip),
            Self::DestinationPort(ports) => ports.binary_search(&request.destination_port).is_ok(),
            Self::Sni(set) => set.matches_non_empty(request.sni),
            Self::Host(set) => request.http.as_ref().is_some_and(|http| set.matches_present(http.host())),
            Self::Method(set) => request.http.as_ref().is_some_and(|http| set.matches_present(http.method)),
            Self::Path(patterns) => request.http.as_ref().is_some_and(|http| {
                let path = http.path();
                patterns.iter().any(|pattern| pattern.matches(path))
            }),
            Self::Header(name, set) => request
                .http
                .as_ref()
                .is_some_and(|http| http.header_values(name).any(|value| set.matches_present(value))),
            Self::Claim(path, set) => {
                let value = request.claims().and_then(|claims| claims.get(path));
                value.is_some_and(|value| strings(value).any(|text| set.matches_non_empty(text)))
            }
            Self::Metadata { filter, key, patterns } => metadata(filter, key, patterns, request),
        }
    }
}

fn any<T>(patterns: &[T], identity: Option<&str>, matches: fn(&T, &str) -> bool) -> bool {
    identity.is_some_and(|identity| patterns.iter().any(|pattern| matches(pattern, identity)))
}

/// Presence is any identity, with a scheme or without; everything else is a SPIFFE id.
fn principal(set: &StringSet, identity: &str) -> bool {
    match identity.strip_prefix(identity::SCHEME) {
        Some(name) => set.matches_present(name),
        None => set.has_presence(),
    }
}

fn request_principal(patterns: &[RequestPrincipal], request: &Request<'_>) -> bool {
    let claims = request.claims();
    let Some((issuer, subject)) = claims.and_then(|claims| claims.text("iss").zip(claims.text("sub"))) else {
        return false;
    };
    let holds = |pattern: &StringPattern, value: &str| pattern.matches_non_empty(value);
    patterns.iter().any(|pattern| holds(&pattern.issuer, issuer) && holds(&pattern.subject, subject))
}

fn contains(blocks: &[Cidr], address: IpAddr) -> bool {
    blocks.iter().any(|block| block.contains(address))
}

fn metadata(filter: &str, key: &str, patterns: &[MetadataPattern], request: &Request<'_>) -> bool {
    let found = request.metadata.iter().find(|(of, name, _)| *of == filter && *name == key);
    let Some((_, _, value)) = found else { return false };
    patterns.iter().any(|pattern| {
        let list = value.as_array().filter(|_| pattern.in_list).map(Vec::as_slice).unwrap_or_default();
        let single = value.as_str().filter(|_| !pattern.in_list);
        let mut texts = single.into_iter().chain(list.iter().filter_map(serde_json::Value::as_str));
        texts.any(|text| pattern.pattern.matches_non_empty(text))
    })
}
