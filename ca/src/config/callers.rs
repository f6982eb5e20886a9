//! Settings of who may call: the clusters, and how each one's tokens are proved.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use http::Uri;
use signet_identity::bundle::BUNDLE_PEM_MAX_BYTES;
use signet_identity::jwk::JWKS_MAX_BYTES;
use signet_identity::{JwkSet, TrustDomain, WorkloadName};
use signet_kubernetes::Connection;
use signet_runtime::Reader;

use super::FederationConfig;
use super::oidc_callers::{self, OidcConfig, oidc_callers};
use super::sections::{check_url, duration, duration_from, list, readable};
use crate::authenticate::{ClusterRules, JwksSource, Method, TokenMode, TokenRules};
use crate::patterns::NamePattern;

/// Shortest time after which knowledge of objects counts as stale: an API server that has nothing to say may be silent
/// for half of it.
const STALE_MIN: Duration = Duration::from_secs(300);

/// Most names of one cluster.
const ALIASES_MAX: usize = 64;

const ENROLLED_ONLY: &str = "node_proxies_enrolled_only";

/// Who may call.
#[derive(Debug, Clone)]
pub struct CallersConfig {
    /// Ways of identifying callers, in order.
    pub methods: Vec<Method>,
    /// The cluster that is meant when a caller names none.
    pub primary: ClusterConfig,
    /// All other clusters.
    pub others: Vec<ClusterConfig>,
    /// Issuers that are no cluster's.
    pub oidc: Vec<OidcConfig>,
    /// How long after its last token a holder may renew by its certificate, where that is one of the ways.
    pub renewal_max_age: Option<Duration>,
}

/// One cluster.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// What the operator demands.
    pub rules: ClusterRules,
    /// Where its issuer's keys are.
    pub keys: Option<KeysConfig>,
    /// How old knowledge of its objects may be.
    pub stale_after: Duration,
    /// Where its API server is, if it is not the own cluster.
    pub connection: Option<Connection>,
}

/// Where an issuer's keys are.
#[derive(Debug, Clone)]
pub struct KeysConfig {
    /// The file or URL; none: the cluster's API server.
    pub place: Option<JwksSource>,
    /// How often it is read anew.
    pub refresh: Duration,
}

/// `has_api_server`: whether the own cluster's API server can be asked.
pub(super) fn callers(
    reader: &mut Reader,
    trust_domain: Option<&TrustDomain>,
    has_api_server: bool,
) -> Option<CallersConfig> {
    let id = reader.or("cluster_id", "Kubernetes");
    let aliases = names(reader, "cluster_aliases");
    let node_proxies = accounts(reader, "node_proxies", "");
    let enrolled_only: Option<bool> = reader.or(ENROLLED_ONLY, "true");
    let like = Like::new(trust_domain, node_proxies.as_deref(), enrolled_only);
    let named = Named { id, aliases, trust_domain: trust_domain.cloned(), node_proxies, enrolled_only };
    let primary = cluster(reader, "tokens", named, "istio-ca", has_api_server);
    let one_more: Option<String> = reader.optional("tokens.audience");
    let audiences = primary.as_ref().map_or_else(|| "istio-ca".to_owned(), |it| it.rules.tokens.audiences.join(","));
    let others = reader.tables("clusters").iter().map(|key| other(reader, key, &like, &audiences)).collect::<Vec<_>>();
    let methods = methods(reader);
    let oidc = oidc_callers(reader, trust_domain);
    let renewal_max_age = duration(reader, "renewal.max_age", "72h");
    let (mut primary, others): (_, Vec<_>) = (primary?, others.into_iter().collect::<Option<_>>()?);
    primary.rules.tokens.audiences.extend(one_more);
    tell_apart(reader, &primary, &others)?;
    let methods = methods?;
    let renews = methods.contains(&Method::ClientCertificate);
    let renewal_max_age = renewal_max_age.filter(|_| renews);
    let callers = CallersConfig { methods, primary, others, oidc: oidc?, renewal_max_age };
    oidc_callers::check(reader, &callers);
    Some(callers)
}

fn methods(reader: &mut Reader) -> Option<Vec<Method>> {
    let methods: Vec<Method> = list(reader, "authenticators", "kubernetes,oidc")?;
    if methods.is_empty() {
        reader.refuse("authenticators", "must name at least one way of identifying callers");
    }
    for (number, method) in methods.iter().enumerate() {
        if methods.iter().take(number).any(|before| before == method) {
            reader.refuse("authenticators", format!("names `{method}` twice"));
        }
    }
    Some(methods)
}

/// What the settings of the primary cluster and those of others call differently.
struct Named {
    id: Option<String>,
    aliases: Option<Vec<String>>,
    trust_domain: Option<TrustDomain>,
    node_proxies: Option<Vec<WorkloadName>>,
    enrolled_only: Option<bool>,
}

/// What other clusters take from the primary where they say nothing of their own, as text.
struct Like {
    trust_domain: String,
    node_proxies: String,
    enrolled_only: String,
}

impl Like {
    fn new(
        trust_domain: Option<&TrustDomain>,
        node_proxies: Option<&[WorkloadName]>,
        enrolled_only: Option<bool>,
    ) -> Self {
        let accounts: Vec<_> = node_proxies.unwrap_or_default().iter().map(ToString::to_string).collect();
        let trust_domain = trust_domain.map(ToString::to_string).unwrap_or_default();
        let enrolled_only = enrolled_only.unwrap_or(true).to_string();
        Self { trust_domain, node_proxies: accounts.join(","), enrolled_only }
    }
}

fn other(reader: &mut Reader, key: &str, like: &Like, audiences: &str) -> Option<ClusterConfig> {
    let named = Named {
        id: reader.required(&format!("{key}.id")),
        aliases: names(reader, &format!("{key}.aliases")),
        trust_domain: reader.parsed_or(&format!("{key}.trust_domain"), &like.trust_domain),
        node_proxies: accounts(reader, &format!("{key}.node_proxies"), &like.node_proxies),
        enrolled_only: reader.or(&format!("{key}.{ENROLLED_ONLY}"), &like.enrolled_only),
    };
    let path: Option<PathBuf> = reader.optional(&format!("{key}.kubeconfig"));
    let context: Option<String> = reader.optional(&format!("{key}.context"));
    let connection = path.map(|path| Connection::Kubeconfig { path, context });
    let cluster = cluster(reader, key, named, audiences, connection.is_some())?;
    Some(ClusterConfig { connection, ..cluster })
}

fn cluster(
    reader: &mut Reader,
    section: &str,
    named: Named,
    audiences: &str,
    has_api_server: bool,
) -> Option<ClusterConfig> {
    let key = |name: &str| format!("{section}.{name}");
    let mode: Option<TokenMode> = reader.parsed_or(&key("mode"), "local");
    let needs_no_keys = mode.is_some_and(|mode| !mode.proves_here());
    let issuer: Option<String> =
        if needs_no_keys { reader.optional(&key("issuer")) } else { reader.required(&key("issuer")) };
    let audiences: Option<Vec<String>> = reader.or(&key("audiences"), audiences);
    if audiences.as_ref().is_some_and(Vec::is_empty) {
        reader.refuse(&key("audiences"), "must name at least one audience");
    }
    let keys = keys(reader, section, needs_no_keys, has_api_server);
    let require_pod = reader.or(&key("require_pod"), "true");
    let namespaces: Option<Vec<NamePattern>> = list(reader, &key("namespaces"), "*");
    let reviews_per_second = at_least_one(reader, &key("reviews_per_second"), "200");
    let stale_after = duration_from(reader, &key("stale_after"), "24h", STALE_MIN);
    if issuer.is_none() && !needs_no_keys {
        return None;
    }
    let rules = ClusterRules {
        id: named.id?,
        aliases: named.aliases?,
        trust_domain: named.trust_domain?,
        namespaces: namespaces?,
        tokens: TokenRules { issuer, audiences: audiences?, require_pod: require_pod? },
        mode: mode?,
        reviews_per_second: reviews_per_second?,
        node_proxies: named.node_proxies?,
        enrolled_only: named.enrolled_only?,
    };
    Some(ClusterConfig { rules, keys: keys?, stale_after: stale_after?, connection: None })
}

/// Where an issuer's keys are, by the keys `jwks_*` of `section`. `may_lack` them where tokens are proved elsewhere;
/// `has_api_server` that can be asked for them where they are not said to be anywhere else.
pub(super) fn keys(
    reader: &mut Reader,
    section: &str,
    may_lack: bool,
    has_api_server: bool,
) -> Option<Option<KeysConfig>> {
    let key = |name: &str| format!("{section}.{name}");
    let (file_key, url_key) = (key("jwks_file"), key("jwks_url"));
    let file: Option<PathBuf> = reader.optional(&file_key);
    let url: Option<Uri> = reader.parsed(&url_key);
    let ca_file: Option<PathBuf> = reader.optional(&key("jwks_ca_file"));
    if let Some(path) = &ca_file {
        readable(reader, &key("jwks_ca_file"), path, BUNDLE_PEM_MAX_BYTES);
    }
    let token_file: Option<PathBuf> = reader.optional(&key("jwks_token_file"));
    let place = match (file, url) {
        (Some(path), None) => {
            let json = readable(reader, &file_key, &path, JWKS_MAX_BYTES + 1);
            if let Some(Err(error)) = json.map(|json| JwkSet::from_json(&json)) {
                reader.refuse(&file_key, error.to_string());
            }
            Some(JwksSource::File(path))
        }
        (None, Some(url)) => {
            if let Err(message) = check_url(&url, ca_file.is_some(), &key("jwks_ca_file")) {
                reader.refuse(&url_key, message);
            }
            Some(JwksSource::Url { url, ca_file, token_file })
        }
        (Some(_), Some(_)) => {
            reader.refuse(&url_key, format!("set either this or `{file_key}`"));
            None
        }
        (None, None) => {
            if !may_lack && !has_api_server {
                reader.refuse(&file_key, format!("set this or `{url_key}`"));
            }
            None
        }
    };
    let asks_api_server = place.is_none() && !may_lack && has_api_server;
    let refresh = duration(reader, &key("jwks_refresh"), "5m")?;
    match place {
        None if asks_api_server => Some(Some(KeysConfig { place: None, refresh })),
        None => may_lack.then_some(None),
        place => Some(Some(KeysConfig { place, refresh })),
    }
}

fn at_least_one(reader: &mut Reader, key: &str, default: &str) -> Option<u32> {
    let number: u64 = reader.or(key, default)?;
    let number = u32::try_from(number).ok().filter(|number| *number > 0);
    if number.is_none() {
        reader.refuse(key, format!("must be at least 1 and at most {}", u32::MAX));
    }
    number
}

fn names(reader: &mut Reader, key: &str) -> Option<Vec<String>> {
    let names: Vec<String> = reader.or(key, "")?;
    if names.len() > ALIASES_MAX {
        reader.refuse(key, format!("names {} clusters, at most {ALIASES_MAX} are accepted", names.len()));
    }
    Some(names)
}

/// A service account as charts write it: `namespace/name`.
struct Account(WorkloadName);

impl FromStr for Account {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || format!("`{text}` is no service account, written as namespace/name");
        let (namespace, account) = text.split_once('/').ok_or_else(malformed)?;
        let namespace = namespace.parse().map_err(|_| malformed())?;
        let service_account = account.parse().map_err(|_| malformed())?;
        Ok(Self(WorkloadName { namespace, service_account }))
    }
}

fn accounts(reader: &mut Reader, key: &str, default: &str) -> Option<Vec<WorkloadName>> {
    let accounts: Vec<Account> = list(reader, key, default)?;
    Some(accounts.into_iter().map(|Account(name)| name).collect())
}

/// No two clusters may have a name in common.
fn tell_apart(reader: &mut Reader, primary: &ClusterConfig, others: &[ClusterConfig]) -> Option<()> {
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    let mut is_good = true;
    for (number, cluster) in std::iter::once(primary).chain(others).enumerate() {
        let key = number.checked_sub(1).map_or("cluster_id".to_owned(), |table| format!("clusters[{table}]"));
        for name in std::iter::once(&cluster.rules.id).chain(&cluster.rules.aliases) {
            if name.is_empty() || !taken.insert(name) {
                reader.refuse(&key, format!("name `{name}` is empty or belongs to another cluster"));
                is_good = false;
            }
        }
    }
    is_good.then_some(())
}

/// A trust domain in which identities are issued here is nobody else's to vouch for.
pub(super) fn check_domains(reader: &mut Reader, callers: &CallersConfig, federation: &FederationConfig) {
    for (number, cluster) in callers.others.iter().enumerate() {
        let domain = &cluster.rules.trust_domain;
        if federation.peers.iter().any(|peer| peer.trust_domain == *domain) {
            let message =
                format!("`{domain}` is among `federation.domains` too, so two authorities would speak for it");
            reader.refuse(&format!("clusters[{number}].trust_domain"), message);
        }
    }
}

/// A renewal is cut to what is left of the bound, so that within one life it would prolong nothing.
pub(super) fn check_renewal(reader: &mut Reader, callers: &CallersConfig, leaf_ttl: Duration) {
    if callers.renewal_max_age.is_some_and(|max_age| max_age <= leaf_ttl) {
        let message = "is over when a certificate of `leaf.default_ttl` ends, so no renewal would prolong anything";
        reader.refuse("renewal.max_age", message);
    }
}
