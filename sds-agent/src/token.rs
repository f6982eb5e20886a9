//! The projected service account token: read afresh at each use, looked at before it is shown to anyone.
//!
//! Nothing here proves the token; the CA does that. The agent looks at its own token so that a stale or wrong one is
//! told here, in plain words, instead of as a bare refusal from afar.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use signet_identity::{JwsError, Timestamp, UnverifiedJws, WorkloadName, jws};
use signet_runtime::files::{self, FileError};
use zeroize::Zeroizing;

use crate::config::TokenConfig;

/// What the subject of a service account token begins with.
const SUBJECT_PREFIX: &str = "system:serviceaccount:";

/// Audiences quoted in an error, at most.
const AUDIENCES_TOLD_MAX: usize = 5;

/// Why there is no token to show.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file is not there.
    #[error("token file `{path}` does not exist")]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file cannot be read, or is too large.
    #[error("token file cannot be read")]
    Unreadable(#[source] FileError),
    /// The file holds nothing.
    #[error("token file `{path}` is empty")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Not a token.
    #[error("token file does not hold a service account token")]
    Malformed(#[from] JwsError),
    /// A token whose claims cannot be read.
    #[error("token has no readable claims")]
    Claims,
    /// Its time is over.
    #[error("token expired at {at}")]
    Expired {
        /// When.
        at: Timestamp,
    },
    /// Made for someone else.
    #[error("token is meant for {found}, not for `{wanted}`")]
    Audience {
        /// What it says.
        found: String,
        /// What is configured.
        wanted: String,
    },
}

impl TokenError {
    /// The error's name in metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "token_missing",
            Self::Unreadable(_) => "token_unreadable",
            Self::Empty { .. } => "token_empty",
            Self::Malformed(_) | Self::Claims => "token_malformed",
            Self::Expired { .. } => "token_expired",
            Self::Audience { .. } => "token_audience",
        }
    }
}

/// A token that looked usable when it was read. Wiped when dropped, never printed.
pub struct Token {
    text: Zeroizing<String>,
    expires_at: Timestamp,
    workload: Option<WorkloadName>,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    aud: Audiences,
    exp: f64,
    sub: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Audiences {
    #[default]
    None,
    One(String),
    Many(Vec<String>),
}

impl Token {
    /// Reads the file anew.
    ///
    /// # Errors
    /// Every variant of [`TokenError`].
    pub fn read(config: &TokenConfig, now: Timestamp) -> Result<Self, TokenError> {
        let bytes = files::read(&config.file, jws::TOKEN_MAX_BYTES).map_err(|error| match error.is_missing() {
            true => TokenError::Missing { path: config.file.clone() },
            false => TokenError::Unreadable(error),
        })?;
        let bytes = Zeroizing::new(bytes);
        let text = std::str::from_utf8(&bytes).map_err(|_| JwsError::Malformed)?.trim();
        if text.is_empty() {
            return Err(TokenError::Empty { path: config.file.clone() });
        }
        Self::parse(text, &config.audience, now)
    }

    fn parse(text: &str, audience: &str, now: Timestamp) -> Result<Self, TokenError> {
        let payload = Zeroizing::new(UnverifiedJws::parse(text)?.unproven_payload()?);
        let claims: Claims = serde_json::from_slice(&payload).map_err(|_| TokenError::Claims)?;
        let expires_at = expiry(claims.exp).ok_or(TokenError::Claims)?;
        if expires_at <= now {
            return Err(TokenError::Expired { at: expires_at });
        }
        if !claims.aud.contains(audience) {
            return Err(TokenError::Audience { found: claims.aud.to_string(), wanted: audience.to_owned() });
        }
        let workload = claims.sub.as_deref().and_then(workload);
        Ok(Self { text: Zeroizing::new(text.to_owned()), expires_at, workload })
    }

    /// The token itself.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// When it ends.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// The workload that it says it belongs to; `None` when it is not a service account's.
    pub fn workload(&self) -> Option<&WorkloadName> {
        self.workload.as_ref()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(until {}, redacted)", self.expires_at)
    }
}

impl Audiences {
    fn contains(&self, wanted: &str) -> bool {
        match self {
            Self::None => false,
            Self::One(one) => one == wanted,
            Self::Many(many) => many.iter().any(|one| one == wanted),
        }
    }
}

impl fmt::Display for Audiences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = match self {
            Self::None => Vec::new(),
            Self::One(one) => vec![format!("`{}`", one.escape_debug())],
            Self::Many(many) => {
                many.iter().take(AUDIENCES_TOLD_MAX).map(|one| format!("`{}`", one.escape_debug())).collect()
            }
        };
        if names.is_empty() { f.write_str("nobody") } else { f.write_str(&names.join(", ")) }
    }
}

/// A NumericDate (RFC 7519, 2) within what a timestamp can hold; a fraction of a second is cut off.
fn expiry(seconds: f64) -> Option<Timestamp> {
    const SECONDS_MAX: f64 = 9.0e15;
    #[expect(clippy::cast_possible_truncation, reason = "cut off on purpose, after the bounds were checked")]
    let whole = (0.0..SECONDS_MAX).contains(&seconds).then_some(seconds as i64)?;
    Some(Timestamp::from_unix_secs(whole))
}

fn workload(subject: &str) -> Option<WorkloadName> {
    let (namespace, service_account) = subject.strip_prefix(SUBJECT_PREFIX)?.split_once(':')?;
    Some(WorkloadName { namespace: namespace.parse().ok()?, service_account: service_account.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use serde_json::{Value, json};
    use signet_testkit::TokenIssuer;

    const NOW: Timestamp = Timestamp::from_unix_secs(1_700_000_000);

    fn parse(change: impl FnOnce(&mut Value)) -> Result<Token, TokenError> {
        let issuer = TokenIssuer::es256();
        let mut claims = issuer.claims("shop", "web", NOW, Duration::from_secs(600));
        change(&mut claims);
        Token::parse(&issuer.sign(&claims), "istio-ca", NOW)
    }

    #[test]
    fn a_good_token_tells_whose_it_is_and_until_when() {
        let token = parse(|_| ()).unwrap();
        assert_eq!(token.workload().unwrap().to_string(), "shop/web");
        assert_eq!(token.expires_at(), NOW.plus(Duration::from_secs(600)));
        assert!(!format!("{token:?}").contains(token.expose()));
    }

    #[test]
    fn an_expired_token_is_refused_by_name() {
        let error = parse(|claims| claims["exp"] = json!(NOW.unix_secs())).unwrap_err();
        assert_eq!(error.to_string(), "token expired at 2023-11-14T22:13:20Z");
    }

    #[test]
    fn a_token_for_another_audience_is_refused_and_both_are_named() {
        let error = parse(|claims| claims["aud"] = json!(["vault", "kube"])).unwrap_err();
        assert_eq!(error.to_string(), "token is meant for `vault`, `kube`, not for `istio-ca`");
        let error = parse(|claims| drop(claims.as_object_mut().unwrap().remove("aud"))).unwrap_err();
        assert_eq!(error.to_string(), "token is meant for nobody, not for `istio-ca`");
        assert!(parse(|claims| claims["aud"] = json!("istio-ca")).is_ok());
    }

    #[test]
    fn claims_that_cannot_be_read_are_refused() {
        for exp in [json!("soon"), json!(-1), json!(1e300), Value::Null] {
            assert!(matches!(parse(|claims| claims["exp"] = exp), Err(TokenError::Claims)));
        }
    }

    #[test]
    fn a_subject_of_another_kind_names_no_workload() {
        for subject in ["user", "system:serviceaccount:shop", "system:serviceaccount:a/b:web"] {
            assert!(parse(|claims| claims["sub"] = json!(subject)).unwrap().workload().is_none(), "{subject}");
        }
    }

    fn check_file(content: Option<&[u8]>, wanted: &str) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let config = TokenConfig { file, audience: "istio-ca".to_owned() };
        assert_eq!(Token::read(&config, NOW).unwrap_err().reason(), wanted);
    }

    #[test]
    fn each_way_a_file_can_be_bad_has_its_own_name() {
        check_file(None, "token_missing");
        check_file(Some(b""), "token_empty");
        check_file(Some(b" \n"), "token_empty");
        check_file(Some(b"not a token"), "token_malformed");
        check_file(Some(b"\xff\xfe"), "token_malformed");
        check_file(Some(&[b'a'; jws::TOKEN_MAX_BYTES + 1]), "token_unreadable");
    }
}
