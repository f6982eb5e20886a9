//! Where an issuer that speaks OpenID Connect keeps its keys, by its discovery document (OpenID Connect Discovery 1.0,
//! section 4).

use std::net::IpAddr;
use std::path::Path;

use http::Uri;
use http::uri::Scheme;
use serde::Deserialize;

use super::jwks_source::{FetchError, fetch};

const PATH: &str = ".well-known/openid-configuration";

/// Longest text of a document that is repeated in an error, in characters.
const TOLD_MAX_CHARS: usize = 256;

/// Why a discovery document leads to no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// The issuer is no URL.
    #[error("issuer is not a URL")]
    Url,
    /// Not JSON, or without `issuer` and `jwks_uri`.
    #[error("discovery document is malformed")]
    Malformed,
    /// Of somebody else.
    #[error("discovery document is that of `{found}`")]
    Issuer {
        /// What it says.
        found: String,
    },
    /// Keys that anybody on the way could exchange.
    #[error("discovery document names keys at `{url}`, which is not https")]
    KeysUrl {
        /// Where.
        url: String,
    },
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

/// The key set that `issuer` publishes now.
pub(super) async fn keys(issuer: &str, ca_file: &Path) -> Result<Vec<u8>, FetchError> {
    let url = format!("{}/{PATH}", issuer.trim_end_matches('/')).parse().map_err(|_| DiscoveryError::Url)?;
    let document = fetch(&url, Some(ca_file), None).await?;
    let keys_url = keys_url(&document, issuer, is_on_this_machine(&url))?;
    fetch(&keys_url, Some(ca_file), None).await
}

/// Where `document`, which must be that of `issuer`, says that the keys are. Only an issuer that is itself on this
/// machine (`is_local`) may have them there without TLS.
fn keys_url(document: &[u8], issuer: &str, is_local: bool) -> Result<Uri, DiscoveryError> {
    let document: Document = serde_json::from_slice(document).map_err(|_| DiscoveryError::Malformed)?;
    if document.issuer != issuer {
        return Err(DiscoveryError::Issuer { found: told(&document.issuer) });
    }
    let url: Uri = document.jwks_uri.parse().map_err(|_| DiscoveryError::Malformed)?;
    let is_believable = match url.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => url.host().is_some(),
        Some(scheme) if *scheme == Scheme::HTTP => is_local && is_on_this_machine(&url),
        _ => false,
    };
    if is_believable { Ok(url) } else { Err(DiscoveryError::KeysUrl { url: told(&document.jwks_uri) }) }
}

/// Whether what is at `url` is on this machine, so that nobody stands between.
pub(crate) fn is_on_this_machine(url: &Uri) -> bool {
    url.host().is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}

fn told(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(TOLD_MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ISSUER: &str = "https://issuer.example";

    #[track_caller]
    fn check(document: &serde_json::Value, is_local: bool, wanted: Result<&str, DiscoveryError>) {
        let found = keys_url(document.to_string().as_bytes(), ISSUER, is_local);
        assert_eq!(found.map(|url| url.to_string()), wanted.map(str::to_owned), "{document}");
    }

    #[test]
    fn a_document_must_be_the_issuers_own_and_lead_to_keys_that_nobody_can_exchange() {
        let document = |issuer: &str, keys: &str| json!({ "issuer": issuer, "jwks_uri": keys, "more": [1] });
        check(&document(ISSUER, "https://keys.example/k"), false, Ok("https://keys.example/k"));
        check(&document(ISSUER, "http://127.0.0.1:1/k"), true, Ok("http://127.0.0.1:1/k"));
        let not_https = |url: &str| Err(DiscoveryError::KeysUrl { url: url.to_owned() });
        for (url, is_local) in [("http://keys.example/k", true), ("http://127.0.0.1/k", false), ("/k", true)] {
            check(&document(ISSUER, url), is_local, not_https(url));
        }
        let other = "https://issuer.example/".to_owned();
        check(&document(&other, "https://keys.example/k"), false, Err(DiscoveryError::Issuer { found: other }));
        for malformed in [json!([]), json!({}), json!({"issuer": ISSUER}), json!({"issuer": 1, "jwks_uri": 2})] {
            check(&malformed, false, Err(DiscoveryError::Malformed));
        }
    }
}
