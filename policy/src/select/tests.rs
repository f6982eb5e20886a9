//! Whom policies reach, a row for each rule.

use super::*;
use crate::{ReadOptions, Sources, read};

const GATEWAY: &str = "gateway.networking.k8s.io/gateway-name";

fn policies(rows: &[(&str, &str)]) -> Vec<AuthorizationPolicy> {
    let mut sources = Sources::new();
    for (index, (namespace, spec)) in rows.iter().enumerate() {
        let head = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata:";
        sources.add("a.yaml", &format!("{head} {{name: p{index}, namespace: {namespace}}}\nspec: {spec}\n"));
    }
    read(&sources, &ReadOptions::default()).into_world().unwrap().authorization
}

#[track_caller]
fn check(rows: &[(&str, &str)], destination: &Destination, point: Point, reached: &[usize]) {
    let policies = policies(rows);
    let selection = Selection { root_namespace: "root", switches: Switches::default(), destination, point };
    let found: Vec<usize> = selection.select(&policies).iter().map(|(index, _)| *index).collect();
    assert_eq!(found, reached);
}

fn workload(namespace: &str, labels: &[(&str, &str)]) -> Destination {
    let labels = labels.iter().copied().collect();
    Destination { namespace: namespace.into(), labels, ..Destination::default() }
}

const ROWS: [(&str, &str); 8] = [
    ("foo", "{}"),
    ("foo", "{selector: {matchLabels: {app: a}}}"),
    ("foo", "{selector: {}}"),
    ("bar", "{}"),
    ("root", "{}"),
    ("root", "{selector: {matchLabels: {app: a}}}"),
    ("root", "{selector: {matchLabels: {app: b}}}"),
    ("foo", "{targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: gw}]}"),
];

#[test]
fn a_sidecar_takes_what_selects_it_from_its_namespace_and_the_root() {
    check(&ROWS, &workload("foo", &[("app", "a")]), Point::SidecarHttp, &[4, 5, 0, 1, 2]);
    check(&ROWS, &workload("foo", &[]), Point::SidecarTcp, &[4, 0, 2]);
    check(&ROWS, &workload("root", &[("app", "b")]), Point::SidecarHttp, &[4, 6]);
}

#[test]
fn ztunnel_never_enforces_an_empty_selector() {
    check(&ROWS, &workload("foo", &[("app", "a")]), Point::Ztunnel, &[4, 5, 0, 1]);
}

#[test]
fn a_gateway_takes_references_to_it_as_well() {
    let gateway = workload("foo", &[(GATEWAY, "gw"), ("app", "a")]);
    check(&ROWS, &gateway, Point::GatewayHttp, &[4, 5, 0, 1, 2, 7]);
}

#[test]
fn a_waypoint_takes_references_alone() {
    let service = |name: &str, from_service_entry| AttachedService {
        namespace: "shop".into(),
        name: name.into(),
        from_service_entry,
    };
    let waypoint = |service| Destination { is_waypoint: true, service, ..workload("foo", &[(GATEWAY, "gw")]) };
    let rows = [
        ("foo", "{}"),
        ("foo", "{targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: gw}]}"),
        ("shop", "{targetRefs: [{kind: Service, group: '', name: a}]}"),
        ("shop", "{targetRefs: [{kind: ServiceEntry, group: networking.istio.io, name: a}]}"),
        ("root", "{targetRefs: [{kind: GatewayClass, group: gateway.networking.k8s.io, name: istio-waypoint}]}"),
        ("foo", "{targetRefs: [{kind: GatewayClass, group: gateway.networking.k8s.io, name: istio-waypoint}]}"),
        ("shop", "{targetRef: {kind: Service, group: '', name: b}}"),
    ];
    check(&rows, &waypoint(None), Point::Waypoint, &[4, 1]);
    check(&rows, &waypoint(Some(service("a", false))), Point::Waypoint, &[4, 1, 2]);
    check(&rows, &waypoint(Some(service("a", true))), Point::Waypoint, &[4, 1, 3]);
    check(&rows, &waypoint(Some(service("b", false))), Point::Waypoint, &[4, 1, 6]);
}
