//! The section `jwt`: whether tokens are minted, for how long, and how often their key changes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;
use signet_runtime::Reader;

use super::sections::duration;
use super::web::{WebConfig, web};
use crate::jwt::{LEAD_REFRESHES, TokenProfile, lead};

/// Tokens and their keys.
#[derive(Debug, Clone)]
pub struct JwtConfig {
    /// Whether tokens are minted; otherwise keys that are shared from before are published until their last token has ended,
    /// and the number of the set that readers know goes on from them.
    pub mints: bool,
    /// What a token may say.
    pub profile: TokenProfile,
    /// How long a key signs.
    pub key_ttl: Duration,
    /// How often readers of the published keys look for changes.
    pub refresh_hint: Duration,
    /// Where keys are kept, unless all replicas share them.
    pub state_dir: PathBuf,
    /// The Secret in which they are shared.
    pub secret: Option<String>,
    /// How long minting must go on while nothing can be written down.
    pub away: Duration,
    /// Where verifiers find them; the profile has an issuer then.
    pub oidc: Option<WebConfig>,
}

/// Reads the section, `oidc` with it; keys are kept below `state_dir` when nobody says where. `Some(None)` when tokens are not minted
/// and nothing of them is published, `None` only after a problem.
pub(super) fn jwt(
    reader: &mut Reader,
    state_dir: &Path,
    secret: Option<String>,
    away: Option<Duration>,
    refresh_hint: Option<Duration>,
    is_bundle_published: bool,
) -> Option<Option<JwtConfig>> {
    let enabled: Option<bool> = reader.or("jwt.enabled", "false");
    let issuer: Option<String> = reader.optional("jwt.issuer");
    let default_ttl = duration(reader, "jwt.default_ttl", "5m");
    let max_ttl = duration(reader, "jwt.max_ttl", "1h");
    let key_ttl = duration(reader, "jwt.key_ttl", "24h");
    let state_dir = reader.or("jwt.state_dir", &state_dir.join("jwt").to_string_lossy());
    if let Some(issuer) = &issuer {
        check_issuer(reader, issuer);
    }
    let oidc = web(reader, "oidc");
    if oidc.as_ref().is_some_and(Option::is_some) && (enabled == Some(false) || issuer.is_none()) {
        reader.refuse("oidc.listen", "needs `jwt.enabled` and `jwt.issuer`");
    }
    let (default_ttl, max_ttl, key_ttl, refresh_hint) = (default_ttl?, max_ttl?, key_ttl?, refresh_hint?);
    if default_ttl > max_ttl {
        reader.refuse("jwt.default_ttl", "must not be above `jwt.max_ttl`");
    }
    if key_ttl < max_ttl {
        reader.refuse("jwt.key_ttl", "must not be below `jwt.max_ttl`");
    }
    if key_ttl < lead(refresh_hint) {
        let message = format!(
            "must be at least {LEAD_REFRESHES} times `federation.refresh_hint`, for which a key is published before it signs"
        );
        reader.refuse("jwt.key_ttl", message);
    }
    let away = away.filter(|_| secret.is_some()).unwrap_or_default();
    let profile = TokenProfile { issuer, default_ttl, max_ttl };
    let mints = enabled?;
    let is_followed = secret.is_some() && is_bundle_published;
    Some((mints || is_followed).then_some(JwtConfig {
        mints,
        profile,
        key_ttl,
        refresh_hint,
        state_dir: state_dir?,
        secret,
        away,
        oidc: oidc?,
    }))
}

/// The rules of OpenID Connect Discovery (section 2): https, a host, neither query nor fragment.
fn check_issuer(reader: &mut Reader, issuer: &str) {
    let is_fit = |url: &Uri| {
        let host = url.authority().filter(|authority| !authority.as_str().contains('@'));
        url.scheme_str() == Some("https") && host.is_some() && url.query().is_none()
    };
    if issuer.contains('#') || !issuer.parse().as_ref().is_ok_and(is_fit) {
        let message = "must be an https URL without user, query and fragment, such as https://tokens.example.org";
        reader.refuse("jwt.issuer", message);
    }
}
