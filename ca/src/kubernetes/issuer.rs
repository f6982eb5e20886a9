//! What an API server publishes about the tokens it issues.

use std::time::Duration;

use http::Request;
use serde::Deserialize;
use signet_identity::jwk::JWKS_MAX_BYTES;
use signet_kubernetes::{ApiClient, ApiError, parse};

const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";

/// Every API server has its keys here, wherever its discovery document sends others.
const KEYS_PATH: &str = "/openid/v1/jwks";

const DISCOVERY_MAX_BYTES: usize = 64 * 1024;

/// Longest issuer that is repeated in an error, in characters.
const ISSUER_MAX_CHARS: usize = 256;

/// The documents of one API server.
#[derive(Debug, Clone)]
pub struct IssuerDocuments {
    client: ApiClient,
}

/// Why a key set was not obtained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentsError {
    /// The API server.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Its tokens are another issuer's than those that are accepted.
    #[error("API server issues tokens as `{found}`, accepted are those of `{wanted}`")]
    Issuer {
        /// What it says.
        found: String,
        /// What the settings say.
        wanted: String,
    },
    /// Both documents together took too long.
    #[error("no complete answer within {} s", after.as_secs())]
    Deadline {
        /// What is long enough.
        after: Duration,
    },
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
}

impl IssuerDocuments {
    /// Those behind `client`, read with its credentials.
    pub fn new(client: ApiClient) -> Self {
        Self { client }
    }

    /// The key set as it is published, if it is that of `issuer`.
    ///
    /// # Errors
    /// Every variant of [`DocumentsError`].
    pub async fn keys(&self, issuer: &str, deadline: Duration) -> Result<Vec<u8>, DocumentsError> {
        let reading = async {
            let discovery: Discovery = parse(&self.get(DISCOVERY_PATH, DISCOVERY_MAX_BYTES).await?)?;
            if discovery.issuer != issuer {
                let found = discovery.issuer.chars().filter(|c| !c.is_control()).take(ISSUER_MAX_CHARS).collect();
                return Err(DocumentsError::Issuer { found, wanted: issuer.to_owned() });
            }
            // One byte more than a set may have, so that the set's own error tells about the size.
            Ok(self.get(KEYS_PATH, JWKS_MAX_BYTES + 1).await?)
        };
        tokio::time::timeout(deadline, reading).await.unwrap_or(Err(DocumentsError::Deadline { after: deadline }))
    }

    async fn get(&self, path: &str, max: usize) -> Result<Vec<u8>, ApiError> {
        let request = Request::get(path).body(Vec::new()).map_err(kube::core::request::Error::BuildRequest);
        self.client.send(request, max).await.map(|body| body.to_vec())
    }
}
