//! Envoy configurations that tests share: two sides of one mutual TLS connection, with identities
//! from an SDS socket each.
//!
//! Both sides take the secrets `default` (own key and chain) and `ROOTCA` (trust bundle), wait for
//! them without end, speak TLS 1.3 at best, and accept only the SPIFFE ids they are told.

use std::path::PathBuf;

use serde_json::{Value, json};

/// How a proxy asks for its secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SdsProtocol {
    /// `StreamSecrets`: every answer holds all that was asked for.
    StateOfTheWorld,
    /// `DeltaSecrets`: answers hold what changed.
    Delta,
}

/// The receiving side: STRICT mutual TLS, and a fixed answer that tells who asked.
///
/// The answer carries `x-peer`, the SPIFFE id Envoy saw, and `x-peer-serial`, its serial number.
#[derive(Debug, Clone)]
pub struct Server {
    /// Envoy's node id.
    pub name: String,
    /// Where it listens, on loopback.
    pub port: u16,
    /// The Unix socket of its secrets.
    pub sds_socket: PathBuf,
    /// How it asks there.
    pub sds_protocol: SdsProtocol,
    /// The SPIFFE ids that may connect.
    pub accepts: Vec<String>,
}

/// The asking side: plain HTTP in, mutual TLS out.
#[derive(Debug, Clone)]
pub struct Client {
    /// Envoy's node id.
    pub name: String,
    /// Where it takes plain HTTP, on loopback.
    pub port: u16,
    /// Where the other side listens, on loopback.
    pub server_port: u16,
    /// The only SPIFFE id that the other side may have.
    pub server_id: String,
    /// The Unix socket of its secrets.
    pub sds_socket: PathBuf,
    /// How it asks there.
    pub sds_protocol: SdsProtocol,
    /// After so many requests a connection is replaced, with a new handshake and the newest
    /// identity; with nothing given, connections stay.
    pub requests_per_connection: Option<u32>,
}

/// The configuration of the receiving side.
pub fn server(server: &Server) -> Value {
    let sds = sds_source(server.sds_protocol);
    let tls = json!({
        "@type": type_url("envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"),
        "require_client_certificate": true,
        "common_tls_context": tls_context(&sds, &server.accepts),
    });
    let routes = json!({
        "virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "response_headers_to_add": [
                {"header": {"key": "x-peer", "value": "%DOWNSTREAM_PEER_URI_SAN%"}},
                {"header": {"key": "x-peer-serial", "value": "%DOWNSTREAM_PEER_SERIAL%"}},
            ],
            "routes": [{
                "match": {"prefix": "/"},
                "direct_response": {"status": 200, "body": {"inline_string": "ok"}},
            }],
        }],
    });
    let chain = json!({
        "filters": [http_filter("inbound", &routes)],
        "transport_socket": {"name": "tls", "typed_config": tls},
    });
    json!({
        "node": {"id": server.name, "cluster": "tests"},
        "static_resources": {
            "clusters": [sds_cluster(&server.sds_socket)],
            "listeners": [{
                "name": "inbound",
                "address": loopback(server.port),
                "filter_chains": [chain],
            }],
        },
    })
}

/// The configuration of the asking side.
pub fn client(client: &Client) -> Value {
    let sds = sds_source(client.sds_protocol);
    let mut tls = json!({
        "@type": type_url("envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"),
        "common_tls_context": tls_context(&sds, std::slice::from_ref(&client.server_id)),
    });
    // Towards servers, Envoy stops at TLS 1.2 unless told otherwise.
    tls["common_tls_context"]["tls_params"] = json!({"tls_maximum_protocol_version": "TLSv1_3"});
    let server = json!({
        "name": "server",
        "connect_timeout": "5s",
        "typed_extension_protocol_options": http2(client.requests_per_connection),
        "load_assignment": endpoint("server", &loopback(client.server_port)),
        "transport_socket": {"name": "tls", "typed_config": tls},
    });
    let routes = json!({
        "virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "server"}}],
        }],
    });
    json!({
        "node": {"id": client.name, "cluster": "tests"},
        "static_resources": {
            "clusters": [sds_cluster(&client.sds_socket), server],
            "listeners": [{
                "name": "outbound",
                "address": loopback(client.port),
                "filter_chains": [{"filters": [http_filter("outbound", &routes)]}],
            }],
        },
    })
}

/// Identity and trust from SDS, and peers by their exact SPIFFE id.
fn tls_context(sds: &Value, peers: &[String]) -> Value {
    let exact = |id: &String| json!({"san_type": "URI", "matcher": {"exact": id}});
    json!({
        "alpn_protocols": ["h2"],
        "tls_certificate_sds_secret_configs": [{"name": "default", "sds_config": sds}],
        "combined_validation_context": {
            "default_validation_context": {
                "match_typed_subject_alt_names": peers.iter().map(exact).collect::<Vec<_>>(),
            },
            "validation_context_sds_secret_config": {"name": "ROOTCA", "sds_config": sds},
        },
    })
}

fn sds_source(protocol: SdsProtocol) -> Value {
    let api_type = match protocol {
        SdsProtocol::StateOfTheWorld => "GRPC",
        SdsProtocol::Delta => "DELTA_GRPC",
    };
    json!({
        "resource_api_version": "V3",
        // Zero waits without end; otherwise a listener without secrets goes live and drops all.
        "initial_fetch_timeout": "0s",
        "api_config_source": {
            "api_type": api_type,
            "transport_api_version": "V3",
            "set_node_on_first_message_only": true,
            "grpc_services": [{"envoy_grpc": {"cluster_name": "sds"}}],
        },
    })
}

fn sds_cluster(socket: &PathBuf) -> Value {
    json!({
        "name": "sds",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": http2(None),
        "load_assignment": endpoint("sds", &json!({"pipe": {"path": socket}})),
    })
}

fn http2(requests_per_connection: Option<u32>) -> Value {
    let name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let mut options = json!({
        "@type": type_url(name),
        "explicit_http_config": {"http2_protocol_options": {}},
    });
    if let Some(requests) = requests_per_connection {
        options["common_http_protocol_options"] = json!({"max_requests_per_connection": requests});
    }
    json!({name: options})
}

fn http_filter(stat_prefix: &str, routes: &Value) -> Value {
    let manager = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    json!({
        "name": "http",
        "typed_config": {
            "@type": type_url(manager),
            "stat_prefix": stat_prefix,
            "route_config": routes,
            "http_filters": [{
                "name": "router",
                "typed_config": {
                    "@type": type_url("envoy.extensions.filters.http.router.v3.Router"),
                },
            }],
        },
    })
}

fn endpoint(cluster: &str, address: &Value) -> Value {
    json!({
        "cluster_name": cluster,
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
    })
}

fn loopback(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}

fn type_url(message: &str) -> String {
    format!("type.googleapis.com/{message}")
}
