//! Which keys a request has. Nothing here allocates.

use std::net::IpAddr;

use serde_json::Value;

use super::{FIELDS, Shape};
use crate::compile::key::{Key, Part, Seed, field_number, nth_segment};
use crate::identity::{SCHEME, after};
use crate::model::Field;
use crate::request::Request;

type Probe<'p> = &'p mut dyn FnMut(Key) -> bool;

/// Calls `probe` with every key of the request that the shapes know of, until it says that it has enough.
pub(super) fn all(shapes: &[Shape; FIELDS], request: &Request<'_>, probe: Probe<'_>) -> bool {
    let asked = Asked { shapes };
    asked.identity(request, probe)
        || asked.addresses(request, probe)
        || asked.http(request, probe)
        || asked.claims(request, probe)
        || asked.text(Field::Sni, request.sni, probe)
}

struct Asked<'s> {
    shapes: &'s [Shape; FIELDS],
}

impl Asked<'_> {
    fn shape(&self, field: Field) -> Option<&Shape> {
        self.shapes.get(usize::from(field_number(field))).filter(|shape| !shape.is_empty())
    }

    fn text(&self, field: Field, text: &str, probe: Probe<'_>) -> bool {
        self.shape(field).is_some_and(|shape| shape.text(|part| Seed::new(field, part), text, probe))
    }

    fn identity(&self, request: &Request<'_>, probe: Probe<'_>) -> bool {
        let Some(identity) = request.identity() else { return false };
        let name = identity.strip_prefix(SCHEME);
        if name.is_some_and(|name| self.text(Field::Principal, name, probe)) {
            return true;
        }
        if let (Some(name), Some(_)) = (name, self.shape(Field::TrustDomain)) {
            let domain = name.split_once('/').map_or(name, |(domain, _)| domain);
            if self.text(Field::TrustDomain, domain, probe) {
                return true;
            }
        }
        self.namespaces(identity, probe) || self.accounts(identity, probe)
    }

    /// The name may hold `/ns/` more than once, and a rule may mean any of them.
    fn namespaces(&self, identity: &str, probe: Probe<'_>) -> bool {
        let Some(_) = self.shape(Field::Namespace) else { return false };
        after(identity, "/ns/").any(|rest| self.text(Field::Namespace, segment(rest), probe))
    }

    fn accounts(&self, identity: &str, probe: Probe<'_>) -> bool {
        let Some(_) = self.shape(Field::ServiceAccount) else { return false };
        let seed = Seed::new(Field::ServiceAccount, Part::Whole);
        after(identity, "/ns/").any(|rest| {
            let namespace = segment(rest);
            after(rest, "/sa/").any(|rest| probe(seed.pair(namespace, segment(rest))))
        })
    }

    fn addresses(&self, request: &Request<'_>, probe: Probe<'_>) -> bool {
        let mut address = |field: Field, address: IpAddr| {
            let seed = Seed::new(field, Part::Prefix);
            self.shape(field).is_some_and(|shape| {
                let mut bits = shape.prefixes.iter().filter_map(|bits| u8::try_from(*bits).ok());
                bits.any(|bits| seed.address(address, bits).is_some_and(&mut *probe))
            })
        };
        address(Field::SourceIp, request.source_ip)
            || address(Field::RemoteIp, request.remote_ip)
            || address(Field::DestinationIp, request.destination_ip)
            || self
                .shape(Field::DestinationPort)
                .is_some_and(|_| probe(Seed::new(Field::DestinationPort, Part::Whole).port(request.destination_port)))
    }

    fn http(&self, request: &Request<'_>, probe: Probe<'_>) -> bool {
        let Some(http) = &request.http else { return false };
        let plain = self.text(Field::Path, http.path(), probe)
            || self.segments(http.path(), probe)
            || self.text(Field::Host, http.host(), probe)
            || self.text(Field::Method, http.method, probe);
        if plain {
            return true;
        }
        let Some(shape) = self.shape(Field::Header) else { return false };
        let mut header =
            |name: &str, value: &str| shape.text(|part| Seed::new(Field::Header, part).name(name), value, probe);
        let pseudo = [":method", ":authority", ":path", "host"];
        pseudo.iter().any(|name| http.header(name).is_some_and(|value| header(name, value)))
            || http.headers().iter().any(|(name, value)| header(name, value))
    }

    fn segments(&self, path: &str, probe: Probe<'_>) -> bool {
        let Some(shape) = self.shape(Field::Path) else { return false };
        let seed = Seed::new(Field::Path, Part::Segment);
        shape.segments.iter().any(|at| nth_segment(path, *at).is_some_and(|text| probe(seed.name_at(*at).text(text))))
    }

    fn claims(&self, request: &Request<'_>, probe: Probe<'_>) -> bool {
        let Some(claims) = request.claims() else { return false };
        if let Some(subject) = claims.text("sub").filter(|_| self.shape(Field::RequestPrincipal).is_some())
            && (self.text(Field::RequestPrincipal, subject, probe) || self.issuer(claims.text("iss"), probe))
        {
            return true;
        }
        let Some(shape) = self.shape(Field::Claim) else { return false };
        let names = Names { outer: None, name: "" };
        claims.as_map().iter().any(|(name, value)| claim(shape, &Names { name, ..names }, value, probe))
    }

    fn issuer(&self, issuer: Option<&str>, probe: Probe<'_>) -> bool {
        let Some(issuer) = issuer else { return false };
        let seed = |part| Seed::new(Field::RequestPrincipal, part).name("iss");
        self.shape(Field::RequestPrincipal).is_some_and(|shape| shape.text(seed, issuer, probe))
    }
}

/// The path of a claim, from the inside out.
#[derive(Clone, Copy)]
struct Names<'n> {
    outer: Option<&'n Names<'n>>,
    name: &'n str,
}

impl Names<'_> {
    fn seed(&self, seed: Seed) -> Seed {
        self.outer.map_or(seed, |outer| outer.seed(seed)).name(self.name)
    }
}

/// A token's nesting is bounded by the JSON parser that read it.
fn claim(shape: &Shape, names: &Names<'_>, value: &Value, probe: Probe<'_>) -> bool {
    let mut text = |text: &str| shape.text(|part| names.seed(Seed::new(Field::Claim, part)), text, probe);
    match value {
        Value::String(value) => text(value),
        Value::Array(items) => items.iter().filter_map(Value::as_str).any(text),
        Value::Object(inner) => {
            inner.iter().any(|(name, value)| claim(shape, &Names { outer: Some(names), name }, value, probe))
        }
        _ => false,
    }
}

fn segment(text: &str) -> &str {
    text.split_once('/').map_or(text, |(segment, _)| segment)
}

impl Shape {
    fn is_empty(&self) -> bool {
        let lists = [&self.prefixes, &self.suffixes, &self.segments];
        !self.whole && !self.there && lists.iter().all(|list| list.is_empty())
    }

    fn text(&self, seed: impl Fn(Part) -> Seed, text: &str, probe: Probe<'_>) -> bool {
        (self.whole && probe(seed(Part::Whole).text(text)))
            || (self.there && probe(seed(Part::There).there()))
            || (!self.prefixes.is_empty() && seed(Part::Prefix).prefixes(text, &self.prefixes, probe))
            || (!self.suffixes.is_empty() && seed(Part::Suffix).suffixes(text, &self.suffixes, probe))
    }
}
