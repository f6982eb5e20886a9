//! A request as people write it, in a file or by flags. What is missing is what a plain connection lacks.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use signet_policy::select::Point;

/// Longest file with a request, cases or keys, in bytes.
pub(crate) const REQUEST_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Where a policy is enforced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum At {
    /// A sidecar that sees HTTP.
    #[default]
    SidecarHttp,
    /// A sidecar that sees bytes.
    SidecarTcp,
    /// A gateway's HTTP listener.
    GatewayHttp,
    /// A gateway's TCP or TLS listener.
    GatewayTcp,
    /// A waypoint.
    Waypoint,
    /// The node's layer 4 proxy.
    Ztunnel,
}

impl From<At> for Point {
    fn from(at: At) -> Self {
        match at {
            At::SidecarHttp => Self::SidecarHttp,
            At::SidecarTcp => Self::SidecarTcp,
            At::GatewayHttp => Self::GatewayHttp,
            At::GatewayTcp => Self::GatewayTcp,
            At::Waypoint => Self::Waypoint,
            At::Ztunnel => Self::Ztunnel,
        }
    }
}

/// One request, and where it is asked about.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Question {
    /// The point that enforces.
    #[serde(default)]
    pub(crate) at: At,
    pub(crate) to: To,
    #[serde(default)]
    pub(crate) from: Caller,
    /// Nothing for a connection that is no HTTP.
    #[serde(default)]
    pub(crate) http: Option<HttpPart>,
    /// What a verified token says; instead of a token in a header.
    #[serde(default)]
    pub(crate) claims: Option<Map<String, Value>>,
}

/// Whom the request is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct To {
    /// `NAMESPACE/NAME` of a workload among the manifests, instead of namespace and labels.
    #[serde(default)]
    pub(crate) workload: Option<String>,
    #[serde(default)]
    pub(crate) namespace: Option<String>,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    /// For a waypoint: `NAMESPACE/NAME` of the service.
    #[serde(default)]
    pub(crate) service: Option<String>,
    /// The port of the workload.
    pub(crate) port: u16,
    #[serde(default = "unspecified")]
    pub(crate) ip: IpAddr,
}

impl Default for To {
    fn default() -> Self {
        let labels = BTreeMap::new();
        Self { workload: None, namespace: None, labels, service: None, port: 0, ip: unspecified() }
    }
}

/// Who asks.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Caller {
    /// The whole SPIFFE id; nothing for plaintext.
    #[serde(default)]
    pub(crate) identity: Option<String>,
    /// The other end of the connection.
    #[serde(default = "unspecified")]
    pub(crate) ip: IpAddr,
    /// The client's address as the proxy trusts it, where it is another.
    #[serde(default)]
    pub(crate) remote_ip: Option<IpAddr>,
    #[serde(default)]
    pub(crate) sni: Option<String>,
}

impl Default for Caller {
    fn default() -> Self {
        Self { identity: None, ip: unspecified(), remote_ip: None, sni: None }
    }
}

/// The HTTP part.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct HttpPart {
    #[serde(default = "get")]
    pub(crate) method: String,
    #[serde(default)]
    pub(crate) host: String,
    #[serde(default = "root")]
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, Lines>,
}

/// A header that was sent once or several times.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Lines {
    One(String),
    Many(Vec<String>),
}

impl Lines {
    pub(crate) fn each(&self) -> &[String] {
        match self {
            Self::One(line) => std::slice::from_ref(line),
            Self::Many(lines) => lines,
        }
    }
}

fn unspecified() -> IpAddr {
    IpAddr::V4(Ipv4Addr::UNSPECIFIED)
}

fn get() -> String {
    "GET".to_owned()
}

fn root() -> String {
    "/".to_owned()
}
