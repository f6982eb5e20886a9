//! The section `federation`: where the own bundle is published, and whose bundles are wanted.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;
use signet_identity::der::AltName;
use signet_identity::{SpiffeId, TrustDomain};
use signet_runtime::Reader;

use super::sections::duration;
use super::web::{WebCertificate, WebConfig, web};
use crate::federation::{PeerConfig, Profile};

/// Most peers.
const PEERS_MAX: usize = 64;

/// The path of the id that the bundle endpoint has. No workload has one below it.
const ENDPOINT_PATH: [&str; 2] = ["signet", "bundle-endpoint"];

/// Where the system keeps the roots of the web.
pub(super) const ROOTS_FILE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Federation, in both directions.
#[derive(Debug, Clone)]
pub struct FederationConfig {
    /// Where the own bundle is published.
    pub endpoint: Option<BundleEndpointConfig>,
    /// How often others are asked to look for changes.
    pub refresh_hint: Duration,
    /// Where the number of the own bundle and the bundles of peers are kept.
    pub state_dir: PathBuf,
    /// PEM roots for endpoints of profile `https_web`.
    pub roots_file: PathBuf,
    /// Whose bundles are wanted.
    pub peers: Vec<PeerConfig>,
}

/// Where the own bundle is published.
#[derive(Debug, Clone)]
pub struct BundleEndpointConfig {
    /// Address and certificate.
    pub web: WebConfig,
    /// Names and life of the X509-SVID that is presented instead, for profile `https_spiffe`.
    pub svid: Option<(Vec<AltName>, Duration)>,
}

/// Reads the section; state is kept below `state_dir` when nobody says where.
pub(super) fn federation(
    reader: &mut Reader,
    state_dir: &Path,
    trust_domain: Option<&TrustDomain>,
    svid_ttl: Option<Duration>,
) -> Option<FederationConfig> {
    let refresh_hint = duration(reader, "federation.refresh_hint", "5m");
    let endpoint = endpoint(reader, trust_domain, svid_ttl);
    let state_dir = reader.or("federation.state_dir", &state_dir.join("federation").to_string_lossy());
    let roots_file = reader.or("federation.roots_file", ROOTS_FILE);
    let tables = reader.tables("federation.domains");
    if tables.len() > PEERS_MAX {
        reader
            .refuse("federation.domains", format!("holds {} domains, at most {PEERS_MAX} are accepted", tables.len()));
    }
    let peers: Vec<Option<PeerConfig>> = tables.iter().map(|table| peer(reader, table)).collect();
    let peers: Option<Vec<PeerConfig>> = peers.into_iter().collect();
    for (table, peer) in tables.iter().zip(peers.iter().flatten()) {
        let known = peers.iter().flatten().filter(|known| known.trust_domain == peer.trust_domain).count();
        if trust_domain == Some(&peer.trust_domain) || known > 1 {
            reader.refuse(&format!("{table}.trust_domain"), "is the own trust domain, or there twice");
        }
    }
    Some(FederationConfig {
        endpoint: endpoint?,
        refresh_hint: refresh_hint?,
        state_dir: state_dir?,
        roots_file: roots_file?,
        peers: peers?,
    })
}

fn endpoint(
    reader: &mut Reader,
    trust_domain: Option<&TrustDomain>,
    svid_ttl: Option<Duration>,
) -> Option<Option<BundleEndpointConfig>> {
    let web = web(reader, "federation");
    let profile: Option<ProfileName> = reader.parsed_or("federation.profile", "https_web");
    let (web, profile) = (web?, profile?);
    let svid = match profile {
        ProfileName::Web => None,
        ProfileName::Spiffe => {
            if web.as_ref().is_some_and(|web| web.certificate != WebCertificate::Own) {
                reader.refuse("federation.profile", "`https_spiffe` does not go with `federation.tls_cert_file`");
            }
            let id = SpiffeId::from_segments(trust_domain?, &ENDPOINT_PATH).ok()?;
            Some((vec![AltName::Uri(id.to_string())], svid_ttl?))
        }
    };
    Some(web.map(|web| BundleEndpointConfig { web, svid }))
}

fn peer(reader: &mut Reader, table: &str) -> Option<PeerConfig> {
    let key = |name: &str| format!("{table}.{name}");
    let given: Option<String> = reader.required(&key("trust_domain"));
    let trust_domain = given.map(|name| name.parse::<TrustDomain>());
    if let Some(Err(error)) = &trust_domain {
        reader.refuse(&key("trust_domain"), error.to_string());
    }
    let url: Option<String> = reader.required(&key("url"));
    let url = url.map(|url| (url.contains('#'), url.parse::<Uri>()));
    let url = match url {
        Some((false, Ok(url))) if is_endpoint(&url) => Some(url),
        Some(_) => {
            reader.refuse(&key("url"), "must be an https URL without user and fragment");
            None
        }
        None => None,
    };
    let profile: Option<String> = reader.required(&key("profile"));
    let profile = profile.map(|name| name.parse::<ProfileName>());
    if let Some(Err(error)) = &profile {
        reader.refuse(&key("profile"), error.clone());
    }
    let endpoint_id: Option<SpiffeId> = reader.parsed(&key("endpoint_id"));
    let bundle_file: Option<PathBuf> = reader.optional(&key("bundle_file"));
    let trust_domain = trust_domain?.ok()?;
    let profile = match (profile?.ok()?, endpoint_id) {
        (ProfileName::Web, None) => Profile::Web,
        (ProfileName::Web, Some(_)) => {
            reader.refuse(&key("endpoint_id"), "goes with profile `https_spiffe` only");
            return None;
        }
        (ProfileName::Spiffe, Some(endpoint_id)) if endpoint_id.is_member_of(&trust_domain) => {
            Profile::Spiffe { endpoint_id }
        }
        (ProfileName::Spiffe, _) => {
            reader.refuse(&key("profile"), "`https_spiffe` needs `endpoint_id`, an id of the same trust domain");
            return None;
        }
    };
    if matches!(profile, Profile::Spiffe { .. }) && bundle_file.is_none() {
        reader.refuse(&key("profile"), "`https_spiffe` needs `bundle_file` to verify the endpoint with at first");
    }
    Some(PeerConfig { trust_domain, url: url?, profile, bundle_file })
}

fn is_endpoint(url: &Uri) -> bool {
    let host = url.authority().filter(|authority| !authority.as_str().contains('@'));
    url.scheme_str() == Some("https") && host.is_some()
}

#[derive(Debug, Clone, Copy)]
enum ProfileName {
    Web,
    Spiffe,
}

impl std::str::FromStr for ProfileName {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "https_web" => Ok(Self::Web),
            "https_spiffe" => Ok(Self::Spiffe),
            _ => Err(format!("`{word}` is not `https_web` or `https_spiffe`")),
        }
    }
}
