//! Where an issuer's key set comes from: a file, or a URL fetched within bounds.
//!
//! Reads and nothing else; when to read, and what to do when it fails, is decided in `jwks`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use signet_identity::jwk::{JWKS_MAX_BYTES, JwkError};
use signet_identity::jws::TOKEN_MAX_BYTES;
use signet_runtime::files::{self, FileError};
use zeroize::Zeroizing;

use super::discovery::{self, DiscoveryError};
use crate::kubernetes::{DocumentsError, IssuerDocuments};
use crate::outgoing::{ConnectorError, connector};

/// How long one fetch may take, from the first packet to the last.
pub(super) const FETCH_DEADLINE: Duration = Duration::from_secs(5);

/// Where an issuer publishes its keys.
#[derive(Debug, Clone)]
pub enum JwksSource {
    /// A file with the set.
    File(PathBuf),
    /// A URL that answers with the set.
    Url {
        /// `https`, or `http` on this machine.
        url: Uri,
        /// PEM roots that its server is verified with; needed for `https`. Read afresh at each fetch.
        ca_file: Option<PathBuf>,
        /// Bearer token that it is asked with, such as the server's own service account token. Read afresh at each
        /// fetch.
        token_file: Option<PathBuf>,
    },
    /// Where the issuer's discovery document says.
    Discovery {
        /// The issuer: a URL, `https`, or `http` on this machine.
        issuer: String,
        /// PEM roots for both documents. Read afresh at each fetch.
        ca_file: PathBuf,
    },
    /// The API server that issues the tokens.
    ApiServer {
        /// What it publishes.
        documents: IssuerDocuments,
        /// The issuer that it must be.
        issuer: String,
    },
}

impl fmt::Display for JwksSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url { url, .. } => url.fmt(f),
            Self::Discovery { issuer, .. } => issuer.fmt(f),
            Self::ApiServer { issuer, .. } => write!(f, "API server of {issuer}"),
        }
    }
}

/// Why a key set was not obtained.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// No connections can be made, for lack of roots.
    #[error(transparent)]
    Connector(#[from] ConnectorError),
    /// The file of the bearer token holds none.
    #[error("`{path}` holds no token")]
    Token {
        /// The file.
        path: PathBuf,
    },
    /// The request cannot be built.
    #[error("request cannot be made")]
    Request(#[from] http::Error),
    /// No connection, or it broke.
    #[error("no answer")]
    Connect(#[from] hyper_util::client::legacy::Error),
    /// The server answered, but not with a key set.
    #[error("server answered {status}")]
    Status {
        /// What it said.
        status: StatusCode,
    },
    /// The body broke off or is over [`JWKS_MAX_BYTES`].
    #[error("answer broke off or has more than {JWKS_MAX_BYTES} bytes")]
    Body,
    /// The discovery document.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// The API server.
    #[error(transparent)]
    ApiServer(#[from] DocumentsError),
    /// It took longer than the deadline.
    #[error("no complete answer within {} s", FETCH_DEADLINE.as_secs())]
    Deadline,
    /// What came is no key set.
    #[error("answer is not usable")]
    Keys(#[from] JwkError),
}

impl JwksSource {
    /// The bytes that stand there now.
    pub(super) async fn read(&self) -> Result<Vec<u8>, FetchError> {
        match self {
            // One byte more than a set may have, so that the set's own error tells about the size.
            Self::File(path) => Ok(files::read(path, JWKS_MAX_BYTES + 1)?),
            Self::Url { url, ca_file, token_file } => {
                let fetch = fetch(url, ca_file.as_deref(), token_file.as_deref());
                tokio::time::timeout(FETCH_DEADLINE, fetch).await.map_err(|_| FetchError::Deadline)?
            }
            Self::Discovery { issuer, ca_file } => {
                let keys = discovery::keys(issuer, ca_file);
                tokio::time::timeout(FETCH_DEADLINE, keys).await.map_err(|_| FetchError::Deadline)?
            }
            Self::ApiServer { documents, issuer } => Ok(documents.keys(issuer, FETCH_DEADLINE).await?),
        }
    }

    /// Whether reading it is a matter of microseconds.
    pub(super) fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }
}

/// What stands at `url`, at most as much as a key set may have.
pub(super) async fn fetch(url: &Uri, ca_file: Option<&Path>, token_file: Option<&Path>) -> Result<Vec<u8>, FetchError> {
    // A fetch every few minutes gains nothing from a kept connection, and a fresh one follows changed roots.
    let client: Client<_, Empty<Bytes>> =
        Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector(ca_file)?);
    let mut request = Request::get(url.clone()).body(Empty::new())?;
    if let Some(token_file) = token_file {
        request.headers_mut().insert(AUTHORIZATION, bearer(token_file)?);
    }
    let response = client.request(request).await?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status { status: response.status() });
    }
    let body = Limited::new(response.into_body(), JWKS_MAX_BYTES).collect().await.map_err(|_| FetchError::Body)?;
    Ok(body.to_bytes().to_vec())
}

/// The header that holds the token in `path`; never shown.
fn bearer(path: &Path) -> Result<HeaderValue, FetchError> {
    let token = Zeroizing::new(files::read(path, TOKEN_MAX_BYTES)?);
    let unusable = || FetchError::Token { path: path.to_owned() };
    let token = std::str::from_utf8(&token).map_err(|_| unusable())?.trim();
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| unusable())?;
    value.set_sensitive(true);
    Ok(value)
}
