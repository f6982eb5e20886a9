//! `authority.secret` and `jwt.secret`: the Secrets in which all replicas keep what they share.

use signet_runtime::Reader;

use super::kubernetes::check_name;

/// The Secret of token keys, where the authority is in one too.
const TOKEN_KEYS: &str = "signet-ca-jwt";

/// The names of both, where they are set.
pub(super) struct Secrets {
    pub(super) authority: Option<String>,
    pub(super) token_keys: Option<String>,
}

/// Reads both. A Secret needs an API server to keep it.
pub(super) fn secrets(reader: &mut Reader, has_api_server: bool) -> Secrets {
    let authority = secret(reader, "authority.secret", has_api_server);
    let token_keys = secret(reader, "jwt.secret", has_api_server);
    if authority.is_some() && authority == token_keys {
        reader.refuse("jwt.secret", "must be another Secret than `authority.secret`");
    }
    let token_keys = token_keys.or_else(|| authority.as_ref().map(|_| TOKEN_KEYS.to_owned()));
    Secrets { authority, token_keys }
}

fn secret(reader: &mut Reader, key: &str, has_api_server: bool) -> Option<String> {
    let name: String = reader.optional(key)?;
    check_name(reader, key, &name);
    if !has_api_server {
        reader.refuse(key, "needs an API server: set `kubernetes.server`, or run in a pod");
    }
    Some(name)
}
