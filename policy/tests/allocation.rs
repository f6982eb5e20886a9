//! A decision copies nothing: it stands in the way of every request.

// So that the linter takes the helpers here for tests, which they are.
#![cfg(test)]

use std::net::{IpAddr, Ipv4Addr};

use allocation_counter::measure;
use serde_json::json;
use signet_policy::model::Normalization;
use signet_policy::request::{Claims, Headers, Http, Request, Token};
use signet_policy::select::{Destination, Point, Selection, Switches};
use signet_policy::{Compiled, ReadOptions, Sources, read};

const POLICIES: &str = "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny, namespace: foo}
spec:
  action: DENY
  rules:
  - from: [{source: {notNamespaces: [a, 'b*c'], ipBlocks: [10.0.0.0/8]}}]
    to: [{operation: {paths: ['/admin/{*}/x', '*/secret'], hosts: [Example.com]}}]
  - when: [{key: 'request.auth.claims[groups]', values: [bad, 'x*']}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: allow, namespace: foo}
spec:
  rules:
  - from: [{source: {principals: ['*/sa/web'], requestPrincipals: ['i/*'], serviceAccounts: [a/web], trustDomains: [td]}}]
    to: [{operation: {methods: [GET], ports: ['80'], paths: ['/api/*']}}]
    when:
    - {key: 'request.headers[x-a]', values: ['*b']}
    - {key: connection.sni, values: ['*']}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: audit, namespace: foo}
spec: {action: AUDIT, rules: [{}]}
";

#[test]
fn deciding_allocates_nothing() {
    let mut sources = Sources::new();
    sources.add("p.yaml", POLICIES);
    let world = read(&sources, &ReadOptions::default()).into_world().unwrap();
    let destination = Destination { namespace: "foo".into(), ..Destination::default() };
    let claims = json!({"iss": "i", "sub": "s", "groups": ["good", "better"], "n": {"m": "x"}});
    let claims = Claims::new(claims.as_object().unwrap().clone(), &[]);
    let here = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    for point in [Point::SidecarHttp, Point::SidecarTcp] {
        let switches = Switches::default();
        let compiled =
            Compiled::new(&world, &Selection { root_namespace: "root", switches, destination: &destination, point });
        for path in ["/api/x?q", "/admin/a/x", "/none"] {
            let headers: Headers<'_> = [("x-a", "ab")].into_iter().collect();
            let mut request = Request::new(here, here, 80).with_identity("spiffe://td/ns/a/sa/web").unwrap();
            request.sni = "a";
            request.token = Token::Verified(&claims);
            request.http = Some(Http::new("GET", "EXAMPLE.com", path, Normalization::Base, headers).unwrap());
            let allocations = measure(|| {
                std::hint::black_box(compiled.decide(&request));
            });
            assert_eq!(allocations.count_total, 0, "{point:?} {path}");
        }
    }
    let counted = measure(|| drop(std::hint::black_box(vec![1_u8])));
    assert_eq!(counted.count_total, 1, "allocations are not counted");
}
