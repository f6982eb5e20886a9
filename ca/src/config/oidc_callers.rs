//! Settings of callers that no cluster vouches for: tables `[[oidc_callers]]` of the file, and Istio's `JWT_RULE`.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use serde::Deserialize;
use signet_identity::bundle::BUNDLE_PEM_MAX_BYTES;
use signet_identity::jwk::JWKS_MAX_BYTES;
use signet_identity::{JwkSet, TrustDomain};
use signet_runtime::Reader;

use super::sections::{check_url, duration, list, readable};
use super::{CallersConfig, federation};
use crate::authenticate::{JwksSource, Method, Naming, OidcRules, PathTemplate, RequiredClaim, TokenMode};
use crate::patterns::NamePattern;

const TABLES: &str = "oidc_callers";

/// Istio's rule, as JSON.
const RULE: &str = "oidc_rule";

/// Most issuers: each has keys that are fetched and kept.
const ISSUERS_MAX: usize = 64;

/// How often keys are read anew.
const REFRESH: &str = "5m";

/// The same for Istio's rule, which cannot say it.
const RULE_REFRESH: Duration = Duration::from_secs(300);

/// One issuer.
#[derive(Debug, Clone)]
pub struct OidcConfig {
    /// The setting that tells it.
    pub told_by: String,
    /// What the operator demands.
    pub rules: OidcRules,
    /// Where its keys are.
    pub keys: JwksSource,
    /// How often they are read anew.
    pub refresh: Duration,
}

/// All issuers, each with the key it is told by.
pub(super) fn oidc_callers(reader: &mut Reader, trust_domain: Option<&TrustDomain>) -> Option<Vec<OidcConfig>> {
    let tables = reader.tables(TABLES);
    if tables.len() > ISSUERS_MAX {
        reader.refuse(TABLES, format!("has {} tables, at most {ISSUERS_MAX} are accepted", tables.len()));
    }
    let issuers: Vec<_> = tables.iter().map(|table| issuer(reader, table, trust_domain)).collect();
    let rule = istio_rule(reader, trust_domain);
    let mut issuers = issuers.into_iter().collect::<Option<Vec<_>>>()?;
    issuers.extend(rule?);
    Some(issuers)
}

/// Whether `callers` can tell every token's issuer, and use every way of identifying.
pub(super) fn check(reader: &mut Reader, callers: &CallersConfig) {
    let clusters = std::iter::once(&callers.primary).chain(&callers.others);
    let mut taken: Vec<&str> = clusters.filter_map(|cluster| cluster.rules.tokens.issuer.as_deref()).collect();
    for oidc in &callers.oidc {
        let issuer = oidc.rules.issuer.as_str();
        if taken.contains(&issuer) {
            let message = format!("tokens of `{issuer}` are judged by a cluster's or another issuer's rules already");
            reader.refuse(&oidc.told_by, message);
        }
        taken.push(issuer);
        check_beside_reviews(reader, callers, &oidc.told_by);
    }
    for (number, oidc) in callers.oidc.iter().enumerate() {
        let mut before = callers.oidc.iter().take(number);
        if let Some(other) = before.find(|other| other.rules.may_name_alike(&oidc.rules)) {
            let message =
                format!("could name the same callers as `{}`: use another `path` or `namespaces`", other.told_by);
            reader.refuse(&oidc.told_by, message);
        }
    }
    if !callers.oidc.is_empty() && !callers.methods.contains(&Method::Oidc) {
        reader.refuse("authenticators", format!("does not name `oidc`, so nothing in `{TABLES}` would be used"));
    }
}

/// A token that a review refused must not be accepted by its keys alone: the pod that it was bound to may be gone. Without
/// the reviewing cluster's issuer nobody can say whether `told_by` names the same one.
fn check_beside_reviews(reader: &mut Reader, callers: &CallersConfig, told_by: &str) {
    let clusters = std::iter::once(&callers.primary).chain(&callers.others);
    let mut unnamed = clusters
        .map(|cluster| &cluster.rules)
        .filter(|rules| rules.mode == TokenMode::Review && rules.tokens.issuer.is_none());
    if let Some(rules) = unnamed.next() {
        let message =
            format!("needs the issuer of cluster `{}`, which has its tokens reviewed and does not name it", rules.id);
        reader.refuse(told_by, message);
    }
}

/// Tokens that are minted here prove nobody here: with them a certificate would be had for a certificate, and so on.
pub(super) fn check_own(reader: &mut Reader, callers: &CallersConfig, own: Option<&str>) {
    if own.is_some_and(|own| callers.oidc.iter().any(|oidc| oidc.rules.issuer == own)) {
        reader.refuse(TABLES, "names `jwt.issuer`, whose tokens are minted here and prove nobody here");
    }
}

fn issuer(reader: &mut Reader, table: &str, trust_domain: Option<&TrustDomain>) -> Option<OidcConfig> {
    let key = |name: &str| format!("{table}.{name}");
    let issuer: Option<String> = reader.required(&key("issuer"));
    let audiences: Option<Vec<String>> = reader.required(&key("audiences"));
    if audiences.as_ref().is_some_and(Vec::is_empty) {
        reader.refuse(&key("audiences"), "must name at least one audience");
    }
    let required: Option<Vec<RequiredClaim>> = list(reader, &key("require"), "");
    let path = reader.optional::<String>(&key("path"));
    let naming =
        path.as_deref().map_or(Ok(Naming::ServiceAccount), |path| path.parse::<PathTemplate>().map(Naming::Path));
    let naming = naming.map_err(|message| reader.refuse(&key("path"), message)).ok();
    let namespaces: Option<Vec<NamePattern>> = list(reader, &key("namespaces"), "");
    if let (Some(naming), Some(namespaces)) = (&naming, &namespaces)
        && naming.names_workloads() == namespaces.is_empty()
    {
        let message = if namespaces.is_empty() {
            "must say for which namespaces this issuer may vouch"
        } else {
            "means nothing where `path` names no workloads"
        };
        reader.refuse(&key("namespaces"), message);
    }
    let keys = keys(reader, table, issuer.as_deref());
    let refresh = duration(reader, &key("refresh"), REFRESH);
    let rules = OidcRules {
        issuer: issuer?,
        audiences: audiences?,
        required: required?,
        naming: naming?,
        namespaces: namespaces?,
        trust_domain: trust_domain?.clone(),
    };
    Some(OidcConfig { told_by: table.to_owned(), rules, keys: keys?, refresh: refresh? })
}

fn keys(reader: &mut Reader, table: &str, issuer: Option<&str>) -> Option<JwksSource> {
    let key = |name: &str| format!("{table}.{name}");
    let file: Option<PathBuf> = reader.optional(&key("jwks_file"));
    let url: Option<Uri> = reader.parsed(&key("jwks_url"));
    let own_ca_file: Option<PathBuf> = reader.optional(&key("ca_file"));
    if let Some(path) = &own_ca_file {
        readable(reader, &key("ca_file"), path, BUNDLE_PEM_MAX_BYTES);
    }
    let ca_file = own_ca_file.unwrap_or_else(|| federation::ROOTS_FILE.into());
    match (file, url) {
        (Some(path), None) => {
            let json = readable(reader, &key("jwks_file"), &path, JWKS_MAX_BYTES + 1)?;
            if let Err(error) = JwkSet::from_json(&json) {
                reader.refuse(&key("jwks_file"), error.to_string());
            }
            Some(JwksSource::File(path))
        }
        (None, Some(url)) => at_url(reader, &key("jwks_url"), url, ca_file),
        (None, None) => discovered(reader, &key("issuer"), issuer?, ca_file),
        (Some(_), Some(_)) => {
            reader.refuse(&key("jwks_url"), format!("set either this or `{}`", key("jwks_file")));
            None
        }
    }
}

fn at_url(reader: &mut Reader, key: &str, url: Uri, ca_file: PathBuf) -> Option<JwksSource> {
    match check_url(&url, true, "ca_file") {
        Ok(()) => Some(JwksSource::Url { url, ca_file: Some(ca_file), token_file: None }),
        Err(message) => {
            reader.refuse(key, message);
            None
        }
    }
}

fn discovered(reader: &mut Reader, key: &str, issuer: &str, ca_file: PathBuf) -> Option<JwksSource> {
    let url = issuer.parse::<Uri>().map_err(|error| error.to_string());
    match url.and_then(|url| check_url(&url, true, "ca_file")) {
        Ok(()) => Some(JwksSource::Discovery { issuer: issuer.to_owned(), ca_file }),
        Err(message) => {
            reader.refuse(key, format!("keys cannot be found by way of this issuer: {message}"));
            None
        }
    }
}

/// What of Istio's `JWTRule` message its own authority reads.
#[derive(Deserialize)]
struct JwtRule {
    issuer: String,
    #[serde(default)]
    audiences: Vec<String>,
    #[serde(alias = "jwks_uri", rename = "jwksUri")]
    jwks_uri: Option<String>,
}

/// The inner `None` says that there is none.
fn istio_rule(reader: &mut Reader, trust_domain: Option<&TrustDomain>) -> Option<Option<OidcConfig>> {
    let Some(json) = reader.optional::<String>(RULE) else { return Some(None) };
    let rule: JwtRule = match serde_json::from_str(&json) {
        Ok(rule) => rule,
        Err(error) => {
            reader.refuse(RULE, format!("is no JWTRule in JSON: {error}"));
            return None;
        }
    };
    if rule.audiences.is_empty() {
        reader.refuse(RULE, "must name at least one audience");
    }
    let ca_file = federation::ROOTS_FILE.into();
    let keys = match rule.jwks_uri {
        Some(url) => match url.parse() {
            Ok(url) => at_url(reader, RULE, url, ca_file),
            Err(_) => {
                reader.refuse(RULE, format!("`{url}` is not a URL"));
                None
            }
        },
        None => discovered(reader, RULE, &rule.issuer, ca_file),
    };
    let rules = OidcRules {
        issuer: rule.issuer,
        audiences: rule.audiences,
        required: Vec::new(),
        naming: Naming::ServiceAccount,
        namespaces: "*".parse().into_iter().collect(),
        trust_domain: trust_domain?.clone(),
    };
    Some(Some(OidcConfig { told_by: RULE.to_owned(), rules, keys: keys?, refresh: RULE_REFRESH }))
}
