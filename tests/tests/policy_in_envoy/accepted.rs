//! A real Envoy accepts what is rendered: every filter of every fixture, and of every policy set of the fixtures' corpus.
//!
//! Without `SIGNET_FIXTURES` the folder `../shared/fixtures` beside the project is taken, if it is there.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use signet_policy::envoy::{
    Chain, CustomOptions, JwtOptions, RenderOptions, custom_filters, jwt_filter, local_filters,
};
use signet_policy::model::{AuthorizationPolicy, RequestAuthentication, World};
use signet_policy::{ReadOptions, Sources, read};
use signet_tests::Workdir;

/// Folders whose policies are rendered.
const FOLDERS: [&str; 4] = ["derived-authz", "istio-authz-http", "istio-authz-tcp", "istio-integration"];
/// Files of the fixtures that these tests were written with, at the least.
const FILES_MIN: usize = 30;

/// Extension providers for every name in the fixtures, of both kinds.
fn providers() -> Value {
    let grpc = json!({"service": "authz.foo", "port": 9000, "timeout": "0.5s", "failOpen": true});
    let http = json!({
        "service": "authz.foo", "port": 9000, "pathPrefix": "/check", "statusOnError": "403",
        "includeRequestHeadersInCheck": ["x-a", "x-b-*", "*-c"], "includeAdditionalHeadersInCheck": {"x-d": "1"},
        "includeRequestBodyInCheck": {"maxRequestBytes": 64, "allowPartialMessage": true, "packAsBytes": true},
        "headersToUpstreamOnAllow": ["authorization"], "headersToDownstreamOnDeny": ["set-cookie"],
        "headersToDownstreamOnAllow": ["*-e"],
    });
    json!([
        {"name": "default", "envoyExtAuthzGrpc": grpc}, {"name": "provider-a", "envoyExtAuthzGrpc": grpc},
        {"name": "provider-b", "envoyExtAuthzHttp": http}, {"name": "another", "envoyExtAuthzHttp": http},
    ])
}

/// Every YAML file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The policies of a file; nothing where it holds none.
fn policies(path: &Path) -> Option<World> {
    let mut sources = Sources::new();
    sources.add("policies", &std::fs::read_to_string(path).unwrap());
    sources.add("mesh", &json!({"extensionProviders": providers(), "trustDomainAliases": ["td2"]}).to_string());
    let world = read(&sources, &ReadOptions::default()).into_world().ok()?;
    (!world.authorization.is_empty() || !world.request.is_empty()).then_some(world)
}

/// Two listeners: one that sees HTTP, one that sees bytes, each with everything that the policies become there.
pub(crate) fn listeners(world: &World, identity_in_filter_state: bool) -> Value {
    let policies: Vec<&AuthorizationPolicy> = world.authorization.iter().collect();
    let tokens: Vec<&RequestAuthentication> = world.request.iter().collect();
    let filters = |chain: Chain| -> Vec<Value> {
        let options = RenderOptions { chain, identity_in_filter_state, trust_domains: &world.mesh.trust_domains };
        let custom = CustomOptions { providers: &world.mesh.providers, several_providers: true, services: None };
        let jwt = JwtOptions { clears_route_cache: true, keys: &|_| None };
        let (mut filters, _) = custom_filters(&policies, &options, &custom);
        filters.extend(jwt_filter(&tokens, &jwt).filter(|_| chain == Chain::Http));
        filters.extend(local_filters(&policies, &options));
        filters.iter().map(|filter| serde_json::to_value(filter).unwrap()).collect()
    };
    let type_url = |name: &str| format!("type.googleapis.com/envoy.extensions.filters.{name}");
    let mut http_filters = filters(Chain::Http);
    http_filters.push(json!({"name": "router", "typedConfig": {"@type": type_url("http.router.v3.Router")}}));
    let manager = json!({
        "@type": type_url("network.http_connection_manager.v3.HttpConnectionManager"),
        "statPrefix": "http", "routeConfig": {"name": "none"}, "httpFilters": http_filters,
    });
    let mut network_filters = filters(Chain::Tcp);
    let proxy = json!({"@type": type_url("network.tcp_proxy.v3.TcpProxy"), "statPrefix": "tcp", "cluster": "any"});
    network_filters.push(json!({"name": "proxy", "typedConfig": proxy}));
    let listener = |name: &str, port: u16, filters: Value| {
        let address = json!({"socketAddress": {"address": "127.0.0.1", "portValue": port}});
        json!({"name": name, "address": address, "filterChains": [{"filters": filters}]})
    };
    json!([
        listener("http", 1, json!([{"name": "http", "typedConfig": manager}])),
        listener("tcp", 2, Value::Array(network_filters)),
    ])
}

/// What Envoy has against it; nothing when it would run.
fn refusal(workdir: &Workdir, world: &World, identity_in_filter_state: bool) -> Option<String> {
    let cluster = |name: &str| json!({"name": name, "type": "STATIC", "loadAssignment": {"clusterName": name}});
    let clusters = [cluster("any"), cluster("outbound|9000||authz.foo")];
    let listeners = listeners(world, identity_in_filter_state);
    let config = json!({"staticResources": {"listeners": listeners, "clusters": clusters}});
    let file = workdir.write("envoy.json", config.to_string());
    let mut envoy = Command::new(signet_tests::envoy::program());
    envoy.current_dir(workdir.path()).args(["--mode", "validate", "-l", "error", "-c"]).arg(file);
    let output = envoy.output().expect("Envoy can be started");
    (!output.status.success()).then(|| format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn envoy_accepts_what_every_fixture_becomes() {
    let Some(root) = signet_testkit::policy_fixtures() else {
        println!("accepted: no fixtures found, LEFT OUT; name a folder in `SIGNET_FIXTURES`");
        return;
    };
    let workdir = Workdir::new();
    let all = FOLDERS.iter().flat_map(|folder| files(&root.join(folder)));
    let worlds: Vec<(PathBuf, World)> = all.filter_map(|path| policies(&path).map(|world| (path, world))).collect();
    assert!(worlds.len() >= FILES_MIN, "{} files with policies", worlds.len());
    let mut complaints = Vec::new();
    for (path, world) in &worlds {
        for in_filter_state in [false, true] {
            let refusal = refusal(&workdir, world, in_filter_state);
            complaints.extend(refusal.map(|why| format!("{}: {why}", path.display())));
        }
    }
    println!("accepted: what {} files become, with the identity in either place", worlds.len());
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn this_envoy_refuses_what_is_no_configuration() {
    let workdir = Workdir::new();
    let sources = {
        let mut sources = Sources::new();
        let rules = json!([{"from": [{"source": {"ipBlocks": ["10.0.0.0/8"]}}]}]);
        let policy = json!({
            "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
            "metadata": {"name": "p", "namespace": "foo"}, "spec": {"rules": rules},
        });
        sources.add("policy", &policy.to_string());
        sources
    };
    let mut world = read(&sources, &ReadOptions::default()).into_world().unwrap();
    assert_eq!(refusal(&workdir, &world, false), None);
    world.authorization[0].rules[0].as_mut().unwrap().when = vec![header_without_name(&world)];
    assert!(refusal(&workdir, &world, false).is_some_and(|why| why.contains("Name")), "a header must have a name");
}

/// A condition on a header whose name is empty, which no text reads as.
fn header_without_name(world: &World) -> signet_policy::model::When {
    use signet_policy::model::{Condition, Spotted, StringPattern, Test, Values, When, Written};
    let at = world.authorization[0].meta.at;
    let value = Written { text: "x".into(), at, pattern: Ok(StringPattern::parse("x")) };
    let values = Values { any_of: vec![value], none_of: vec![] };
    When::Known(Condition { name: Spotted { value: "x".into(), at }, test: Test::Header("".into(), values) })
}
