//! Configurations for the demo's Envoys. Everything about identity comes by SDS from the agent's socket.

use serde_json::{Value, json};

const TLS: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";
const HCM: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
const HTTP_OPTIONS: &str = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// The agent's socket, seen from Envoy's working directory.
const SDS_SOCKET: &str = "var/run/secrets/workload-spiffe-uds/socket";

/// Envoy's admin socket, likewise.
pub(crate) const ADMIN_SOCKET: &str = "admin.sock";

/// Requests after which the client's Envoy opens a new connection, so that traffic meets new certificates.
const REQUESTS_PER_CONNECTION: u32 = 10;

/// How Envoy asks for secrets.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Protocol {
    /// State of the world.
    Sotw,
    /// Incremental.
    Delta,
}

/// Which secrets a proxy asks for, and how it knows its peer.
pub(crate) struct Identity<'a> {
    pub(crate) name: &'a str,
    pub(crate) protocol: Protocol,
    /// The only peer it talks to.
    pub(crate) peer: &'a str,
}

/// A server: mutual TLS only, answers each request itself, and tells the caller who it saw.
pub(crate) fn server(identity: &Identity<'_>, port: u16) -> Value {
    let tls = json!({
        "@type": format!("{TLS}.DownstreamTlsContext"),
        "require_client_certificate": true,
        "common_tls_context": tls_context(identity, &["h2", "http/1.1"]),
    });
    let virtual_host = json!({
        "name": "all", "domains": ["*"],
        "response_headers_to_add": [header("x-peer", "%DOWNSTREAM_PEER_URI_SAN%")],
        "routes": [{ "match": { "prefix": "/" }, "direct_response": { "status": 200, "body": { "inline_string": "ok\n" } } }],
    });
    let chain = json!({
        "filters": [http_filter(&virtual_host)],
        "transport_socket": { "name": "tls", "typed_config": tls },
    });
    bootstrap(identity.name, &[listener(port, &chain)], &[])
}

/// A client: plain HTTP in, mutual TLS out.
pub(crate) fn client(identity: &Identity<'_>, port: u16, server_port: u16) -> Value {
    let virtual_host = json!({
        "name": "all", "domains": ["*"],
        "response_headers_to_add": [header("x-upstream-peer", "%UPSTREAM_PEER_URI_SAN%")],
        "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": "orders" } }],
    });
    let chain = json!({ "filters": [http_filter(&virtual_host)] });
    let mut context = tls_context(identity, &["h2"]);
    if let Some(fields) = context.as_object_mut() {
        // Upstream connections stop at TLS 1.2 unless told otherwise.
        fields.insert("tls_params".to_owned(), json!({ "tls_maximum_protocol_version": "TLSv1_3" }));
    }
    let tls = json!({
        "@type": format!("{TLS}.UpstreamTlsContext"),
        "sni": "orders.shop",
        "common_tls_context": context,
    });
    let cluster = json!({
        "name": "orders",
        "connect_timeout": "2s",
        "typed_extension_protocol_options": { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": HTTP_OPTIONS,
            "common_http_protocol_options": { "max_requests_per_connection": REQUESTS_PER_CONNECTION },
            "explicit_http_config": { "http2_protocol_options": {} },
        }},
        "load_assignment": endpoint("orders", &tcp(server_port)),
        "transport_socket": { "name": "tls", "typed_config": tls },
    });
    bootstrap(identity.name, &[listener(port, &chain)], &[cluster])
}

fn bootstrap(name: &str, listeners: &[Value], clusters: &[Value]) -> Value {
    let agent = json!({
        "name": "sds_agent",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": HTTP_OPTIONS, "explicit_http_config": { "http2_protocol_options": {} },
        }},
        "load_assignment": endpoint("sds_agent", &json!({ "pipe": { "path": SDS_SOCKET } })),
    });
    let clusters: Vec<Value> = std::iter::once(agent).chain(clusters.iter().cloned()).collect();
    json!({
        "node": { "id": name, "cluster": "demo" },
        "admin": { "address": { "pipe": { "path": ADMIN_SOCKET } } },
        "static_resources": { "listeners": listeners, "clusters": clusters },
    })
}

fn tls_context(identity: &Identity<'_>, alpn: &[&str]) -> Value {
    json!({
        "alpn_protocols": alpn,
        "tls_certificate_sds_secret_configs": [sds("default", identity.protocol)],
        "combined_validation_context": {
            "default_validation_context": {
                "match_typed_subject_alt_names": [{ "san_type": "URI", "matcher": { "exact": identity.peer } }],
            },
            "validation_context_sds_secret_config": sds("ROOTCA", identity.protocol),
        },
    })
}

fn sds(name: &str, protocol: Protocol) -> Value {
    let api_type = match protocol {
        Protocol::Sotw => "GRPC",
        Protocol::Delta => "DELTA_GRPC",
    };
    json!({ "name": name, "sds_config": {
        "resource_api_version": "V3",
        "initial_fetch_timeout": "0s",
        "api_config_source": {
            "api_type": api_type,
            "transport_api_version": "V3",
            "set_node_on_first_message_only": true,
            "grpc_services": [{ "envoy_grpc": {
                "cluster_name": "sds_agent",
                // Identities live for seconds here, so Envoy must not wait half a minute for a restarted agent.
                "retry_policy": { "retry_back_off": { "base_interval": "0.1s", "max_interval": "0.5s" } },
            }}],
        },
    }})
}

fn http_filter(virtual_host: &Value) -> Value {
    json!({ "name": "http", "typed_config": {
        "@type": HCM,
        "stat_prefix": "demo",
        "route_config": { "virtual_hosts": [virtual_host] },
        "http_filters": [{ "name": "router", "typed_config": { "@type": ROUTER } }],
    }})
}

fn header(name: &str, value: &str) -> Value {
    json!({ "header": { "key": name, "value": value } })
}

fn listener(port: u16, chain: &Value) -> Value {
    json!({ "name": "demo", "address": tcp(port), "filter_chains": [chain] })
}

fn tcp(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}

fn endpoint(cluster: &str, address: &Value) -> Value {
    json!({ "cluster_name": cluster, "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }] })
}
