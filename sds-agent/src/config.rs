//! The agent's settings: which exist, where they may be written, and what they become.
//!
//! One table names every setting once, so file, environment, flags and help cannot drift apart. Knows nothing of what
//! the settings are used for beyond their types and bounds.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::uri::Authority;
use signet_identity::{Namespace, ServiceAccount, TrustDomain};
use signet_runtime::config::Effective;
use signet_runtime::telemetry::{LogFilter, LogFormat};
use signet_runtime::{ConfigError, Layers, Reader};

mod proxy;
mod sds;
mod setting;
mod values;

pub use proxy::{AdminAddress, DrainConfig, Inbound, ProxyConfig, ProxyValueError, Restart};
pub use sds::{SdsConfig, SdsFilesConfig};
pub use setting::SETTINGS;
pub use values::{CaAddress, CaAddresses, CaHeader, HeaderError, ServerName, SocketMode, Uid, ValueError};

/// Environment variables with this prefix become headers of every request to the CA.
pub const CA_HEADER_PREFIX: &str = "CA_HEADER_";

/// Longest lifetime that may be asked for.
const TTL_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Shortest lifetime that may be asked for: the wire counts whole seconds.
const TTL_MIN: Duration = Duration::from_secs(1);

/// Longest deadline of one call to the CA.
const DEADLINE_MAX: Duration = Duration::from_secs(120);

/// Everything that the agent can be told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Whose identity, how long, when renewed.
    pub identity: IdentityConfig,
    /// Where the CA is and how it is trusted.
    pub ca: CaConfig,
    /// The credential shown to the CA.
    pub token: TokenConfig,
    /// The socket for proxies.
    pub sds: SdsConfig,
    /// Where key, chain and roots are written as files, if at all.
    pub output_dir: Option<PathBuf>,
    /// Where liveness, readiness and metrics are served.
    pub admin_listen: SocketAddr,
    /// The Envoy that is started and watched over, where that is asked for.
    pub proxy: ProxyConfig,
    /// How the process talks.
    pub log: LogConfig,
}

/// Whose identity, how long, when renewed.
#[derive(Debug, Clone)]
pub struct IdentityConfig {
    /// The trust domain that the identity must belong to.
    pub trust_domain: TrustDomain,
    /// The namespace that the identity must name; the token's own when unset.
    pub namespace: Option<Namespace>,
    /// The service account that the identity must name; the token's own when unset.
    pub service_account: Option<ServiceAccount>,
    /// The lifetime asked for; the CA may give less.
    pub ttl: Duration,
    /// The share of life that is left when renewal begins, between 0 and 1.
    pub renew_ratio: f64,
    /// How far that share is moved at random to either side, between 0 and 1.
    pub renew_jitter: f64,
}

/// Where the CA is and how it is trusted.
#[derive(Debug, Clone)]
pub struct CaConfig {
    /// Where it is.
    pub endpoint: CaEndpoint,
    /// Where else it is: tried in turn when a place does not answer.
    pub alternatives: Vec<CaEndpoint>,
    /// PEM file with the roots that its serving certificate must chain to; read again at each call.
    pub root_file: PathBuf,
    /// What to say in the `ClusterID` header, if anything.
    pub cluster_id: Option<String>,
    /// Time for one call, connecting included.
    pub deadline: Duration,
    /// More headers.
    pub headers: Vec<CaHeader>,
}

/// One place where the CA is.
#[derive(Debug, Clone)]
pub struct CaEndpoint {
    /// Host and port; always spoken to over TLS.
    pub address: CaAddress,
    /// The name that its serving certificate must carry.
    pub server_name: ServerName,
}

impl CaConfig {
    /// The place after so many moves from one to the next, round and round.
    pub fn place(&self, moves: usize) -> &CaEndpoint {
        let places = self.alternatives.len() + 1;
        let alternative = (moves % places).checked_sub(1).and_then(|index| self.alternatives.get(index));
        alternative.unwrap_or(&self.endpoint)
    }
}

/// The credential shown to the CA.
#[derive(Debug, Clone)]
pub struct TokenConfig {
    /// The projected service account token; read again at each call.
    pub file: PathBuf,
    /// The audience that the token must have been made for.
    pub audience: String,
}

/// How the process talks.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// Text or JSON.
    pub format: LogFormat,
    /// A level or a list of `target=level` pairs.
    pub level: LogFilter,
}

/// Reads all settings, and the `CA_HEADER_` variables given as name (without prefix) and value.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load(layers: Layers, headers: &[(String, String)]) -> Result<(Config, Effective), ConfigError> {
    let mut reader = Reader::new(layers);
    let root = reader.or("root_dir", "/").unwrap_or_else(|| PathBuf::from("/"));
    let identity = identity(&mut reader);
    let ca = ca(&mut reader, &root, headers);
    let token = token(&mut reader, &root);
    let sds = sds::sds(&mut reader, &root, identity.as_ref().map(|identity| &identity.trust_domain));
    let output_dir = reader.optional("files.output_dir");
    let admin_listen = reader.or("admin.listen", "127.0.0.1:15020");
    let proxy = proxy::proxy(&mut reader, &root);
    let log = log(&mut reader);
    let config = (|| {
        Some(Config {
            identity: identity?,
            ca: ca?,
            token: token?,
            sds: sds?,
            output_dir,
            admin_listen: admin_listen?,
            proxy: proxy?,
            log: log?,
        })
    })();
    reader.finish(config)
}

fn identity(reader: &mut Reader) -> Option<IdentityConfig> {
    let trust_domain = reader.parsed_or("trust_domain", "cluster.local");
    let namespace = reader.parsed("namespace");
    let service_account = reader.parsed("service_account");
    let ttl = bounded(reader, "identity.ttl", "24h", TTL_MIN, TTL_MAX);
    let renew_ratio = share(reader, "identity.renew_ratio", "0.5");
    let renew_jitter = share(reader, "identity.renew_jitter", "0.1");
    Some(IdentityConfig {
        trust_domain: trust_domain?,
        namespace,
        service_account,
        ttl: ttl?,
        renew_ratio: renew_ratio?,
        renew_jitter: renew_jitter?,
    })
}

fn ca(reader: &mut Reader, root: &Path, headers: &[(String, String)]) -> Option<CaConfig> {
    // Asked for as text first, so that a missing address is told in the words of the others.
    let addresses = reader.required::<String>("ca.address").and_then(|text| {
        let addresses = text.parse::<CaAddresses>();
        addresses.map_err(|error| reader.refuse("ca.address", error.to_string())).ok()
    });
    let root_file = path(reader, "ca.root_file", root, "var/run/secrets/istio/root-cert.pem");
    let endpoints = endpoints(reader, addresses);
    let cluster_id = reader.optional::<String>("ca.cluster_id");
    if let Some(error) = cluster_id.as_ref().and_then(|id| CaHeader::new("clusterid", id).err()) {
        reader.refuse("ca.cluster_id", error.to_string());
    }
    let deadline = bounded(reader, "ca.deadline", "10s", Duration::from_millis(100), DEADLINE_MAX);
    let headers = headers.iter().filter_map(|(name, value)| {
        let header = CaHeader::new(name, value);
        header.map_err(|error| reader.refuse(&format!("{CA_HEADER_PREFIX}{name}"), error.to_string())).ok()
    });
    let headers = headers.collect();
    let mut endpoints = endpoints?.into_iter();
    Some(CaConfig {
        endpoint: endpoints.next()?,
        alternatives: endpoints.collect(),
        root_file: root_file?,
        cluster_id,
        deadline: deadline?,
        headers,
    })
}

/// Each address with the name that its certificate must carry: the one that is set, or the address's own host.
fn endpoints(reader: &mut Reader, addresses: Option<CaAddresses>) -> Option<Vec<CaEndpoint>> {
    let name: Option<ServerName> = match addresses.as_ref().map(CaAddresses::as_slice) {
        Some([address]) => Some(reader.parsed_or("ca.server_name", address.host())?),
        _ => reader.parsed("ca.server_name"),
    };
    let endpoint = |address: CaAddress| {
        let server_name = name.clone().map_or_else(|| address.host().parse(), Ok);
        let refused = |error: ValueError| reader.refuse("ca.address", error.to_string());
        Some(CaEndpoint { server_name: server_name.map_err(refused).ok()?, address })
    };
    addresses?.into_iter().map(endpoint).collect()
}

fn token(reader: &mut Reader, root: &Path) -> Option<TokenConfig> {
    let file = path(reader, "token.file", root, "var/run/secrets/tokens/istio-token");
    let audience = reader.or("token.audience", "istio-ca");
    Some(TokenConfig { file: file?, audience: audience? })
}

fn log(reader: &mut Reader) -> Option<LogConfig> {
    let format = reader.parsed_or("log.format", "text");
    let level = reader.parsed_or("log.level", "info");
    Some(LogConfig { format: format?, level: level? })
}

fn path(reader: &mut Reader, key: &str, root: &Path, default: &str) -> Option<PathBuf> {
    reader.or(key, &root.join(default).to_string_lossy())
}

fn bounded(reader: &mut Reader, key: &str, default: &str, min: Duration, max: Duration) -> Option<Duration> {
    let span = reader.or::<Duration>(key, default)?;
    if (min..=max).contains(&span) {
        return Some(span);
    }
    reader.refuse(key, format!("`{span:?}` is out of bounds, {min:?} to {max:?} are accepted"));
    None
}

fn share(reader: &mut Reader, key: &str, default: &str) -> Option<f64> {
    let share = reader.or::<f64>(key, default)?;
    if (0.0..=1.0).contains(&share) {
        return Some(share);
    }
    reader.refuse(key, format!("`{share}` is out of bounds, 0 to 1 are accepted"));
    None
}

impl CaAddress {
    /// The authority of the CA's URL.
    pub fn authority(&self) -> &Authority {
        &self.0
    }
}

#[cfg(test)]
mod tests;
