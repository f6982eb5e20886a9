//! What is shown to the CA, and whose identity is asked for with it.

use signet_identity::{SpiffeId, Svid, WorkloadName};
use tonic::Request;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};

use super::{CaClient, RequestError};
use crate::token::{Token, TokenError};

/// A credential, and the identity that it is good for.
pub(super) struct Proof<'a> {
    pub(super) id: SpiffeId,
    credential: Credential<'a>,
}

enum Credential<'a> {
    Token(Token),
    /// Shown in the handshake.
    Certificate(&'a Svid),
}

impl<'a> Proof<'a> {
    /// What is shown in the handshake, if anything is.
    pub(super) fn certificate(&self) -> Option<&'a Svid> {
        match self.credential {
            Credential::Token(_) => None,
            Credential::Certificate(held) => Some(held),
        }
    }
}

impl CaClient {
    /// Calls with the token; where that is what stands in the way, with the certificate held, and then says what was wrong
    /// with the token.
    pub(super) async fn prove<'a, T, F: Future<Output = Result<T, RequestError>>>(
        &self,
        held: Option<&'a Svid>,
        call: impl Fn(Proof<'a>) -> F,
    ) -> Result<(T, Option<RequestError>), RequestError> {
        let by_token = match self.by_token() {
            Ok(proof) => call(proof).await,
            Err(error) => Err(error),
        };
        let error = match by_token {
            Ok(answer) => return Ok((answer, None)),
            Err(error) => error,
        };
        let Some(proof) = self.instead(&error, held) else { return Err(error) };
        match call(proof).await {
            Ok(answer) => Ok((answer, Some(error))),
            Err(other) => Err(error.also(other)),
        }
    }

    /// The token as it is in its file now.
    fn by_token(&self) -> Result<Proof<'static>, RequestError> {
        let token = self.token()?;
        Ok(Proof { id: self.wanted(&token)?, credential: Credential::Token(token) })
    }

    /// What is tried after the token failed with `error`: the certificate held, where the token is what stands in the
    /// way. One that has expired proves nothing.
    fn instead<'a>(&self, error: &RequestError, held: Option<&'a Svid>) -> Option<Proof<'a>> {
        let held = held.filter(|held| error.is_the_tokens() && held.lifetime().contains(self.now()))?;
        Some(Proof { id: held.id().clone(), credential: Credential::Certificate(held) })
    }

    /// A request with `message`, with what the operator wants in its headers and what `proof` shows there.
    pub(super) fn with_headers<M>(&self, proof: &Proof<'_>, message: M) -> Result<Request<M>, RequestError> {
        let mut request = Request::new(message);
        self.write_headers(request.metadata_mut(), proof)?;
        Ok(request)
    }

    fn write_headers(&self, headers: &mut MetadataMap, proof: &Proof<'_>) -> Result<(), RequestError> {
        for header in &self.ca.headers {
            headers.insert(header.name.clone(), header.value.clone());
        }
        if let Some(id) = &self.ca.cluster_id {
            let id = AsciiMetadataValue::try_from(id.as_str()).map_err(|_| TokenError::Claims)?;
            headers.insert("clusterid", id);
        }
        if let Credential::Token(token) = &proof.credential {
            let bearer = zeroize::Zeroizing::new(format!("Bearer {}", token.expose()));
            let mut bearer = AsciiMetadataValue::try_from(bearer.as_str()).map_err(|_| TokenError::Claims)?;
            bearer.set_sensitive(true);
            headers.insert("authorization", bearer);
        }
        Ok(())
    }

    fn token(&self) -> Result<Token, TokenError> {
        let token = Token::read(&self.token, self.now());
        match &token {
            Ok(token) => self.metrics.token_expires_at(token.expires_at()),
            Err(TokenError::Expired { at }) => self.metrics.token_expires_at(*at),
            Err(_) => {}
        }
        token
    }

    /// Whose identity to ask for: what is configured, and the token's own names where nothing is.
    fn wanted(&self, token: &Token) -> Result<SpiffeId, RequestError> {
        let found = token.workload();
        let namespace = self.identity.namespace.as_ref().or(found.map(|name| &name.namespace));
        let account = self.identity.service_account.as_ref().or(found.map(|name| &name.service_account));
        let (Some(namespace), Some(account)) = (namespace, account) else { return Err(RequestError::NoWorkload) };
        let wanted = WorkloadName { namespace: namespace.clone(), service_account: account.clone() };
        match found {
            Some(found) if *found != wanted => Err(RequestError::OtherWorkload { found: found.clone(), wanted }),
            _ => Ok(wanted.spiffe_id(&self.identity.trust_domain)),
        }
    }
}
