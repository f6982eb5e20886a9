//! Dumps as proxies give them, held against what policies become.

use serde_json::{Value, json};

use super::*;
use crate::envoy::{Chain, RenderOptions, local_filters, per_route};
use crate::ztunnel::authorization;
use crate::{ReadOptions, Sources, World, read};

fn world(specs: &[&str]) -> World {
    let mut sources = Sources::new();
    for (index, spec) in specs.iter().enumerate() {
        let name = char::from(b'a' + u8::try_from(index).unwrap());
        let text = format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}, namespace: foo}}\nspec: {spec}\n"
        );
        sources.add("a.yaml", &text);
    }
    read(&sources, &ReadOptions::default()).into_world().unwrap()
}

fn rendered(specs: &[&str], chain: Chain) -> Vec<crate::envoy::Filter> {
    let world = world(specs);
    let options = RenderOptions { chain, identity_in_filter_state: false, trust_domains: &[] };
    local_filters(&world.authorization.iter().collect::<Vec<_>>(), &options)
}

const MANAGER: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

fn dump(http_filters: &Value, route: &Value) -> Value {
    let manager = json!({"@type": MANAGER, "http_filters": http_filters, "route_config": {"name": "r", "virtual_hosts": [
        {"name": "v", "routes": [{"match": {"prefix": "/"}, "typed_per_filter_config": route}]},
    ]}});
    let chain = json!({"name": "c", "filters": [{"name": "http", "typed_config": manager}]});
    let listener = json!({"name": "l", "traffic_direction": "INBOUND", "filter_chains": [chain]});
    json!({"configs": [{
        "@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump",
        "dynamic_listeners": [{"name": "l", "active_state": {"listener": listener}}],
    }]})
}

/// Names of fields as Envoy's admin interface has them.
fn snake(value: Value) -> Value {
    let name = |name: String| {
        let upper = |letter: char| match letter.is_ascii_uppercase() {
            true => format!("_{}", letter.to_ascii_lowercase()),
            false => letter.to_string(),
        };
        if name.starts_with(['@', '_']) || name.contains('[') { name } else { name.chars().map(upper).collect() }
    };
    match value {
        Value::Array(items) => items.into_iter().map(snake).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (name(key), snake(value))).collect(),
        value => value,
    }
}

fn envoy(value: &Value) -> EnvoyDump {
    match Dump::parse(&value.to_string()).unwrap() {
        Dump::Envoy(dump) => dump,
        Dump::Ztunnel(dump) => panic!("{dump:?}"),
    }
}

fn told(differences: &[Difference]) -> Vec<String> {
    let one = |one: &Difference| {
        let policy = one.policy.as_deref().unwrap_or("-");
        let rule = one.rule.as_deref().unwrap_or("-");
        format!("{} {} {policy} {rule} {}", one.kind, one.action, one.detail).trim().to_owned()
    };
    differences.iter().map(one).collect()
}

/// What is told of a proxy that has `has` where `wants` is wanted.
#[track_caller]
fn check(has: &[&str], wants: &[&str], want: &[&str]) {
    let filters = snake(serde_json::to_value(rendered(has, Chain::Http)).unwrap());
    let dump = envoy(&dump(&filters, &json!({})));
    let scope = dump.scopes.iter().find(|scope| scope.route.is_none()).unwrap();
    assert_eq!(told(&compare(&rendered(wants, Chain::Http), scope, false)), want, "{has:?} {wants:?}");
}

const GET: &str = "{rules: [{to: [{operation: {methods: [GET]}}]}]}";
const POST: &str = "{rules: [{to: [{operation: {methods: [POST]}}]}]}";
const DENY: &str = "{action: DENY, rules: [{from: [{source: {principals: ['td/ns/a/sa/b', 'x*'], notNamespaces: [nn]}}], when: [{key: 'request.auth.claims[a][b]', values: [c]}]}]}";

#[test]
fn what_was_rendered_is_found_equal_and_what_was_not_is_told_rule_by_rule() {
    check(&[GET, DENY], &[GET, DENY], &[]);
    check(&[], &[], &[]);
    check(&[GET], &[GET, DENY], &["missing DENY foo/b 0 it is enforced"]);
    check(&[GET, DENY], &[GET], &["unexpected DENY foo/b 0 it is enforced"]);
    let at = "permissions/0/andRules/rules/0/orRules/rules/0/header/stringMatch/exact";
    check(&[GET], &[POST], &[&format!("different ALLOW foo/a 0 at `{at}`: `\"GET\"`, wanted `\"POST\"`")]);
    check(&["{rules: [{}]}"], &["{rules: [{}, {}]}"], &["missing ALLOW foo/a 1"]);
    check(&[], &["{}"], &["missing ALLOW foo/a 0 it is enforced"]);
    check(
        &["{rules: [{}]}"],
        &["{action: DENY, rules: [{}]}"],
        &["missing DENY foo/a 0 it is enforced", "unexpected ALLOW foo/a 0 it is enforced"],
    );
}

#[test]
fn an_allow_filter_without_rules_is_no_filter_that_is_absent() {
    let only_http = "{rules: [{to: [{operation: {methods: [GET]}}]}]}";
    let wanted = rendered(&[only_http], Chain::Tcp);
    let mut dump = envoy(&dump(&json!([]), &json!({})));
    dump.scopes[0].is_http = false;
    let differences = compare(&wanted, &dump.scopes[0], false);
    assert_eq!(told(&differences), ["missing ALLOW - - a filter without rules: everything is refused by it"]);
}

#[test]
fn a_dry_run_is_told_from_what_is_enforced_and_order_counts() {
    let filters = rendered(&[GET], Chain::Http);
    let mut found = serde_json::to_value(&filters).unwrap();
    let config = found[0]["typedConfig"].as_object_mut().unwrap();
    let rules = config.remove("rules").unwrap();
    config.insert("shadowRules".to_owned(), rules);
    let scope = |filters: &Value| envoy(&dump(filters, &json!({}))).scopes.remove(0);
    assert_eq!(
        told(&compare(&filters, &scope(&found), false)),
        ["other trial ALLOW foo/a 0 it is a dry run, wanted it is enforced"]
    );
    let both = rendered(&[GET, DENY], Chain::Http);
    let mut turned = serde_json::to_value(&both).unwrap();
    turned.as_array_mut().unwrap().reverse();
    assert_eq!(
        told(&compare(&both, &scope(&turned), false)),
        ["other order order - - the filters stand as ALLOW, DENY, wanted DENY, ALLOW"]
    );
}

#[test]
fn a_routes_own_settings_count_and_not_those_of_its_listener() {
    let slots: Vec<Value> =
        crate::envoy::Slot::ALL.iter().map(|slot| serde_json::to_value(slot.filter()).unwrap()).collect();
    let filters = rendered(&[GET, DENY], Chain::Http);
    let dump = envoy(&dump(&json!(slots), &Value::Object(per_route(&filters))));
    assert!(dump.scopes[0].has_routes);
    assert_eq!(dump.scopes[1].place(), "l/c/v/0");
    assert_eq!(told(&compare(&filters, &dump.scopes[1], false)), Vec::<String>::new());
    assert_eq!(compare(&filters, &dump.scopes[0], false).len(), 2, "the listener itself enforces nothing");
}

#[test]
fn settings_that_are_sent_on_their_own_are_found_or_missed() {
    let filters = rendered(&[GET], Chain::Http);
    let types = json!(["type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"]);
    let asks = json!([{"name": "e", "config_discovery": {"config_source": {}, "type_urls": types}}]);
    let mut with = dump(&asks, &json!({}));
    let lacking = envoy(&with);
    assert_eq!(lacking.remarks, ["`l/c`: the settings of `e` never came"]);
    assert!(!compare(&filters, &lacking.scopes[0], false).is_empty());
    let mut own = serde_json::to_value(&filters[0]).unwrap();
    own["name"] = json!("e");
    let sent =
        json!({"@type": "type.googleapis.com/envoy.admin.v3.EcdsConfigDump", "ecds_filters": [{"ecds_filter": own}]});
    with["configs"].as_array_mut().unwrap().push(sent);
    let whole = envoy(&with);
    assert!(whole.remarks.is_empty(), "{:?}", whole.remarks);
    assert_eq!(told(&compare(&filters, &whole.scopes[0], false)), Vec::<String>::new());
}

#[test]
fn ztunnel_policies_are_compared_too() {
    let world =
        world(&["{action: DENY, rules: [{from: [{source: {principals: ['*'], ipBlocks: [10.0.0.0/8]}}]}]}", "{}"]);
    let sent: Vec<_> = world.authorization.iter().map(|policy| authorization(policy, "root", false).unwrap()).collect();
    let policies: Vec<Value> = sent.iter().map(crate::ztunnel::Authorization::to_local_config).collect();
    let workload = json!({"name": "w", "namespace": "foo", "authorizationPolicies": ["foo/x"]});
    let mut given = json!({"policies": policies, "workloads": [workload]});
    let parsed = |given: &Value| match Dump::parse(&given.to_string()).unwrap() {
        Dump::Ztunnel(dump) => dump,
        Dump::Envoy(dump) => panic!("{dump:?}"),
    };
    let dump = parsed(&given);
    assert_eq!(told(&dump.compare(&sent)), Vec::<String>::new());
    assert_eq!(
        dump.istio_table(),
        "NAMESPACE POLICY NAME ACTION SCOPE\nfoo       a           Deny   Namespace\nfoo       b           Allow  Namespace\n"
    );
    let listed = dump.compare_listed("foo", "w", &["foo/y".to_owned()]).unwrap();
    assert_eq!(
        told(&listed),
        ["missing listed foo/y - by the workload `foo/w`", "unexpected listed foo/x - by the workload `foo/w`"]
    );
    assert!(dump.compare_listed("foo", "v", &[]).is_none());
    given["policies"][0]["rules"][0][0][0]["sourceIps"] = json!(["11.0.0.0/8"]);
    given["policies"][0]["action"] = json!("Allow");
    given["policies"].as_array_mut().unwrap().remove(1);
    assert_eq!(
        told(&parsed(&given).compare(&sent)),
        [
            "different DENY foo/a - `action`: `\"Allow\"`, wanted `\"Deny\"`",
            "different DENY foo/a 0",
            "missing ALLOW foo/b -"
        ]
    );
}

#[test]
fn what_is_no_dump_is_refused_and_nothing_in_one_makes_it_panic() {
    let no = |text: &str| Dump::parse(text).map(|_| ()).unwrap_err();
    assert!(matches!(no("{"), DumpError::NotJson(_)));
    assert_eq!(no("[]"), DumpError::Unknown);
    assert_eq!(no("{\"configs\": {}}"), DumpError::Unknown);
    assert_eq!(no("{\"configs\": []}"), DumpError::NoListeners);
    assert!(matches!(no(&"[".repeat(100_000)), DumpError::NotJson(_)));
}

#[test]
fn names_of_rules_are_read_as_istio_reads_them() {
    let parsed = |key| RuleName::parse(key).map(|name| (name.namespace, name.name, name.rule));
    assert_eq!(parsed("ns[a]-policy[b]-rule[0]"), Some(("a", "b", "0")));
    assert_eq!(
        parsed("istio-ext-authz-p-ns[a]-policy[b]-rule[1]-deny-due-to-bad-CUSTOM-action"),
        Some(("a", "b", "1"))
    );
    for key in ["", "ns[]-policy[b]-rule[0]", "ns[a]-policy[b]", "policy[b]-rule[0]"] {
        assert_eq!(parsed(key), None, "{key}");
    }
}

proptest::proptest! {
    /// Whatever stands where in a dump.
    #[test]
    fn no_dump_makes_the_reader_panic(seed in proptest::collection::vec(0_u8..=255, 0..40)) {
        let filters = serde_json::to_value(rendered(&[GET, DENY], Chain::Http)).unwrap();
        let mut text = dump(&filters, &json!({})).to_string().into_bytes();
        for (index, byte) in seed.iter().enumerate() {
            let at = (index * 7919 + usize::from(*byte) * 31) % text.len();
            text[at] = *byte;
        }
        if let Ok(Dump::Envoy(dump)) = Dump::parse(&String::from_utf8_lossy(&text)) {
            for scope in &dump.scopes {
                let _ = (compare(&rendered(&[GET], Chain::Http), scope, true), dump.istio_table());
            }
        }
    }
}
