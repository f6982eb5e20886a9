//! Settings of the connection to Kubernetes, and of what is published there.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use http::Uri;
use signet_identity::bundle::BUNDLE_PEM_MAX_BYTES;
use signet_kubernetes::Connection;
use signet_runtime::Reader;

use super::sections::{check_url, duration, readable};
use crate::kubernetes::{ConfigMapsConfig, IstiodTlsConfig, MeshConfigPlace, Policy};

/// Where kubelet puts what a pod needs to talk to its API server.
const POD_CA_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
const POD_TOKEN_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Why a setting is refused where there is no API server.
pub(super) const NEEDS_API_SERVER: &str = "needs an API server: set `kubernetes.server`, or run in a pod";

/// Longest name of an object (RFC 1123 subdomain).
const NAME_MAX_BYTES: usize = 253;

/// The connection to the cluster that this process belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesConfig {
    /// Where its API server is.
    pub connection: Connection,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// Where our own objects are.
    pub namespace: String,
    /// What this replica is called.
    pub replica: String,
    /// The Lease by which one replica leads; without one this process is alone.
    pub lease: Option<String>,
    /// Whether events are written about what operators should see.
    pub events: bool,
    /// The name of the ConfigMaps with roots, whether or not they are published here.
    pub roots_map: String,
    /// What is published as ConfigMaps.
    pub config_maps: Option<ConfigMapsConfig>,
    /// Over whose objects ours are written.
    pub policy: Policy,
    /// The certificate that istiod serves with, where it is kept here.
    pub istiod_tls: Option<IstiodTlsConfig>,
    /// Istio's mesh config, where it is watched.
    pub mesh_config: Option<MeshConfigPlace>,
    /// Over whom a ClusterTrustBundle is published, if one is.
    pub trust_bundle: Option<Policy>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Auto,
    InCluster,
    Off,
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "in-cluster" => Ok(Self::InCluster),
            "off" => Ok(Self::Off),
            _ => Err(format!("`{text}` is not `auto`, `in-cluster` or `off`")),
        }
    }
}

/// The section; the inner `None` says that there is no Kubernetes.
pub(super) fn kubernetes(reader: &mut Reader, namespace: Option<&str>) -> Option<Option<KubernetesConfig>> {
    let connection = connection(reader);
    let request_timeout = duration(reader, "kubernetes.request_timeout", "10s");
    let replica = name(reader, "kubernetes.replica", "signet-ca");
    let elect: Option<bool> = reader.or("kubernetes.elect", "true");
    let lease = name(reader, "kubernetes.lease", "signet-ca");
    let events: Option<bool> = reader.or("kubernetes.events", "true");
    let roots_map = name(reader, "publish.config_map_name", "istio-ca-root-cert");
    let policy = policy(reader);
    let config_maps = roots_map.as_ref().and_then(|name| config_maps(reader, name, policy.clone()));
    let has_bundle: Option<bool> = reader.or("publish.cluster_trust_bundle", "true");
    let (request_timeout, replica, elect, lease) = (request_timeout?, replica?, elect?, lease?);
    let (events, config_maps, roots_map, namespace) = (events?, config_maps?, roots_map?, namespace?.to_owned());
    let policy = policy?;
    let trust_bundle = has_bundle?.then(|| policy.clone());
    let config = connection?.map(|connection| KubernetesConfig {
        connection,
        request_timeout,
        namespace,
        replica,
        lease: elect.then_some(lease),
        events,
        roots_map,
        config_maps,
        policy,
        istiod_tls: None,
        mesh_config: None,
        trust_bundle,
    });
    Some(config)
}

fn connection(reader: &mut Reader) -> Option<Option<Connection>> {
    let mode: Option<Mode> = reader.parsed_or("kubernetes.mode", "auto");
    let server: Option<Uri> = reader.parsed("kubernetes.server");
    let ca_file: Option<PathBuf> = reader.optional("kubernetes.ca_file");
    let token_file: Option<PathBuf> = reader.optional("kubernetes.token_file");
    let kubeconfig: Option<PathBuf> = reader.optional("kubernetes.kubeconfig");
    let context: Option<String> = reader.optional("kubernetes.context");
    let host: Option<String> = reader.optional("kubernetes.service_host");
    let port: Option<String> = reader.or("kubernetes.service_port", "443");
    if let Some(path) = &ca_file {
        readable(reader, "kubernetes.ca_file", path, BUNDLE_PEM_MAX_BYTES);
    }
    if server.is_some() && kubeconfig.is_some() {
        reader.refuse("kubernetes.kubeconfig", "goes not with `kubernetes.server`");
    }
    let in_pod = |host: String, port: String| pod_connection(&host, &port, ca_file.clone(), token_file.clone());
    match (mode?, server, kubeconfig, host) {
        (Mode::Off, ..) => Some(None),
        (Mode::Auto, Some(url), ..) => {
            if let Err(message) = check_url(&url, ca_file.is_some(), "kubernetes.ca_file") {
                reader.refuse("kubernetes.server", message);
            }
            Some(Some(Connection::Server { url, ca_file, token_file }))
        }
        (Mode::Auto, None, Some(path), _) => Some(Some(Connection::Kubeconfig { path, context })),
        // Whoever runs in a pod without credentials did not mean to talk to its API server.
        (Mode::Auto, None, None, Some(_)) if token_file.is_none() && !Path::new(POD_TOKEN_FILE).exists() => Some(None),
        (Mode::Auto | Mode::InCluster, None, None, Some(host)) => {
            let connection = in_pod(host, port?);
            if connection.is_none() {
                reader.refuse("kubernetes.service_host", "is no host that an API server can have");
            }
            connection.map(Some)
        }
        (Mode::Auto, None, None, None) => Some(None),
        (Mode::InCluster, None, None, None) => {
            reader.refuse(
                "kubernetes.mode",
                "`in-cluster` needs `kubernetes.service_host`, which every pod's environment has",
            );
            None
        }
        (Mode::InCluster, ..) => {
            reader.refuse(
                "kubernetes.mode",
                "`in-cluster` goes with neither `kubernetes.server` nor `kubernetes.kubeconfig`",
            );
            None
        }
    }
}

fn pod_connection(host: &str, port: &str, ca_file: Option<PathBuf>, token_file: Option<PathBuf>) -> Option<Connection> {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let url = format!("https://{host}:{port}").parse().ok()?;
    let ca_file = Some(ca_file.unwrap_or_else(|| POD_CA_FILE.into()));
    let token_file = Some(token_file.unwrap_or_else(|| POD_TOKEN_FILE.into()));
    Some(Connection::Server { url, ca_file, token_file })
}

fn config_maps(reader: &mut Reader, roots_map: &str, policy: Option<Policy>) -> Option<Option<ConfigMapsConfig>> {
    let is_on: Option<bool> = reader.or("publish.config_maps", "true");
    let excluded = "kube-public,kube-node-lease,local-path-storage";
    let excluded: Option<Vec<String>> = reader.or("publish.exclude_namespaces", excluded);
    let selector: Option<String> = reader.optional("publish.namespace_selector");
    let config = ConfigMapsConfig { name: roots_map.to_owned(), excluded: excluded?, selector, policy: policy? };
    Some(is_on?.then_some(config))
}

/// Over whom anything is published.
fn policy(reader: &mut Reader) -> Option<Policy> {
    let manager = name(reader, "publish.field_manager", "signet-ca");
    let take_over_from: Option<Vec<String>> = reader.or("publish.take_over_from", "");
    let share: Option<bool> = reader.or("publish.share", "false");
    Some(Policy { manager: manager?, take_over_from: take_over_from?, share: share? })
}

/// The name of an object.
pub(super) fn name(reader: &mut Reader, key: &str, default: &str) -> Option<String> {
    let name: String = reader.or(key, default)?;
    check_name(reader, key, &name);
    Some(name)
}

/// Refuses what no object can be called.
pub(super) fn check_name(reader: &mut Reader, key: &str, name: &str) {
    let is_good = !name.is_empty()
        && name.len() <= NAME_MAX_BYTES
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && name.bytes().last().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if !is_good {
        reader.refuse(key, format!("`{name}` is no name of a Kubernetes object"));
    }
}
