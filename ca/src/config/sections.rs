//! Each section of the settings, read and checked. Every function reads all of its keys before it gives up, so that
//! every problem is told.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use rustls::pki_types::DnsName;
use signet_identity::der::AltName;
use signet_runtime::{Reader, files};

use super::admission::{admission, connections};
use super::callers::{self, callers};
use super::federation::federation;
use super::istiod::istiod;
use super::jwt::jwt;
use super::kubernetes::kubernetes;
use super::ledger::ledger;
use super::oidc_callers;
use super::otlp::otlp;
use super::pkcs11::pkcs11;
use super::rotation;
use super::rules::rules;
use super::secrets::{Secrets, secrets};
use super::stopping;
use super::{AuthorityConfig, AuthoritySource, CaConfig, LogConfig, ServingConfig};
use crate::authenticate::is_on_this_machine;
use crate::profile::{KeyKind, Profile};

/// Shortest duration that any setting may have; certificates count whole seconds.
const DURATION_MIN: Duration = Duration::from_secs(1);

/// Where we keep what we need, when nobody says.
const STATE_DIR: &str = "/var/lib/signet-ca";

/// What an operator writes who wants no such directory.
const NO_DIR: &str = "none";

/// Istiod's names and our own, for a namespace.
const SERVING_NAMES: [&str; 4] = ["istiod", "istiod-remote", "istio-pilot", "signet-ca"];

/// Name of the control socket in the state directory.
const CONTROL_SOCKET: &str = "control.sock";

pub(super) fn all(reader: &mut Reader) -> Option<CaConfig> {
    let trust_domain = reader.parsed_or("trust_domain", "cluster.local");
    let namespace: Option<String> = reader.or("namespace", "istio-system");
    let listen = reader.or("listen", "0.0.0.0:15012");
    let admin_listen = reader.or("admin.listen", "0.0.0.0:15014");
    let reflection = reader.or("reflection", "false");
    let log = log(reader);
    let mut kubernetes = kubernetes(reader, namespace.as_deref());
    let istiod = istiod(reader, namespace.as_deref());
    let has_api_server = matches!(kubernetes, Some(Some(_)));
    let callers = callers(reader, trust_domain.as_ref(), has_api_server);
    let secrets = secrets(reader, has_api_server);
    let authority = authority(reader, &secrets);
    let leaf = leaf(reader);
    let rules = rules(reader);
    let serving = serving(reader, namespace.as_deref().unwrap_or_default());
    let state_dir = state_dir(authority.as_ref());
    let serving_ttl = serving.as_ref().map(|serving| serving.ttl);
    let federation = federation(reader, state_dir, trust_domain.as_ref(), serving_ttl);
    if let (Some(callers), Some(federation)) = (&callers, &federation) {
        callers::check_domains(reader, callers, federation);
    }
    if let (Some(callers), Some(leaf)) = (&callers, &leaf) {
        callers::check_renewal(reader, callers, leaf.default_ttl.min(leaf.max_ttl));
    }
    let stale_after = callers.as_ref().map(|callers| callers.primary.stale_after);
    let jwt = jwt(
        reader,
        state_dir,
        secrets.token_keys,
        stale_after,
        federation.as_ref().map(|federation| federation.refresh_hint),
        federation.as_ref().is_some_and(|federation| federation.endpoint.is_some()),
    );
    if let (Some(callers), Some(Some(jwt))) = (&callers, &jwt)
        && jwt.mints
    {
        oidc_callers::check_own(reader, callers, jwt.profile.issuer.as_deref());
    }
    if let (Some(istiod), Some(kubernetes), Some(serving)) = (istiod, &mut kubernetes, &serving) {
        let mints = matches!(&jwt, Some(Some(_)));
        let others = callers.as_ref().zip(federation.as_ref());
        let follow = others.and_then(|(callers, federation)| istiod.follow(reader, callers, federation, mints));
        istiod.tell(reader, kubernetes.as_mut(), serving, follow);
    }
    let leaf_max_ttl = leaf.as_ref().map(|leaf| leaf.max_ttl);
    let ledger = ledger(reader, &state_dir.join("ledger"), leaf_max_ttl);
    let admission = admission(reader);
    let lives = leaf.as_ref().zip(serving.as_ref()).map(|(leaf, serving)| rotation::Lives::of(leaf, serving));
    let control_socket = control_socket(reader, authority.as_ref());
    let away = authority.as_ref().and_then(|authority| authority.secret.as_ref()).and(stale_after).unwrap_or_default();
    let rotation = rotation::rotation(reader, lives, away, authority.as_ref());
    let connections = connections(reader);
    let shutdown_delay = stopping::delay(reader);
    let otlp = otlp(reader);
    Some(CaConfig {
        trust_domain: trust_domain?,
        listen: listen?,
        admin_listen: admin_listen?,
        reflection: reflection?,
        log: log?,
        callers: callers?,
        authority: authority?,
        rotation: rotation?,
        control_socket,
        leaf: leaf?,
        rules: rules?,
        serving: serving?,
        jwt: jwt?,
        ledger: ledger?,
        admission: admission?,
        connections: connections?,
        shutdown_delay: shutdown_delay?,
        federation: federation?,
        otlp: otlp?,
        kubernetes: kubernetes?,
    })
}

/// Where what we keep is kept when nobody says: with the authority that we keep ourselves.
fn state_dir(authority: Option<&AuthorityConfig>) -> &Path {
    authority.and_then(|authority| authority.source.state_dir()).unwrap_or(Path::new(STATE_DIR))
}

fn log(reader: &mut Reader) -> Option<LogConfig> {
    let format = reader.parsed_or("log.format", "text");
    let level = reader.parsed_or("log.level", "info");
    Some(LogConfig { format: format?, level: level? })
}

/// Whether what stands at `url` can be believed; `roots_key` is the setting of its roots.
pub(super) fn check_url(url: &Uri, has_roots: bool, roots_key: &str) -> Result<(), String> {
    url.host().ok_or("must be a whole URL, such as https://kubernetes.default.svc/openid/v1/jwks")?;
    match url.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS && has_roots => Ok(()),
        Some(scheme) if *scheme == Scheme::HTTPS => Err(format!("https needs `{roots_key}`")),
        Some(scheme) if *scheme == Scheme::HTTP && is_on_this_machine(url) => Ok(()),
        _ => Err("must be https; http is accepted only to this machine".to_owned()),
    }
}

fn authority(reader: &mut Reader, secrets: &Secrets) -> Option<AuthorityConfig> {
    let plugged_in: Option<PathBuf> = reader.optional("authority.plugged_in_dir");
    let cacerts: Option<PathBuf> = reader.optional("authority.cacerts_dir");
    let state_dir: Option<PathBuf> = reader.or("authority.state_dir", STATE_DIR);
    let root_key = reader.parsed_or("authority.key_type", "P-256");
    let root_ttl = duration(reader, "authority.root_ttl", "87600h");
    if plugged_in.is_some() && cacerts.is_some() {
        reader.refuse("authority.plugged_in_dir", "does not go with `authority.cacerts_dir`");
    }
    let secret = secrets.authority.clone();
    let state_dir = state_dir?;
    let is_kept = state_dir.as_os_str() != NO_DIR;
    if !is_kept && plugged_in.is_none() {
        reader.refuse("authority.state_dir", "`none` goes with `authority.plugged_in_dir` only: a root has to be kept");
    }
    let source = match (plugged_in, cacerts) {
        (Some(dir), _) => AuthoritySource::PluggedIn { dir, state_dir: is_kept.then_some(state_dir) },
        (None, Some(dir)) => AuthoritySource::PluggedInIfThere { dir, state_dir },
        (None, None) => AuthoritySource::SelfSigned { state_dir },
    };
    let pkcs11 = pkcs11(reader, &source, secret.as_deref());
    let uses_cacerts = secrets.uses_cacerts;
    Some(AuthorityConfig { source, root_key: root_key?, root_ttl: root_ttl?, secret, uses_cacerts, pkcs11: pkcs11? })
}

/// Beside the state, unless it is put elsewhere.
fn control_socket(reader: &mut Reader, authority: Option<&AuthorityConfig>) -> Option<PathBuf> {
    let state_dir = authority.and_then(|authority| authority.source.state_dir());
    let beside = state_dir.map(|dir| dir.join(CONTROL_SOCKET));
    match beside.as_ref().and_then(|path| path.to_str()) {
        Some(default) => reader.or("control.socket", default),
        None => reader.optional("control.socket"),
    }
}

fn leaf(reader: &mut Reader) -> Option<Profile> {
    let is_default_set = reader.is_set("leaf.default_ttl");
    let default_ttl = duration(reader, "leaf.default_ttl", "24h");
    let max_ttl = duration(reader, "leaf.max_ttl", "2160h");
    if is_default_set && default_ttl > max_ttl && max_ttl.is_some() {
        reader.refuse("leaf.default_ttl", "must not be longer than `leaf.max_ttl`");
    }
    let over_max = reader.parsed_or("leaf.over_max", "clamp");
    let keys: Option<Vec<KeyKind>> = list(reader, "leaf.keys", "P-256,P-384,RSA");
    if keys.as_ref().is_some_and(Vec::is_empty) {
        reader.refuse("leaf.keys", "must name at least one kind of key");
    }
    let max_ttl = max_ttl?;
    Some(Profile { default_ttl: default_ttl?.min(max_ttl), max_ttl, over_max: over_max?, keys: keys? })
}

fn serving(reader: &mut Reader, namespace: &str) -> Option<ServingConfig> {
    let mut defaults = SERVING_NAMES.map(|name| format!("{name}.{namespace}.svc")).join(",");
    defaults.push_str(",localhost");
    let names: Option<Vec<ServingName>> = list(reader, "serving.names", &defaults);
    let extra: Option<Vec<ServingName>> = list(reader, "serving.extra_names", "");
    let ttl = duration(reader, "serving.ttl", "24h");
    let mut all: Vec<AltName> = Vec::new();
    let extra: Vec<AltName> = extra?.into_iter().map(|ServingName(name)| name).collect();
    for name in names?.into_iter().map(|ServingName(name)| name).chain(extra.clone()) {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    if all.is_empty() {
        reader.refuse("serving.names", "must hold at least one name");
    }
    Some(ServingConfig { names: all, extra, ttl: ttl? })
}

/// A name that a server certificate can hold.
struct ServingName(AltName);

impl FromStr for ServingName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = name.parse::<IpAddr>() {
            return Ok(Self(AltName::Ip(address)));
        }
        match DnsName::try_from(name) {
            Ok(dns) => Ok(Self(AltName::Dns(dns.as_ref().to_owned()))),
            Err(_) => Err(format!("`{name}` is neither a DNS name nor an IP address")),
        }
    }
}

pub(super) fn list<T: FromStr<Err = String>>(reader: &mut Reader, key: &str, default: &str) -> Option<Vec<T>> {
    let words: Vec<String> = reader.or(key, default)?;
    let mut items = Vec::with_capacity(words.len());
    for word in &words {
        match word.parse() {
            Ok(item) => items.push(item),
            Err(message) => reader.refuse(key, message),
        }
    }
    (items.len() == words.len()).then_some(items)
}

pub(super) fn duration(reader: &mut Reader, key: &str, default: &str) -> Option<Duration> {
    let duration: Duration = reader.or(key, default)?;
    if duration < DURATION_MIN {
        reader.refuse(key, "must be at least 1s");
    }
    Some(duration)
}

/// As [`duration`], of `least` at least.
pub(super) fn duration_from(reader: &mut Reader, key: &str, default: &str, least: Duration) -> Option<Duration> {
    let duration: Duration = reader.or(key, default)?;
    if duration < least {
        reader.refuse(key, format!("must be at least {}", humantime::format_duration(least)));
    }
    Some(duration)
}

pub(super) fn duration_if_set(reader: &mut Reader, key: &str) -> Option<Duration> {
    let duration: Duration = reader.optional(key)?;
    if duration < DURATION_MIN {
        reader.refuse(key, "must be at least 1s");
    }
    Some(duration)
}

pub(super) fn readable(reader: &mut Reader, key: &str, path: &Path, max_bytes: usize) -> Option<Vec<u8>> {
    match files::read(path, max_bytes) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            reader.refuse(key, error.to_string());
            None
        }
    }
}
