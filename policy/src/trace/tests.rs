//! What a trace tells about one request.

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::model::Normalization;
use crate::request::{Headers, Http};
use crate::select::{Destination, Point, Switches};
use crate::{ReadOptions, Sources, read};

fn traced(spec: &str, point: Point) -> RuleTrace {
    let mut sources = Sources::new();
    let head =
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a, namespace: foo}\nspec:\n";
    sources.add("a.yaml", &format!("{head}{spec}"));
    let world = read(&sources, &ReadOptions::default()).into_world().unwrap();
    let destination = Destination { namespace: "foo".into(), ..Destination::default() };
    let selection =
        Selection { root_namespace: "root", switches: Switches::default(), destination: &destination, point };
    let here = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    let mut request = Request::new(here, here, 80).with_identity("spiffe://td/ns/a/sa/b").unwrap();
    let headers: Headers<'_> = [("authorization", "Bearer secret")].into_iter().collect();
    request.http = Some(Http::new("GET", "h", "/x?q", Normalization::Base, headers).unwrap());
    let mut trace = trace(&world, &selection, &request);
    trace.policies.remove(0).rules.remove(0).unwrap()
}

const SPEC: &str = "  rules:
  - from:
    - source: {namespaces: [z], ipBlocks: [10.0.0.0/8]}
    - source: {namespaces: [a, z]}
    to:
    - operation: {paths: [/y], notMethods: [GET]}
    when:
    - {key: 'request.headers[authorization]', values: ['*']}
";

#[test]
fn every_condition_tells_what_it_saw_and_which_value_matched() {
    let rule = traced(SPEC, Point::SidecarHttp);
    assert_eq!((rule.outcome, rule.missing), (Outcome::DoesNotMatch, 2));
    assert_eq!(rule.from.iter().map(|clause| clause.held).collect::<Vec<_>>(), [false, true]);
    let namespaces = &rule.from[1].conditions[0];
    assert_eq!(namespaces.saw.as_deref(), Some("spiffe://td/ns/a/sa/b"));
    let matched: Vec<_> = namespaces.values.iter().map(|value| (&*value.text, value.matched, value.at.line)).collect();
    assert_eq!(matched, [("a", Some(true), 8), ("z", Some(false), 8)]);
    let [methods, paths] = rule.to[0].conditions.as_slice() else { panic!("{rule:?}") };
    assert_eq!((paths.saw.as_deref(), paths.outcome), (Some("/x"), Outcome::DoesNotMatch));
    assert_eq!((methods.values[0].negated, methods.values[0].matched), (true, Some(true)));
    assert_eq!(rule.when[0].saw.as_deref(), Some("(not shown)"));
}

#[test]
fn what_a_point_cannot_enforce_is_neither_a_match_nor_none() {
    let allow = traced(SPEC, Point::SidecarTcp);
    assert_eq!(allow.outcome, Outcome::NotEnforceable(Effect::RuleDropped));
    let deny = traced(&format!("  action: DENY\n{SPEC}"), Point::SidecarTcp);
    assert_eq!((deny.outcome, deny.missing), (Outcome::Matches, 0));
    assert_eq!(deny.when[0].outcome, Outcome::NotEnforceable(Effect::ConditionDropped));
    let unknown = traced("  rules: [{when: [{key: no.such, values: [a]}]}]\n", Point::SidecarHttp);
    assert_eq!(unknown.outcome, Outcome::NotEnforceable(Effect::RuleDropped));
}
