//! The way of one token: who asks, for whom the token is, how long it lives, and the claims it makes.
//!
//! A caller gets a token for the identity that it would get a certificate for, decided by the same code.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};
use signet_identity::{KeyError, SpiffeId, Timestamp, TrustDomain, hex, jws};
use tokio::sync::watch;
use tokio::time::Instant as Deadline;

use super::ring::KeyRing;
use crate::authenticate::{Caller, Credential};
use crate::issue::{IssueError, Issuer, Recorded, try_again_after};
use crate::ledger::Issued;

/// Most audiences of one token. The standard strongly recommends one.
pub const AUDIENCES_MAX: usize = 8;

/// Longest audience, in bytes.
pub const AUDIENCE_MAX_BYTES: usize = 256;

/// What tokens are called in the ledger.
const KIND: &str = "jwt";

/// Octets of a token's own id.
const TOKEN_ID_OCTETS: usize = 16;

/// The operator's rules for tokens.
#[derive(Debug, Clone)]
pub struct TokenProfile {
    /// `iss` of each token, if it is to have one.
    pub issuer: Option<String>,
    /// Granted to who asks for nothing.
    pub default_ttl: Duration,
    /// The longest life granted; longer wishes are cut to it.
    pub max_ttl: Duration,
}

/// What a request asks for.
pub(crate) struct MintRequest<'a> {
    pub(crate) credential: Credential<'a>,
    pub(crate) audiences: &'a [String],
    /// The wanted life in seconds; zero or less means that there is no wish.
    pub(crate) asked_secs: i64,
    /// What the request is called in answer, log and ledger.
    pub(crate) request_id: &'a str,
    /// Where it came from.
    pub(crate) peer: Option<SocketAddr>,
    /// When its caller stops waiting for the answer.
    pub(crate) deadline: Option<Deadline>,
}

/// A token that was minted, with what its record says.
pub(crate) struct MintedToken {
    /// In compact form. A secret.
    pub(crate) token: String,
    pub(crate) caller: Caller,
    pub(crate) id: SpiffeId,
    /// The token's own id.
    pub(crate) token_id: String,
    /// The key that signed it.
    pub(crate) kid: String,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// Why an audience is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AudienceError {
    /// A token for nobody in particular would be good for everybody.
    #[error("at least one audience is needed")]
    Missing,
    /// Over [`AUDIENCES_MAX`].
    #[error("{count} audiences were asked for, at most {AUDIENCES_MAX} are accepted")]
    TooMany {
        /// Asked for.
        count: usize,
    },
    /// An empty text.
    #[error("an audience is empty")]
    Empty,
    /// Over [`AUDIENCE_MAX_BYTES`].
    #[error("an audience has {actual} bytes, at most {AUDIENCE_MAX_BYTES} are accepted")]
    TooLong {
        /// Its bytes.
        actual: usize,
    },
    /// Would look like another one where it is shown.
    #[error("an audience holds a control character")]
    Control,
}

/// Why no token was minted.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// As for a certificate.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The caller lives in another trust domain than the keys are published for, so nobody could verify its token.
    #[error("`{id}` is not of the trust domain whose token keys these are")]
    AnotherTrustDomain {
        /// The caller.
        id: SpiffeId,
    },
    /// The caller: its audiences.
    #[error("audience is unusable")]
    Audience(#[from] AudienceError),
    /// There is no key that stays published for the life of a token.
    #[error("there is no token key to sign with now")]
    NoKey,
    /// The operator.
    #[error("token could not be signed")]
    Sign(#[from] KeyError),
}

impl MintError {
    /// When the caller should try again, if the server is only busy.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Issue(error) => error.retry_after(),
            Self::NoKey => Some(try_again_after()),
            _ => None,
        }
    }

    /// A stable word for logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Issue(error) => error.reason(),
            Self::AnotherTrustDomain { .. } => "another_trust_domain",
            Self::Audience(_) => "audience",
            Self::NoKey => "token_key",
            Self::Sign(_) => "sign",
        }
    }
}

/// Everything that minting needs.
#[derive(Debug)]
pub(crate) struct Minter {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) trust_domain: TrustDomain,
    pub(crate) profile: TokenProfile,
    pub(crate) keys: watch::Receiver<Arc<KeyRing>>,
}

impl Minter {
    /// Mints one token. It is returned only after the ledger has confirmed its record.
    ///
    /// # Errors
    /// Every variant of [`MintError`]; nothing is kept of a request that failed.
    pub(crate) async fn mint(&self, request: &MintRequest<'_>) -> Result<MintedToken, MintError> {
        let now = Timestamp::from(self.issuer.clock.now());
        let (caller, grant) = self.issuer.admit(request.credential, None, now).await?;
        if !grant.id().is_member_of(&self.trust_domain) {
            return Err(MintError::AnotherTrustDomain { id: grant.id().clone() });
        }
        check_audiences(request.audiences)?;
        self.issuer.ledger.check().map_err(IssueError::from)?;
        let permit = self.issuer.turn(KIND, &caller, &grant, request.peer, request.deadline).await?;
        let ring = self.keys.borrow().clone();
        let key = ring.signing.as_ref().ok_or(MintError::NoKey)?;
        // What a certificate proved does not outlive what a renewal of it may: then a token is needed here too.
        let horizon = self.issuer.authorizer.proof_ends_at(&caller).into_iter().fold(key.horizon, Timestamp::min);
        let (issued_at, expires_at) = self.profile.life(request.asked_secs, now, horizon).ok_or(MintError::NoKey)?;
        let token_id = new_token_id()?;
        let claims = self.profile.claims(grant.id(), request.audiences, issued_at, expires_at, &token_id);
        let token = jws::sign_jwt_svid(&key.signer, &key.kid, &claims)?;
        let (id, kid) = (grant.id().clone(), key.kid.clone());
        let minted = MintedToken { token, caller, id, token_id, kid, issued_at, expires_at };
        let recorded = self.issuer.ledger.append(&record(request, &minted, now), permit).await;
        let permit = recorded.map_err(IssueError::from)?;
        permit.served();
        Ok(minted)
    }
}

/// What the ledger is to hold about `minted`.
fn record<'a>(request: &MintRequest<'a>, minted: &'a MintedToken, now: Timestamp) -> Issued<'a> {
    let digest = digest::digest(&digest::SHA256, minted.token.as_bytes());
    let origin = Recorded { request_id: request.request_id, peer: request.peer, now };
    Issued {
        kind: Some(Cow::Borrowed(KIND)),
        serial: Cow::Borrowed(&minted.token_id),
        not_before: minted.issued_at,
        not_after: minted.expires_at,
        asked_secs: request.asked_secs,
        granted_secs: minted.expires_at.since(minted.issued_at).as_secs(),
        key_sha256: Cow::Owned(hex(digest.as_ref())),
        authority: Cow::Borrowed(&minted.kid),
        audience: request.audiences.iter().map(|audience| Cow::Borrowed(audience.as_str())).collect(),
        ..origin.by(&minted.caller, &minted.id)
    }
}

impl TokenProfile {
    /// When a token begins and ends that is asked for at `now`, in whole seconds; never later than `horizon`, and `None`
    /// when that has passed.
    fn life(&self, asked_secs: i64, now: Timestamp, horizon: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let ttl = match u64::try_from(asked_secs) {
            Ok(secs) if secs > 0 => Duration::from_secs(secs),
            _ => self.default_ttl,
        };
        let begin = now.whole_secs();
        let end = begin.plus(ttl.min(self.max_ttl)).min(horizon).whole_secs();
        (end > begin).then_some((begin, end))
    }

    fn claims(&self, id: &SpiffeId, audiences: &[String], begin: Timestamp, end: Timestamp, token_id: &str) -> Value {
        let mut claims = json!({
            "sub": id.as_str(), "aud": audiences, "iat": begin.unix_secs(), "exp": end.unix_secs(), "jti": token_id,
        });
        if let (Some(issuer), Some(claims)) = (&self.issuer, claims.as_object_mut()) {
            claims.insert("iss".to_owned(), issuer.as_str().into());
        }
        claims
    }
}

fn check_audiences(audiences: &[String]) -> Result<(), AudienceError> {
    if audiences.is_empty() {
        return Err(AudienceError::Missing);
    }
    if audiences.len() > AUDIENCES_MAX {
        return Err(AudienceError::TooMany { count: audiences.len() });
    }
    audiences.iter().try_for_each(|audience| match audience.len() {
        0 => Err(AudienceError::Empty),
        actual if actual > AUDIENCE_MAX_BYTES => Err(AudienceError::TooLong { actual }),
        _ if audience.chars().any(char::is_control) => Err(AudienceError::Control),
        _ => Ok(()),
    })
}

fn new_token_id() -> Result<String, KeyError> {
    let mut octets = [0u8; TOKEN_ID_OCTETS];
    SystemRandom::new().fill(&mut octets).map_err(|_| KeyError::Randomness)?;
    Ok(hex(&octets))
}

#[cfg(test)]
mod tests;
