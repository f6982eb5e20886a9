//! `authority.secret` and `jwt.secret`: the Secrets in which all replicas keep what they share.

use signet_runtime::Reader;

use super::kubernetes::{NEEDS_API_SERVER, check_name};

/// The Secret of token keys, where the authority is in one too.
const TOKEN_KEYS: &str = "signet-ca-jwt";

/// The Secret that Istio also keeps its own root in, where it is told to.
pub(crate) const CACERTS: &str = "cacerts";
const USE_CACERTS: &str = "authority.use_cacerts";

/// The names of both, where they are set.
pub(super) struct Secrets {
    pub(super) authority: Option<String>,
    pub(super) token_keys: Option<String>,
    /// Whether the authority is in [`CACERTS`].
    pub(super) uses_cacerts: bool,
}

/// Reads both. A Secret needs an API server to keep it.
pub(super) fn secrets(reader: &mut Reader, has_api_server: bool) -> Secrets {
    let named = secret(reader, "authority.secret", has_api_server);
    let uses_cacerts = reader.or(USE_CACERTS, "false").unwrap_or(false);
    if uses_cacerts && named.as_ref().is_some_and(|name| name != CACERTS) {
        reader.refuse(USE_CACERTS, "does not go with `authority.secret`");
    }
    if uses_cacerts && !has_api_server {
        reader.refuse(USE_CACERTS, NEEDS_API_SERVER);
    }
    let authority = if uses_cacerts { Some(CACERTS.to_owned()) } else { named };
    let token_keys = secret(reader, "jwt.secret", has_api_server);
    if authority.is_some() && authority == token_keys {
        reader.refuse("jwt.secret", "must be another Secret than `authority.secret`");
    }
    let token_keys = token_keys.or_else(|| authority.as_ref().map(|_| TOKEN_KEYS.to_owned()));
    Secrets { authority, token_keys, uses_cacerts }
}

fn secret(reader: &mut Reader, key: &str, has_api_server: bool) -> Option<String> {
    let name: String = reader.optional(key)?;
    check_name(reader, key, &name);
    if !has_api_server {
        reader.refuse(key, NEEDS_API_SERVER);
    }
    Some(name)
}
