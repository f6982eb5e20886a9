//! The CA's third service: mints tokens, or not.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use signet_proto::signet_ca::identity_server::Identity;
use signet_proto::signet_ca::{MintJwtRequest, MintJwtResponse};
use signet_testkit::TokenIssuer;
use tonic::{Code, Request, Response, Status};

/// A mint: how it answers, and what it was asked for.
#[derive(Clone)]
pub(crate) struct Mint {
    issuer: Arc<TokenIssuer>,
    /// What it answers with instead of a token.
    refusal: Arc<Mutex<Option<Code>>>,
    asked: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Default for Mint {
    fn default() -> Self {
        Self { issuer: Arc::new(TokenIssuer::es256()), refusal: Arc::default(), asked: Arc::default() }
    }
}

impl Mint {
    /// From now on it refuses like this; or mints, with `None`.
    pub(crate) fn refuses(&self, code: Option<Code>) {
        *self.refusal.lock().unwrap() = code;
    }

    /// The audiences it was asked for so far.
    pub(crate) fn asked(&self) -> Vec<Vec<String>> {
        self.asked.lock().unwrap().clone()
    }
}

#[tonic::async_trait]
impl Identity for Mint {
    async fn mint_jwt(&self, request: Request<MintJwtRequest>) -> Result<Response<MintJwtResponse>, Status> {
        assert!(request.metadata().contains_key("authorization"), "a credential is shown");
        let audience = request.into_inner().audience;
        self.asked.lock().unwrap().push(audience.clone());
        if let Some(code) = *self.refusal.lock().unwrap() {
            return Err(Status::new(code, "no"));
        }
        let mut claims = self.issuer.claims("shop", "web", super::now(), Duration::from_secs(300));
        claims["sub"] = serde_json::json!("spiffe://cluster.local/ns/shop/sa/web");
        claims["aud"] = serde_json::json!(audience);
        let expires_at = claims["exp"].as_i64().unwrap();
        Ok(Response::new(MintJwtResponse { token: self.issuer.sign(&claims), expires_at }))
    }
}
