//! What Envoy is started with: a built-in bootstrap, or one made from an operator's file. Pure.
//!
//! Everything about identity comes by SDS from the agent's socket; no bootstrap ever holds a key.

use std::fmt;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::config::{AdminAddress, Config, Inbound};

const TLS: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const TCP_PROXY: &str = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";

/// The cluster that leads to the agent, under the name that Istio's configurations use.
const SDS_CLUSTER: &str = "sds-grpc";

/// Largest template, in bytes.
pub const TEMPLATE_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Longest name of a variable that is looked for, in bytes.
const VARIABLE_MAX_BYTES: usize = 64;

/// Which of Istio's two forms of proxy this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Beside one workload: drains what comes in, so that the workload can end its own calls.
    Sidecar,
    /// At an edge: drains everything.
    Router,
}

impl Role {
    /// The word that stands on the command line and in the node's id.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sidecar => "sidecar",
            Self::Router => "router",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who an Envoy says that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// `<role>~<ip>~<name>.<namespace>~<namespace>.svc.cluster.local`, as Istio's control plane reads it.
    pub id: String,
    /// The cluster, in Envoy's sense.
    pub cluster: String,
}

impl Node {
    /// As the settings say.
    pub fn new(role: Role, config: &Config) -> Self {
        let namespace = config.identity.namespace.as_ref().map_or("default", |namespace| namespace.as_str());
        let (ip, name) = (config.proxy.instance_ip, &config.proxy.pod_name);
        let id = format!("{role}~{ip}~{name}.{namespace}~{namespace}.svc.cluster.local");
        Self { id, cluster: "istio-proxy".to_owned() }
    }
}

/// Why a template makes no bootstrap.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A name that stands for nothing.
    #[error("line {line}: no variable `{name}`; there are {known}")]
    Unknown {
        /// The line, counted from 1.
        line: usize,
        /// The name.
        name: String,
        /// All that there are.
        known: String,
    },
    /// A beginning without an end.
    #[error("line {line}: `${{` without `}}` within {VARIABLE_MAX_BYTES} bytes; `$${{` stands for itself")]
    Open {
        /// The line, counted from 1.
        line: usize,
    },
}

/// The values that a template may use, each ready to stand between double quotes, but for `ADMIN`, which is an object.
fn variables(config: &Config, node: &Node) -> [(&'static str, String); 8] {
    let quoted = |text: &str| {
        let text = Value::from(text).to_string();
        text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or_default().to_owned()
    };
    [
        ("SDS_SOCKET", quoted(&config.sds.socket.display().to_string())),
        ("ADMIN", admin_address(&config.proxy.admin).to_string()),
        ("NODE_ID", quoted(&node.id)),
        ("NODE_CLUSTER", quoted(&node.cluster)),
        ("TRUST_DOMAIN", quoted(config.identity.trust_domain.as_str())),
        ("INSTANCE_IP", config.proxy.instance_ip.to_string()),
        ("POD_NAME", quoted(&config.proxy.pod_name)),
        ("AGENT_PORT", config.admin_listen.port().to_string()),
    ]
}

/// Replaces each `${NAME}` in `template`. `$${` stands for `${`.
///
/// # Errors
/// [`TemplateError`].
pub fn from_template(template: &str, config: &Config, node: &Node) -> Result<String, TemplateError> {
    let variables = variables(config, node);
    let mut made = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("${") {
        made.push_str(before);
        rest = after;
        if before.ends_with('$') {
            made.push('{');
            continue;
        }
        let line = made.matches('\n').count() + 1;
        let found = after.split_once('}').filter(|(name, _)| name.len() <= VARIABLE_MAX_BYTES);
        let (name, after) = found.ok_or(TemplateError::Open { line })?;
        let Some((_, value)) = variables.iter().find(|(known, _)| *known == name) else {
            let known = variables.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            return Err(TemplateError::Unknown { line, name: name.to_owned(), known });
        };
        made.push_str(value);
        rest = after;
    }
    made.push_str(rest);
    Ok(made)
}

/// The built-in bootstrap: the admin interface, the way to the agent, and mutual TLS for one program where that is set.
pub fn built_in(config: &Config, node: &Node) -> Value {
    let inbound = config.proxy.inbound;
    let listeners: Vec<_> =
        inbound.iter().map(|inbound| listener(inbound, config.identity.trust_domain.as_str())).collect();
    let application = inbound.iter().map(|inbound| {
        json!({
            "name": "application",
            "connect_timeout": "5s",
            "load_assignment": endpoint("application", &tcp(inbound.application)),
        })
    });
    let clusters: Vec<_> = std::iter::once(agent(config)).chain(application).collect();
    json!({
        "node": { "id": node.id, "cluster": node.cluster },
        "admin": { "address": admin_address(&config.proxy.admin) },
        "static_resources": { "listeners": listeners, "clusters": clusters },
    })
}

/// What is laid over a template's bootstrap, so that the agent can see and drain the Envoy that it starts.
pub fn overlay(config: &Config) -> Value {
    json!({ "admin": { "address": admin_address(&config.proxy.admin) } })
}

fn agent(config: &Config) -> Value {
    json!({
        "name": SDS_CLUSTER,
        "connect_timeout": "1s",
        "typed_extension_protocol_options": { HTTP_OPTIONS: {
            "@type": format!("type.googleapis.com/{HTTP_OPTIONS}"),
            "explicit_http_config": { "http2_protocol_options": {} },
        }},
        "load_assignment": endpoint(SDS_CLUSTER, &json!({ "pipe": { "path": config.sds.socket } })),
    })
}

fn listener(inbound: &Inbound, trust_domain: &str) -> Value {
    let members = json!({ "prefix": format!("spiffe://{trust_domain}/") });
    let tls = json!({
        "@type": format!("{TLS}.DownstreamTlsContext"),
        "require_client_certificate": true,
        "common_tls_context": {
            "tls_certificate_sds_secret_configs": [secret("default")],
            "combined_validation_context": {
                "default_validation_context": {
                    "match_typed_subject_alt_names": [{ "san_type": "URI", "matcher": members }],
                },
                "validation_context_sds_secret_config": secret("ROOTCA"),
            },
        },
    });
    let proxy = json!({ "@type": TCP_PROXY, "stat_prefix": "inbound", "cluster": "application" });
    json!({
        "name": "inbound",
        "traffic_direction": "INBOUND",
        "address": tcp(inbound.listen),
        "filter_chains": [{
            "filters": [{ "name": "tcp", "typed_config": proxy }],
            "transport_socket": { "name": "tls", "typed_config": tls },
        }],
    })
}

fn secret(name: &str) -> Value {
    json!({ "name": name, "sds_config": {
        "resource_api_version": "V3",
        // Zero waits without end; otherwise a listener without secrets goes live and drops all.
        "initial_fetch_timeout": "0s",
        "api_config_source": {
            "api_type": "DELTA_GRPC",
            "transport_api_version": "V3",
            "set_node_on_first_message_only": true,
            "grpc_services": [{ "envoy_grpc": {
                "cluster_name": SDS_CLUSTER,
                // Its successor comes soon after an agent that is gone.
                "retry_policy": { "retry_back_off": { "base_interval": "0.2s", "max_interval": "5s" } },
            }}],
        },
    }})
}

fn admin_address(address: &AdminAddress) -> Value {
    match address {
        AdminAddress::Tcp(address) => tcp(*address),
        AdminAddress::Unix(path) => json!({ "pipe": { "path": path } }),
    }
}

fn tcp(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } })
}

fn endpoint(cluster: &str, address: &Value) -> Value {
    json!({ "cluster_name": cluster, "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }] })
}

#[cfg(test)]
mod tests;
