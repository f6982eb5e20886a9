//! What a set of policies does to one request: a row for each fact that people get wrong.

// So that the linter takes the helpers here for tests, which they are.
#![cfg(test)]

use std::net::{IpAddr, Ipv4Addr};

use signet_policy::compile::Effect;
use signet_policy::model::{Normalization, World};
use signet_policy::request::{Headers, Http, Request, Token};
use signet_policy::select::{Destination, Point, Selection, Switches};
use signet_policy::{Cause, Compiled, Decision, ReadOptions, Sources, Verdict, read};

const IDENTITY: &str = "spiffe://cluster.local/ns/a/sa/b";

/// Policies as `ANNOTATION|SPEC` or `SPEC`, beside a mesh configuration.
fn world(mesh: &str, policies: &[&str]) -> World {
    let mut sources = Sources::new();
    if !mesh.is_empty() {
        sources.add("mesh.yaml", mesh);
    }
    for (index, policy) in policies.iter().enumerate() {
        let (dry_run, spec) = policy.split_once('|').unwrap_or(("", policy));
        let annotations = if dry_run.is_empty() {
            String::new()
        } else {
            format!(", annotations: {{istio.io/dry-run: '{dry_run}'}}")
        };
        let head = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata:";
        sources.add("p.yaml", &format!("{head} {{name: p{index}, namespace: foo{annotations}}}\nspec: {spec}\n"));
    }
    read(&sources, &ReadOptions::default()).into_world().unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn compile(world: &World, point: Point) -> Compiled {
    let destination = Destination { namespace: "foo".into(), ..Destination::default() };
    let switches = Switches::default();
    Compiled::new(world, &Selection { root_namespace: "istio-system", switches, destination: &destination, point })
}

fn request(identity: Option<&'static str>) -> Request<'static> {
    let here = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    let request = Request::new(here, here, 8080);
    match identity {
        Some(identity) => request.with_identity(identity).unwrap(),
        None => request,
    }
}

fn with_http(mut request: Request<'static>) -> Request<'static> {
    let http = Http::new("GET", "Shop.example:8443", "/a/../admin?x", Normalization::Base, Headers::default());
    request.http = Some(http.unwrap());
    request
}

fn decide(policies: &[&str], point: Point, identity: Option<&'static str>) -> Decision {
    let request = if point.sees_http() { with_http(request(identity)) } else { request(identity) };
    compile(&world("", policies), point).decide(&request)
}

#[track_caller]
fn check(policies: &[&str], verdict: Verdict) {
    assert_eq!(decide(policies, Point::SidecarHttp, Some(IDENTITY)).verdict, verdict, "{policies:?}");
}

#[track_caller]
fn check_tcp(policies: &[&str], verdict: Verdict) {
    assert_eq!(decide(policies, Point::SidecarTcp, Some(IDENTITY)).verdict, verdict, "{policies:?}");
}

#[test]
fn policies_count_even_without_rules() {
    check(&[], Verdict::Allow);
    check(&["{}"], Verdict::Deny);
    check(&["{rules: [{}]}"], Verdict::Allow);
    check(&["{action: DENY, rules: [{}]}", "{rules: [{}]}"], Verdict::Deny);
    check(&["{action: DENY}"], Verdict::Allow);
    check(&["{rules: [null]}"], Verdict::Deny);
    check(&["{action: AUDIT, rules: [{}]}"], Verdict::Allow);
    check(&["{}", "{rules: [{}]}"], Verdict::Allow);
}

#[test]
fn dry_runs_never_decide_and_are_told_together() {
    check(&["true|{}"], Verdict::Allow);
    check(&["true|{action: DENY, rules: [{}]}"], Verdict::Allow);
    check(&["no boolean|{}"], Verdict::Deny);
    let would = |policies: &[&str]| {
        let world = world("", policies);
        compile(&world, Point::SidecarHttp).reasons(&world, &with_http(request(None))).dry_run.verdict
    };
    assert_eq!(would(&["{}"]), None);
    assert_eq!(would(&["true|{}"]), Some(Verdict::Deny));
    assert_eq!(would(&["{}", "true|{rules: [{}]}"]), Some(Verdict::Allow));
    assert_eq!(would(&["{rules: [{}]}", "true|{action: DENY, rules: [{}]}"]), Some(Verdict::Deny));
}

#[test]
fn plaintext_satisfies_every_negated_identity() {
    let negative = "{rules: [{from: [{source: {notPrincipals: [cluster.local/ns/x/sa/y]}}]}]}";
    assert_eq!(decide(&[negative], Point::SidecarHttp, None).verdict, Verdict::Allow);
    let no_plaintext = "{action: DENY, rules: [{from: [{source: {notPrincipals: ['*']}}]}]}";
    assert_eq!(decide(&[no_plaintext], Point::SidecarHttp, None).verdict, Verdict::Deny);
    check(&[no_plaintext], Verdict::Allow);
}

#[test]
fn hosts_have_ports_and_no_case_and_paths_are_normal_without_query() {
    let to = |operation: &str| format!("{{rules: [{{to: [{{operation: {{{operation}}}}}]}}]}}");
    check(&[&to("hosts: [shop.example]")], Verdict::Deny);
    check(&[&to("hosts: ['sHop.example:*']")], Verdict::Allow);
    check(&[&to("paths: [/admin]")], Verdict::Allow);
    check(&[&to("paths: [/ADMIN]")], Verdict::Deny);
    check(&[&to("notPaths: [/admin]")], Verdict::Deny);
}

#[test]
fn where_bytes_are_seen_allow_shrinks_and_deny_grows() {
    let rule = "rules: [{to: [{operation: {paths: [/other], ports: ['8080']}}]}]";
    check_tcp(&[&format!("{{{rule}}}")], Verdict::Deny);
    check_tcp(&[&format!("{{action: DENY, {rule}}}")], Verdict::Deny);
    check(&[&format!("{{action: DENY, {rule}}}")], Verdict::Allow);
    let http_only = "{action: DENY, rules: [{to: [{operation: {methods: [POST]}}]}]}";
    check_tcp(&[http_only], Verdict::Deny);
    check(&[http_only], Verdict::Allow);
}

#[test]
fn what_nobody_can_read_is_dropped_and_told() {
    let world = world("", &["{action: DENY, rules: [{when: [{key: no.such, values: [a]}]}]}"]);
    let compiled = compile(&world, Point::SidecarHttp);
    assert_eq!(compiled.decide(&with_http(request(None))).verdict, Verdict::Allow);
    let told: Vec<_> = compiled.unenforceable().iter().map(|told| (&*told.subject, told.effect)).collect();
    assert_eq!(told, [("no.such", Effect::RuleDropped)]);
    check(&["{action: DENY, rules: [{from: [{source: {ipBlocks: [x, 10.0.0.0/8]}}]}]}"], Verdict::Deny);
    check(&["{rules: [{from: [{source: {ipBlocks: [x, 10.0.0.0/8]}}]}]}"], Verdict::Deny);
    check(&["{action: DENY, rules: [{from: [{source: {notIpBlocks: [x]}}]}]}"], Verdict::Deny);
}

#[test]
fn the_mesh_is_known_by_each_of_its_names() {
    let rule = "{rules: [{from: [{source: {principals: [cluster.local/ns/a/sa/b]}}]}]}";
    let mesh = "trustDomain: new\ntrustDomainAliases: [old]\n";
    for (identity, verdict) in [
        ("spiffe://new/ns/a/sa/b", Verdict::Allow),
        ("spiffe://old/ns/a/sa/b", Verdict::Allow),
        ("spiffe://cluster.local/ns/a/sa/b", Verdict::Deny),
        ("spiffe://other/ns/a/sa/b", Verdict::Deny),
    ] {
        let found = compile(&world(mesh, &[rule]), Point::SidecarHttp).decide(&with_http(request(Some(identity))));
        assert_eq!(found.verdict, verdict, "{identity}");
    }
}

#[test]
fn a_provider_is_asked_first_or_its_requests_are_refused() {
    let mesh = "extensionProviders:\n- {name: web, envoyExtAuthzHttp: {service: a, port: 80}}\n\
                - {name: grpc, envoyExtAuthzGrpc: {service: a, port: 80}}\n- {name: log, zipkin: {}}\n\
                - {name: bad, envoyExtAuthzGrpc: {service: a, port: 0}}\n";
    let custom = |name: &str| format!("{{action: CUSTOM, provider: {{name: {name}}}, rules: [{{}}]}}");
    let found = |names: &[&str], point: Point| {
        let policies: Vec<String> = names.iter().map(|name| custom(name)).collect();
        let policies: Vec<&str> = policies.iter().map(String::as_str).collect();
        let request = if point.sees_http() { with_http(request(None)) } else { request(None) };
        let found = compile(&world(mesh, &policies), point).decide(&request);
        (found.verdict, found.asks.is_some())
    };
    assert_eq!(found(&["web"], Point::SidecarHttp), (Verdict::Allow, true));
    assert_eq!(found(&["grpc"], Point::SidecarTcp), (Verdict::Allow, true));
    assert_eq!(found(&["web"], Point::SidecarTcp), (Verdict::Allow, false), "nothing is enforced there, and told");
    assert_eq!(found(&["none"], Point::SidecarHttp), (Verdict::Deny, false));
    assert_eq!(found(&["log"], Point::SidecarHttp), (Verdict::Deny, false));
    for point in [Point::SidecarHttp, Point::SidecarTcp] {
        assert_eq!(found(&["bad"], point), (Verdict::Deny, false), "its settings are none: Envoy is told to refuse");
    }
    assert_eq!(found(&["web", "grpc"], Point::SidecarHttp), (Verdict::Deny, false), "one provider is all there may be");
}

#[test]
fn a_refused_token_ends_the_request_where_http_is_seen() {
    let world = world("", &["{rules: [{}]}"]);
    let mut refused = with_http(request(None));
    refused.token = Token::Refused;
    let found = compile(&world, Point::SidecarHttp).decide(&refused);
    assert_eq!((found.verdict, found.cause), (Verdict::Deny, Cause::TokenRefused));
    assert_eq!(compile(&world, Point::SidecarTcp).decide(&refused).verdict, Verdict::Allow);
}

#[test]
fn a_request_without_http_is_not_quietly_allowed_where_http_is_seen() {
    let found = compile(&world("", &["{rules: [{}]}"]), Point::Waypoint).decide(&request(None));
    assert_eq!((found.verdict, found.cause), (Verdict::Undecided, Cause::NoHttp));
}
