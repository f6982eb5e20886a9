//! What is printed is read back as the same, for every policy of the fixtures' kinds that can be made up.

// So that the linter takes the helpers here for tests, which they are.
#![cfg(test)]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use signet_policy::model::World;
use signet_policy::{ReadOptions, Sources, read};

fn world(manifests: &[Value]) -> World {
    let mut sources = Sources::new();
    for manifest in manifests {
        sources.add("a.json", &manifest.to_string());
    }
    read(&sources, &ReadOptions::default()).into_world().unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn printed(world: &World) -> Vec<Value> {
    let authorization = world.authorization.iter().map(|policy| policy.to_manifest());
    let peer = world.peer.iter().map(|policy| policy.to_manifest());
    authorization.chain(peer).chain(world.request.iter().map(|policy| policy.to_manifest())).collect()
}

/// Any text, with those that mean something more often than chance has them.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z*/{}.\\[\\]-]{1,6}",
        "\\PC{1,4}",
        select(vec!["*", "yes", "80", "null", "~", "1.2.3.4/8", "/a/{**}"]).prop_map(str::to_owned)
    ]
}

/// Some of these fields, each with a value that is not empty.
fn fields(all: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let each: Vec<_> =
        all.into_iter().map(|(name, value)| proptest::option::of(value).prop_map(move |v| (name, v))).collect();
    each.prop_map(|fields| {
        let present = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(present.collect::<Map<String, Value>>())
    })
    .boxed()
}

fn texts() -> BoxedStrategy<Value> {
    vec(text(), 1..3).prop_map(|texts| json!(texts)).boxed()
}

fn one() -> BoxedStrategy<Value> {
    text().prop_map(|text| json!(text)).boxed()
}

fn some_of(item: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    vec(item, 1..3).prop_map(|items| json!(items)).boxed()
}

fn selector() -> BoxedStrategy<Value> {
    vec((text(), text()), 0..3)
        .prop_map(|labels| {
            let labels: Map<String, Value> = labels.into_iter().map(|(name, value)| (name, json!(value))).collect();
            if labels.is_empty() { json!({}) } else { json!({"matchLabels": labels}) }
        })
        .boxed()
}

fn authorization() -> BoxedStrategy<Value> {
    let of = |names: &[&'static str]| fields(names.iter().map(|name| (*name, texts())).collect());
    let source = of(&[
        "principals",
        "notPrincipals",
        "namespaces",
        "notIpBlocks",
        "serviceAccounts",
        "trustDomains",
        "requestPrincipals",
    ]);
    let operation = of(&["hosts", "notHosts", "paths", "notPaths", "ports", "methods"]);
    let keys = vec![
        "request.headers[a]",
        "request.auth.claims[a][b]",
        "request.auth.claims[a]b]",
        "source.ip",
        "connection.sni",
        "experimental.envoy.filters.a.b[c]",
    ];
    let key = select(keys).prop_map(|key| json!(key)).boxed();
    let when = (key, fields(vec![("values", texts()), ("notValues", texts())])).prop_map(|(key, mut when)| {
        when["key"] = key;
        when
    });
    let rule = fields(vec![
        ("from", some_of(source.prop_map(|fields| json!({"source": fields})).boxed())),
        ("to", some_of(operation.prop_map(|fields| json!({"operation": fields})).boxed())),
        ("when", some_of(when.boxed())),
    ]);
    let action = select(vec!["DENY", "AUDIT", "CUSTOM"]).prop_map(|action| json!(action)).boxed();
    fields(vec![("selector", selector()), ("action", action), ("rules", some_of(rule))])
}

fn peer() -> BoxedStrategy<Value> {
    let mode = || select(vec!["DISABLE", "PERMISSIVE", "STRICT"]).prop_map(|mode| json!({"mode": mode})).boxed();
    let port = select(vec!["UNSET", "DISABLE", "PERMISSIVE", "STRICT"]).prop_map(|mode| json!({"mode": mode}));
    let ports = proptest::collection::btree_map(any::<u16>().prop_map(|port| port.to_string()), port, 1..3);
    let ports = ports.prop_map(|ports| json!(ports)).boxed();
    fields(vec![("selector", selector()), ("mtls", mode()), ("portLevelMtls", ports)])
}

fn request() -> BoxedStrategy<Value> {
    let header = fields(vec![("prefix", one())]).prop_map(|mut fields| {
        fields["name"] = json!("n");
        fields
    });
    let claim = (text(), text()).prop_map(|(header, claim)| json!({"header": header, "claim": claim}));
    let rule = fields(vec![
        ("issuer", one()),
        ("audiences", texts()),
        ("jwksUri", one()),
        ("jwks", one()),
        ("fromHeaders", some_of(header.boxed())),
        ("fromParams", texts()),
        ("fromCookies", texts()),
        ("outputPayloadToHeader", one()),
        ("forwardOriginalToken", Just(json!(true)).boxed()),
        ("outputClaimToHeaders", some_of(claim.boxed())),
        ("timeout", one()),
        ("spaceDelimitedClaims", texts()),
        ("presence", select(vec!["OPTIONAL", "REQUIRED"]).prop_map(|presence| json!(presence)).boxed()),
    ]);
    fields(vec![("selector", selector()), ("jwtRules", some_of(rule))])
}

fn manifest(kind: &'static str, spec: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let metadata = fields(vec![
        ("labels", Just(json!({"a": "b"})).boxed()),
        ("annotations", text().prop_map(|text| json!({"istio.io/dry-run": text})).boxed()),
        ("creationTimestamp", Just(json!("2026-01-02T03:04:05Z")).boxed()),
    ]);
    (metadata, spec)
        .prop_map(move |(mut metadata, spec)| {
            metadata["name"] = json!("n");
            metadata["namespace"] = json!("ns");
            json!({"apiVersion": "security.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec})
        })
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn what_is_read_is_printed_as_it_was_written(
        authorization in manifest("AuthorizationPolicy", authorization()),
        peer in manifest("PeerAuthentication", peer()),
        request in manifest("RequestAuthentication", request()),
    ) {
        let manifests = [authorization, peer, request];
        prop_assert_eq!(printed(&world(&manifests)), manifests);
    }
}

#[test]
fn other_spellings_are_printed_as_the_one_that_counts() {
    let policy = |spec: Value| {
        json!({"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
            "metadata": {"name": "a", "namespace": "b"}, "spec": spec})
    };
    for (written, canonical) in [
        (json!({"action": "ALLOW", "rules": []}), json!({})),
        (json!({"rules": [null, {}]}), json!({"rules": [null, {}]})),
        (
            json!({"targetRef": {"kind": "Gateway", "name": "g"}}),
            json!({"targetRefs": [{"group": "", "kind": "Gateway", "name": "g"}]}),
        ),
    ] {
        assert_eq!(printed(&world(&[policy(written)])), [policy(canonical)]);
    }
}
