//! What a running Envoy says of itself is found equal to the policies that it was given, and a change of one is told.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use signet_policy::{ReadOptions, Sources, read};
use signet_tests::{Envoy, Workdir, bin};

use crate::accepted::listeners;

const PATIENCE: Duration = Duration::from_secs(60);

/// Every kind of node that a policy may become, and a token issuer.
const POLICIES: &str = "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: allow, namespace: foo}
spec:
  rules:
  - from:
    - source: {principals: ['*', cluster.local/ns/a/sa/b, 'x*', '*y'], namespaces: [n1, 'n*2'], serviceAccounts: [foo/c], notIpBlocks: [10.0.0.0/8, '::1']}
    - source: {requestPrincipals: [iss/sub, '*'], remoteIpBlocks: [1.2.3.4], trustDomains: ['*.x', cluster.local]}
    to:
    - operation: {hosts: [a.example, '*.b', '*'], notMethods: [GET, 'P*', '*'], paths: [/a, '/b*', '*/c', '/{*}/x/{**}', '*']}
    when:
    - {key: 'request.headers[x-a]', values: ['1', '*']}
    - {key: 'request.auth.claims[a][b]', values: [c, d], notValues: [e]}
    - {key: request.auth.audiences, values: [aud]}
    - {key: destination.port, values: ['80']}
    - {key: connection.sni, notValues: [sni, '*']}
    - {key: destination.ip, values: [10.0.0.0/0]}
    - {key: 'experimental.envoy.filters.network.mysql_proxy[db.t]', values: ['[insert]', x]}
  - {}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny, namespace: foo}
spec: {action: DENY, rules: [{to: [{operation: {ports: ['81'], paths: [/secret]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: trial, namespace: foo, annotations: {istio.io/dry-run: 'true'}}
spec: {action: DENY, rules: [{from: [{source: {namespaces: [z]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: audit, namespace: foo}
spec: {action: AUDIT, rules: [{}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: foo}
spec: {action: CUSTOM, provider: {name: default}, rules: [{to: [{operation: {paths: ['/ask*']}}]}]}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt, namespace: foo}
spec: {jwtRules: [{issuer: me, audiences: [a], fromHeaders: [{name: x-jwt, prefix: 'p '}], outputClaimToHeaders: [{header: x-sub, claim: sub}]}]}
";
const MESH: &str =
    "extensionProviders: [{name: default, envoyExtAuthzGrpc: {service: authz.foo, port: 9000, timeout: 0.5s}}]\n";

struct Inspected {
    workdir: Workdir,
    envoy: Envoy,
}

impl Inspected {
    fn start() -> Self {
        let workdir = Workdir::new();
        let mut sources = Sources::new();
        sources.add("policies", POLICIES);
        sources.add("mesh", MESH);
        let world = read(&sources, &ReadOptions::default()).into_world().unwrap();
        let cluster = |name: &str| json!({"name": name, "type": "STATIC", "loadAssignment": {"clusterName": name}});
        let mut listeners = listeners(&world, false);
        for listener in listeners.as_array_mut().unwrap() {
            listener["trafficDirection"] = json!("INBOUND");
            listener["address"] = json!({"socketAddress": {"address": "127.0.0.1", "portValue": 0}});
        }
        let clusters = [cluster("any"), cluster("outbound|9000||authz.foo")];
        let config = json!({"static_resources": {"listeners": listeners, "clusters": clusters}});
        let mut envoy = Envoy::start(&workdir, "inspected", config);
        envoy.wait_ready(PATIENCE);
        Self { workdir, envoy }
    }

    /// The exit status and what is told about these policies.
    fn ask(&self, policies: &str) -> (Option<i32>, Value) {
        let file = self.workdir.write("policies.yaml", policies);
        let mesh = self.workdir.write("mesh.yaml", MESH);
        let mut command = Command::new(bin("signet"));
        command.args([
            "policy",
            "inspect",
            "-o",
            "json",
            "--to-namespace",
            "foo",
            "--at",
            "gateway-http",
            "--listener",
            "http",
            "--listener",
            "tcp",
        ]);
        let output = command.arg("--admin").arg(self.envoy.admin_socket()).args([file, mesh]).output().unwrap();
        let shown = serde_json::from_slice(&output.stdout);
        (output.status.code(), shown.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr))))
    }
}

#[test]
fn a_running_envoy_is_found_equal_to_its_policies_and_a_change_of_one_is_told() {
    let inspected = Inspected::start();
    let (status, shown) = inspected.ask(POLICIES);
    assert_eq!(shown["differences"], json!([]), "{shown:#}");
    assert_eq!((status, &shown["equal"], &shown["compared"]), (Some(0), &json!(true), &json!(2)));
    let in_force = shown["inForce"].as_array().unwrap();
    let names: Vec<&str> = in_force.iter().map(|one| one["policy"].as_str().unwrap()).collect();
    assert_eq!(names, ["foo/allow", "foo/audit", "foo/ask", "foo/deny", "foo/trial"]);

    for (from, to, kind, policy) in [
        ("paths: [/secret]", "paths: [/other]", "different", "foo/deny"),
        ("'true'", "'false'", "other trial", "foo/trial"),
        ("{name: audit,", "{name: audit2,", "missing", "foo/audit2"),
        ("'/ask*'", "'/asks*'", "different", "foo/ask"),
        (
            "when:\n    - {key: 'request.headers[x-a]'",
            "when:\n    - {key: 'request.headers[x-b]'",
            "different",
            "foo/allow",
        ),
    ] {
        assert!(POLICIES.contains(from), "{from}");
        let (status, shown) = inspected.ask(&POLICIES.replace(from, to));
        let told = shown["differences"].as_array().unwrap();
        let is_told = told.iter().any(|one| one["kind"] == kind && one["policy"] == policy);
        assert!(status == Some(1) && is_told, "{to}: {status:?} {shown:#}");
    }
    let (status, shown) = inspected.ask(&POLICIES.replace("audiences: [a]", "audiences: [b]"));
    assert_eq!((status, &shown["differences"][0]["action"]), (Some(1), &json!("tokens")), "{shown:#}");
}
