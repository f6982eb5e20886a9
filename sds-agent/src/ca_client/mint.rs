//! Tokens of the CA: one call each, judged before it is handed on.

use serde::Deserialize;
use signet_identity::{SpiffeId, Svid, Timestamp, UnverifiedJws};
use signet_proto::signet_ca::identity_client::IdentityClient;
use signet_proto::signet_ca::{MintJwtRequest, MintJwtResponse};
use zeroize::Zeroizing;

use super::{AnswerError, CaClient, Proof, RequestError, channel};

/// Largest answer read, in bytes: a token.
const TOKEN_ANSWER_MAX_BYTES: usize = 64 * 1024;

/// A token that says what was asked for. Who takes it verifies it.
pub struct MintedToken {
    /// JWS compact form.
    pub token: Zeroizing<String>,
    /// When it ends.
    pub expires_at: Timestamp,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    aud: Vec<String>,
}

impl CaClient {
    /// Obtains a JWT-SVID of `id` for `audiences`, of the life that the CA gives.
    ///
    /// # Errors
    /// What stood in the way: the credential, the roots, the connection, the deadline, the CA's refusal, or what is
    /// wrong with its answer.
    pub async fn mint(
        &self,
        id: &SpiffeId,
        audiences: &[String],
        held: Option<&Svid>,
    ) -> Result<MintedToken, RequestError> {
        let minted = self.prove(held, |proof| self.mint_as(proof, audiences)).await;
        let (answer, _) = minted.inspect_err(|error| self.pass_over(error))?;
        Ok(judge(answer, id, audiences, self.now())?)
    }

    async fn mint_as(&self, proof: Proof<'_>, audiences: &[String]) -> Result<MintJwtResponse, RequestError> {
        let roots = channel::Roots::read(&self.ca.root_file)?;
        let message = MintJwtRequest { audience: audiences.to_vec(), validity_seconds: 0 };
        let request = self.with_headers(&proof, message)?;
        let exchange = self.exchange(&roots, &proof, |channel| async move {
            let mut client = IdentityClient::new(channel).max_decoding_message_size(TOKEN_ANSWER_MAX_BYTES);
            client.mint_jwt(request).await
        });
        exchange.await
    }
}

/// Whether the token says what was asked for; its signature is for others to judge, the connection vouches for it here.
fn judge(
    answer: MintJwtResponse,
    id: &SpiffeId,
    audiences: &[String],
    now: Timestamp,
) -> Result<MintedToken, AnswerError> {
    let (token, expires_at) = (Zeroizing::new(answer.token), Timestamp::from_unix_secs(answer.expires_at));
    let payload = UnverifiedJws::parse(&token).and_then(|token| token.unproven_payload());
    let claims = payload.ok().and_then(|payload| serde_json::from_slice::<Claims>(&payload).ok());
    let claims = claims.ok_or(AnswerError::Token)?;
    let is_wanted = claims.sub == id.as_str() && audiences.iter().all(|audience| claims.aud.contains(audience));
    if !is_wanted || expires_at <= now {
        return Err(AnswerError::Token);
    }
    Ok(MintedToken { token, expires_at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use signet_testkit::TokenIssuer;

    const NOW: Timestamp = Timestamp::from_unix_secs(1_700_000_000);
    const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";

    fn check(claims: &Value, expires_at: i64, accepted: bool) {
        let answer = MintJwtResponse { token: TokenIssuer::es256().sign(claims), expires_at };
        let judged = judge(answer, &WEB.parse().unwrap(), &["a".to_owned(), "b".to_owned()], NOW);
        assert_eq!(judged.is_ok(), accepted, "{claims}");
    }

    #[test]
    fn a_token_that_is_not_what_was_asked_for_is_refused() {
        let end = NOW.unix_secs() + 300;
        check(&json!({ "sub": WEB, "aud": ["a", "b"] }), end, true);
        check(&json!({ "sub": WEB, "aud": ["a"] }), end, false);
        check(&json!({ "sub": WEB, "aud": "a" }), end, false);
        check(&json!({ "sub": "spiffe://cluster.local/ns/shop/sa/other", "aud": ["a", "b"] }), end, false);
        check(&json!({ "aud": ["a", "b"] }), end, false);
        check(&json!({ "sub": WEB, "aud": ["a", "b"] }), NOW.unix_secs(), false);
        let rubbish = MintJwtResponse { token: "rubbish".to_owned(), expires_at: end };
        assert!(judge(rubbish, &WEB.parse().unwrap(), &[], NOW).is_err());
    }
}
