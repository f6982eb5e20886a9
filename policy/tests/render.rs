//! What the fixtures do not fix about rendering: order, bounds, and what becomes of what cannot be enforced.

// So that the linter takes the helpers here for tests, which they are.
#![cfg(test)]

use proptest::prelude::*;
use serde_json::{Value, json};
use signet_policy::envoy::{
    Chain, CustomOptions, Filter, JwtOptions, RenderOptions, Slot, custom_filters, jwt_filter, local_filters, per_route,
};
use signet_policy::model::{AuthorizationPolicy, RequestAuthentication, World};
use signet_policy::{ReadOptions, Sources, read};

fn world(texts: &[String]) -> World {
    let mut sources = Sources::new();
    for text in texts {
        sources.add("policy", text);
    }
    read(&sources, &ReadOptions::default()).into_world().unwrap()
}

fn policy(name: &str, spec: &Value) -> String {
    let meta = json!({"name": name, "namespace": "foo"});
    json!({"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": meta, "spec": spec})
        .to_string()
}

fn options(chain: Chain, trust_domains: &[Box<str>]) -> RenderOptions<'_> {
    RenderOptions { chain, identity_in_filter_state: false, trust_domains }
}

fn render(specs: &[Value], chain: Chain, trust_domains: &[&str]) -> Vec<Value> {
    let texts: Vec<String> = specs.iter().enumerate().map(|(index, spec)| policy(&format!("p{index}"), spec)).collect();
    let world = world(&texts);
    let policies: Vec<&AuthorizationPolicy> = world.authorization.iter().collect();
    let domains: Vec<Box<str>> = trust_domains.iter().map(|domain| Box::from(*domain)).collect();
    let filters = local_filters(&policies, &options(chain, &domains));
    filters.iter().map(|filter| serde_json::to_value(filter).unwrap()).collect()
}

fn custom(provider: &Value, chain: Chain) -> (Vec<Value>, Vec<String>) {
    let spec = json!({"action": "CUSTOM", "provider": {"name": "p"}, "rules": [{}]});
    let world = world(&[policy("c", &spec), json!({"extensionProviders": [provider]}).to_string()]);
    let policies: Vec<&AuthorizationPolicy> = world.authorization.iter().collect();
    let custom = CustomOptions { providers: &world.mesh.providers, several_providers: false, services: None };
    let (filters, errors) = custom_filters(&policies, &options(chain, &[]), &custom);
    let filters = filters.iter().map(|filter| serde_json::to_value(filter).unwrap()).collect();
    (filters, errors.iter().map(ToString::to_string).collect())
}

#[test]
fn filters_come_in_the_order_audit_deny_allow() {
    let spec = |action: &str| json!({"action": action, "rules": [{}]});
    let filters = render(&[spec("ALLOW"), spec("AUDIT"), spec("DENY")], Chain::Http, &[]);
    let actions: Vec<&Value> = filters.iter().map(|filter| &filter["typedConfig"]["rules"]["action"]).collect();
    assert_eq!(actions, [&json!("LOG"), &json!("DENY"), &Value::Null]);
}

#[test]
fn what_would_make_envoy_abort_is_never_rendered() {
    let rules = |action: &str| {
        let paths = |path: &str| json!({"to": [{"operation": {"paths": [path]}}]});
        json!({"action": action, "rules": [paths("/a/{**}/{*}"), paths("a/{*}"), paths("/ok/{*}")]})
    };
    let text = |action: &str| serde_json::to_string(&render(&[rules(action)], Chain::Http, &[])).unwrap();
    for action in ["ALLOW", "DENY"] {
        assert_eq!(text(action).matches("pathTemplate").count(), 1, "{action}");
    }
    assert!(!text("ALLOW").contains("rule[0]"), "an ALLOW loses the rule");
    assert!(text("DENY").contains("rule[0]"), "a DENY keeps it, and matches more");
}

#[test]
fn a_condition_that_every_from_shares_is_rewritten_once_for_each_within_a_bound() {
    let spec = |sources: usize| {
        let from = vec![json!({"source": {"namespaces": ["a"]}}); sources];
        json!({"rules": [{"from": from, "when": [{"key": "source.principal", "values": ["td1/ns/a/sa/b"]}]}]})
    };
    let names = |sources: usize| {
        let filters = render(&[spec(sources)], Chain::Http, &["td1", "td2"]);
        let principals = &filters[0]["typedConfig"]["rules"]["policies"]["ns[foo]-policy[p0]-rule[0]"]["principals"];
        principals[0]["andIds"]["ids"].as_array().unwrap().last().unwrap()["orIds"]["ids"].as_array().unwrap().len()
    };
    assert_eq!([names(0), names(1), names(2), names(3)], [2, 2, 4, 8]);
    assert_eq!(names(100), 8192);
}

#[test]
fn a_provider_that_speaks_grpc_is_asked_about_connections_and_one_that_speaks_http_is_not() {
    let grpc = json!({"name": "p", "envoyExtAuthzGrpc": {"service": "authz.foo", "port": 9000}});
    let (filters, errors) = custom(&grpc, Chain::Tcp);
    assert_eq!(errors, [""; 0]);
    assert_eq!(filters[0]["typedConfig"]["shadowRulesStatPrefix"], "istio_ext_authz_");
    assert_eq!(filters[1]["name"], "envoy.filters.network.ext_authz");
    let config = &filters[1]["typedConfig"];
    assert_eq!(config["filterEnabledMetadata"]["filter"], "envoy.filters.network.rbac");
    assert_eq!((&config["statPrefix"], &config["grpcService"]["timeout"]), (&json!("tcp."), &json!("600s")));

    let http = json!({"name": "p", "envoyExtAuthzHttp": {"service": "authz.foo", "port": 9000}});
    assert_eq!(custom(&http, Chain::Tcp), (vec![], vec![]));
    assert_eq!(custom(&http, Chain::Http).0.len(), 2);
}

#[test]
fn a_provider_that_cannot_be_asked_refuses_what_it_would_have_been_asked_about() {
    let check = |settings: Value, why: &str| {
        let (filters, errors) = custom(&json!({"name": "p", "envoyExtAuthzHttp": settings}), Chain::Http);
        assert_eq!(errors, [format!("extension provider `p`: {why}")], "{settings}");
        let [filter] = filters.as_slice() else { panic!("{filters:?}") };
        let rules = &filter["typedConfig"]["rules"];
        let name = "istio-ext-authz-p-ns[foo]-policy[c]-rule[0]-deny-due-to-bad-CUSTOM-action";
        assert_eq!(rules["action"], "DENY");
        assert!(rules["policies"][name].is_object(), "{filter}");
    };
    check(json!({"port": 1}), "`service` is missing");
    check(json!({"service": "a", "port": 0}), "`port` must be from 1 to 65535");
    check(json!({"service": "a", "port": 1, "timeout": "1m"}), "`1m` is no duration such as `0.5s`");
    check(json!({"service": "a", "port": 1, "statusOnError": "999"}), "`999` is no status that Envoy knows");
    check(json!({"service": "a", "port": 1, "pathPrefix": "x"}), "`x` is no path that begins with `/`");
    let star = json!({"service": "a", "port": 1, "headersToUpstreamOnAllow": ["*"]});
    check(star, "`headersToUpstreamOnAllow` may not hold a lone `*`");
    let (_, errors) = custom(&json!({"name": "other", "zipkin": {}}), Chain::Http);
    assert_eq!(errors, ["the mesh has no extension provider `p`"]);
}

fn values() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[a-z*./{}0-9]{1,8}", 1..3)
}

fn spec() -> impl Strategy<Value = Value> {
    let source = prop_oneof![
        values().prop_map(|values| json!({"principals": values})),
        values().prop_map(|values| json!({"notNamespaces": values, "ipBlocks": ["10.0.0.0/8"]})),
        values().prop_map(|values| json!({"requestPrincipals": values})),
        values().prop_map(|values| json!({"trustDomains": values})),
    ];
    let operation = prop_oneof![
        values().prop_map(|values| json!({"paths": values})),
        values().prop_map(|values| json!({"notHosts": values, "methods": values})),
        Just(json!({"ports": ["80"]})),
    ];
    let when = values().prop_map(|values| json!([{"key": "request.auth.claims[a][b]", "values": values}]));
    let rule = (source, operation, when)
        .prop_map(|(source, operation, when)| json!({"from": [{"source": source}], "to": [{"operation": operation}], "when": when}));
    let action = prop::sample::select(vec!["ALLOW", "DENY", "AUDIT"]);
    (action, prop::collection::vec(rule, 0..4)).prop_map(|(action, rules)| json!({"action": action, "rules": rules}))
}

proptest! {
    #[test]
    fn what_is_rendered_is_read_back_the_same(specs in prop::collection::vec(spec(), 1..4), tcp in any::<bool>()) {
        let chain = if tcp { Chain::Tcp } else { Chain::Http };
        let first = render(&specs, chain, &["td1", "td2"]);
        prop_assert_eq!(&first, &render(&specs, chain, &["td1", "td2"]), "rendering is deterministic");
        for filter in first {
            let read: Filter = serde_json::from_value(filter.clone()).unwrap();
            prop_assert_eq!(serde_json::to_value(&read).unwrap(), filter);
        }
    }
}

/// The example of RFC 7517, appendix A.1.
const KEYS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"1","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;

fn jwt(rules: &Value) -> Value {
    let meta = json!({"name": "jwt", "namespace": "foo"});
    let spec = json!({"jwtRules": rules});
    let text =
        json!({"apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication", "metadata": meta, "spec": spec});
    let world = world(&[text.to_string()]);
    let policies: Vec<&RequestAuthentication> = world.request.iter().collect();
    let options = JwtOptions { clears_route_cache: false, keys: &|_| None };
    jwt_filter(&policies, &options).map_or(Value::Null, |filter| serde_json::to_value(&filter).unwrap())
}

#[test]
fn tokens_of_one_issuer_are_asked_for_or_none() {
    let rule = json!({
        "issuer": "a", "audiences": ["x"], "jwks": KEYS, "forwardOriginalToken": true, "outputPayloadToHeader": "p",
        "fromHeaders": [{"name": "h", "prefix": "Bearer "}, {"name": "i"}], "fromParams": ["q"], "fromCookies": ["c"],
        "outputClaimToHeaders": [{"header": "x-sub", "claim": "sub"}], "spaceDelimitedClaims": ["a", "scope"],
    });
    let provider = json!({
        "issuer": "a", "audiences": ["x"], "localJwks": {"inlineString": KEYS}, "forward": true,
        "forwardPayloadHeader": "p", "payloadInMetadata": "payload",
        "normalizePayloadInMetadata": {"spaceDelimitedClaims": ["a", "permission", "scope"]},
        "fromHeaders": [{"name": "h", "valuePrefix": "Bearer "}, {"name": "i"}], "fromParams": ["q"],
        "fromCookies": ["c"], "claimToHeaders": [{"headerName": "x-sub", "claimName": "sub"}],
    });
    let any = json!([{"providerName": "origins-0"}, {"allowMissing": {}}]);
    let config = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        "bypassCorsPreflight": true, "providers": {"origins-0": provider},
        "rules": [{"match": {"prefix": "/"}, "requires": {"requiresAny": {"requirements": any}}}],
    });
    assert_eq!(jwt(&json!([rule])), json!({"name": "envoy.filters.http.jwt_authn", "typedConfig": config}));
    assert_eq!(jwt(&json!([])), Value::Null);
}

#[test]
fn issuers_are_sorted_and_a_token_that_none_knows_is_refused() {
    let filter = jwt(&json!([{"issuer": "b"}, {"issuer": "a", "jwks": "{}"}]));
    let config = &filter["typedConfig"];
    assert_eq!(config["providers"]["origins-0"]["issuer"], "a");
    for provider in ["origins-0", "origins-1"] {
        let keys = config["providers"][provider]["localJwks"]["inlineString"].as_str().unwrap();
        assert!(keys.contains(r#""kid":"nobody""#), "no keys, no tokens: {keys}");
    }
    let or_missing =
        |name: &str| json!({"requiresAny": {"requirements": [{"providerName": name}, {"allowMissing": {}}]}});
    let all = json!({"requiresAll": {"requirements": [or_missing("origins-0"), or_missing("origins-1")]}});
    let any = json!([{"providerName": "origins-0"}, {"providerName": "origins-1"}, all]);
    assert_eq!(config["rules"][0]["requires"]["requiresAny"]["requirements"], any);
}

#[test]
fn a_route_says_what_the_filters_of_its_listener_do() {
    let spec = |action: &str| json!({"action": action, "rules": [{}]});
    let texts = [policy("a", &spec("ALLOW")), policy("d", &spec("DENY"))];
    let world = world(&texts);
    let policies: Vec<&AuthorizationPolicy> = world.authorization.iter().collect();
    let route = per_route(&local_filters(&policies, &options(Chain::Http, &[])));
    let names: Vec<&str> = route.keys().map(String::as_str).collect();
    assert_eq!(names, ["envoy.filters.http.rbac.allow", "envoy.filters.http.rbac.deny"]);
    assert_eq!(route["envoy.filters.http.rbac.deny"]["rbac"]["rules"]["action"], "DENY");
    let order = Slot::ALL.map(Slot::name);
    assert_eq!(order[0], "envoy.filters.http.rbac.audit");
    assert_eq!(serde_json::to_value(Slot::Deny.filter()).unwrap()["typedConfig"].as_object().unwrap().len(), 1);
}
