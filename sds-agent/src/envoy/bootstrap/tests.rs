//! Bootstraps, from settings to text.

use proptest::prelude::*;
use signet_runtime::Layers;

use super::*;

fn config(settings: &[(&str, &str)]) -> Config {
    let mut layers = Layers::new();
    layers.flag("ca.address", "ca.address", Some("ca:1".to_owned()));
    for (key, value) in settings {
        layers.flag(key, key, Some((*value).to_owned()));
    }
    crate::config::load(layers, &[]).unwrap().0
}

fn check(template: &str, made: Result<&str, &str>) {
    let config = config(&[("sds.socket", r#"/a "b"\c"#), ("proxy.admin", "unix:admin.sock"), ("namespace", "shop")]);
    let node = Node::new(Role::Sidecar, &config);
    let got = from_template(template, &config, &node).map_err(|error| error.to_string());
    assert_eq!(got.as_deref().map_err(|error| error.split(';').next().unwrap()), made, "{template}");
}

#[test]
fn variables_of_a_template_are_replaced_and_nothing_else_is() {
    check("", Ok(""));
    check(r#"{"path": "${SDS_SOCKET}"}"#, Ok(r#"{"path": "/a \"b\"\\c"}"#));
    check("admin: { address: ${ADMIN} }", Ok(r#"admin: { address: {"pipe":{"path":"admin.sock"}} }"#));
    check("id: ${NODE_ID}", Ok("id: sidecar~127.0.0.1~sds-agent.shop~shop.svc.cluster.local"));
    check("${TRUST_DOMAIN}:${AGENT_PORT}", Ok("cluster.local:15020"));
    check("%REQ(X)% $HOME $${SDS_SOCKET} $$ }", Ok("%REQ(X)% $HOME ${SDS_SOCKET} $$ }"));
}

#[test]
fn a_template_that_is_not_understood_is_refused_with_its_line() {
    check("a\nb: ${HOME}", Err("line 2: no variable `HOME`"));
    check("${}", Err("line 1: no variable ``"));
    check("a\n\nb ${SDS_SOCKET", Err("line 3: `${` without `}` within 64 bytes"));
}

#[test]
fn the_built_in_bootstrap_takes_identity_from_the_agent_and_admits_its_own_trust_domain_only() {
    let settings =
        [("proxy.inbound", "0.0.0.0:8443"), ("proxy.application", "127.0.0.1:80"), ("trust_domain", "td.test")];
    let config = config(&settings);
    let made = built_in(&config, &Node::new(Role::Router, &config));
    let at = |pointer: &str| made.pointer(pointer).cloned().unwrap_or_default();
    assert_eq!(at("/admin/address/socket_address/port_value"), 15000);
    assert_eq!(at("/node/id"), "router~127.0.0.1~sds-agent.default~default.svc.cluster.local");
    let socket = "/static_resources/clusters/0/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/pipe/path";
    assert_eq!(at(socket), "/var/run/secrets/workload-spiffe-uds/socket");
    let tls = "/static_resources/listeners/0/filter_chains/0/transport_socket/typed_config";
    assert_eq!(at(&format!("{tls}/require_client_certificate")), true);
    let names = format!(
        "{tls}/common_tls_context/combined_validation_context/default_validation_context/match_typed_subject_alt_names"
    );
    assert_eq!(at(&names), json!([{ "san_type": "URI", "matcher": { "prefix": "spiffe://td.test/" } }]));
}

proptest! {
    #[test]
    fn no_template_makes_it_panic(template in "(\\$|\\{|\\}|SDS_SOCKET|\n|.){0,40}") {
        let config = config(&[]);
        let made = from_template(&template, &config, &Node::new(Role::Sidecar, &config));
        if !template.contains("${") {
            prop_assert_eq!(made.unwrap(), template);
        }
    }
}
