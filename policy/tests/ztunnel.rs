//! What the fixtures do not fix about what ztunnel gets: scopes, refusals, and which policy a workload lists.

// So that the linter takes the helpers here for tests, which they are.
#![cfg(test)]

use serde_json::{Value, json};
use signet_policy::model::{Labels, World};
use signet_policy::ztunnel::{Refused, authorization, converted_peer, peer_reference, static_strict};
use signet_policy::{ReadOptions, Sources, read};

fn world(objects: &[Value]) -> World {
    let mut sources = Sources::new();
    for object in objects {
        sources.add("policy", &object.to_string());
    }
    read(&sources, &ReadOptions::default()).into_world().unwrap()
}

fn object(kind: &str, namespace: &str, spec: &Value) -> Value {
    let meta = json!({"name": "p", "namespace": namespace});
    json!({"apiVersion": "security.istio.io/v1", "kind": kind, "metadata": meta, "spec": spec})
}

fn sent(namespace: &str, spec: &Value) -> Result<Value, Refused> {
    let world = world(&[object("AuthorizationPolicy", namespace, spec)]);
    authorization(&world.authorization[0], "istio-system", false).map(|sent| sent.to_protobuf_json())
}

#[test]
fn scopes_follow_the_selector_and_the_namespace() {
    let scope = |namespace: &str, spec: Value| sent(namespace, &spec).unwrap()["scope"].clone();
    assert_eq!(scope("foo", json!({})), "NAMESPACE");
    assert_eq!(scope("istio-system", json!({})), Value::Null);
    assert_eq!(scope("istio-system", json!({"selector": {}})), "WORKLOAD_SELECTOR");
}

#[test]
fn what_ztunnel_has_no_use_for_is_not_sent() {
    assert_eq!(sent("foo", &json!({"action": "AUDIT"})).unwrap_err().to_string(), "ztunnel has no action AUDIT");
    let target = json!({"targetRefs": [{"kind": "Service", "name": "a"}]});
    assert_eq!(sent("foo", &target), Err(Refused::Targeted));
    let mut dry = object("AuthorizationPolicy", "foo", &json!({}));
    dry["metadata"]["annotations"] = json!({"istio.io/dry-run": "true"});
    let world = world(&[dry]);
    assert_eq!(authorization(&world.authorization[0], "istio-system", false), Err(Refused::DryRun));
    let sent = authorization(&world.authorization[0], "istio-system", true).unwrap();
    assert_eq!(sent.to_protobuf_json()["dryRun"], true);
}

#[test]
fn a_restriction_to_trust_domains_is_lost_and_every_other_field_is_sent() {
    let source = json!({"trustDomains": ["a"], "serviceAccounts": ["sa"], "notIpBlocks": ["fe80::/10", "0.0.0.0/0"]});
    let rules = json!([{"from": [{"source": source}]}, {"from": [{"source": {"trustDomains": ["a"]}}]}, {}]);
    let sent = sent("foo", &json!({"rules": rules})).unwrap();
    let accounts = json!([{"namespace": "foo", "serviceAccount": "sa"}]);
    let blocks = json!([{"address": "/oAAAAAAAAAAAAAAAAAAAA==", "length": 10}, {"address": "AAAAAA=="}]);
    let full = json!({"serviceAccounts": accounts, "notSourceIps": blocks});
    let groups = json!([{"rules": [{"matches": [full]}]}, {"rules": [{"matches": [{}]}]}, {}]);
    assert_eq!(sent["groups"], groups);
}

#[test]
fn the_static_configuration_has_the_same_content_in_its_own_words() {
    let source = json!({"principals": ["*"], "namespaces": ["a*"], "ipBlocks": ["10.0.0.1"]});
    let spec = json!({"action": "DENY", "rules": [{"from": [{"source": source}]}]});
    let world = world(&[object("AuthorizationPolicy", "foo", &spec)]);
    let local = authorization(&world.authorization[0], "istio-system", false).unwrap().to_local_config();
    let found = json!({
        "principals": [{"presence": []}], "namespaces": [{"prefix": "a"}], "sourceIps": ["10.0.0.1/32"],
    });
    let wanted = json!({
        "name": "p", "namespace": "foo", "scope": "Namespace", "action": "Deny", "rules": [[[found]]], "dryRun": false,
    });
    assert_eq!(local, wanted);
}

/// Modes of mesh, namespace and workload, its ports, the name that is listed, and whether a policy of its own is sent.
#[track_caller]
fn check(modes: [Option<&str>; 3], ports: &[(&str, &str)], listed: Option<&str>, is_sent: bool) {
    let mut objects = Vec::new();
    for (namespace, mode) in ["istio-system", "foo"].into_iter().zip(&modes[..2]) {
        let spec = |mode: &&str| object("PeerAuthentication", namespace, &json!({"mtls": {"mode": mode}}));
        objects.extend(mode.as_ref().map(spec));
    }
    let ports: Value = ports.iter().map(|(port, mode)| ((*port).to_owned(), json!({"mode": mode}))).collect();
    let mut spec = json!({"selector": {"matchLabels": {"app": "a"}}, "portLevelMtls": ports});
    if let Some(mode) = modes[2] {
        spec["mtls"] = json!({"mode": mode});
    }
    let mut workload = object("PeerAuthentication", "foo", &spec);
    workload["metadata"]["name"] = json!("w");
    objects.push(workload);
    let world = world(&objects);
    let labels: Labels = [("app", "a")].into_iter().collect();
    let found = peer_reference(&world.peer, "istio-system", "foo", &labels);
    assert_eq!(found.as_deref(), listed, "{modes:?} {ports}");
    let converted = converted_peer(world.peer.last().unwrap(), &world.peer, "istio-system");
    assert_eq!(converted.is_some(), is_sent, "{modes:?} {ports}: {converted:?}");
}

#[test]
fn a_workload_lists_the_policy_that_its_mode_asks_for_defects_included() {
    let (shared, own) =
        (Some("istio-system/istio_converted_static_strict"), Some("foo/converted_peer_authentication_w"));
    let (strict, permissive) = (Some("STRICT"), Some("PERMISSIVE"));
    check([None, None, None], &[("80", "PERMISSIVE")], None, false);
    check([strict, None, None], &[("80", "STRICT")], shared, false);
    check([strict, permissive, None], &[("80", "PERMISSIVE")], None, false);
    check([None, None, strict], &[("80", "DISABLE")], own, true);
    check([None, None, permissive], &[("80", "STRICT")], own, true);
    check([strict, None, None], &[("80", "PERMISSIVE")], own, true);
    // What is listed and never sent lets plaintext in.
    check([strict, None, permissive], &[("80", "STRICT")], own, false);
    check([strict, Some("UNSET"), None], &[("80", "PERMISSIVE")], own, false);
    // DISABLE is not looked for under a strict parent, so the exception is void.
    check([strict, None, None], &[("80", "DISABLE")], shared, true);
}

#[test]
fn the_shared_policy_refuses_callers_without_identity() {
    let rule = json!({"rules": [{"matches": [{"notPrincipals": [{"presence": {}}]}]}]});
    assert_eq!(static_strict("istio-system").to_protobuf_json()["groups"], json!([rule]));
}
