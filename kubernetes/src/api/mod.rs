//! The one way to an API server: `kube` makes connections, credentials and requests; this module bounds them.
//!
//! Every request has a deadline and every answer a size; what an answer says is quoted in errors only where the API
//! server wrote it for people. Bodies, which may hold tokens and keys, are never shown. What is collected here is wiped
//! after use; what the libraries below hold of it on its way is not.

mod connect;
mod error;
mod lines;
mod path;
mod server_time;

pub use connect::{ConnectError, Connection};
pub use error::{ApiError, Cause, Refusal};
pub(crate) use lines::{Line, Lines};
pub use path::{Collection, encode, selector_value};

use std::fmt;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde::de::DeserializeOwned;
use server_time::ServerTime;
use signet_runtime::tasks::chain;
use zeroize::Zeroizing;

/// Largest answer about one object, in bytes: what etcd holds of one, with room for how it is written.
pub const OBJECT_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Largest refusal.
const REFUSAL_MAX_BYTES: usize = 64 * 1024;

/// A cluster's API server. Cheap to clone.
#[derive(Clone)]
pub struct ApiClient {
    client: kube::Client,
    deadline: Duration,
    time: ServerTime,
}

impl fmt::Debug for ApiClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiClient").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// A request as `kube` builds it.
pub type Built = Result<Request<Vec<u8>>, kube::core::request::Error>;

/// The body of a successful answer, wiped when dropped.
pub type Answer = Zeroizing<Vec<u8>>;

impl ApiClient {
    /// A client that gives each request `deadline`. Connects when it is first used. `agent` is what we call ourselves,
    /// `name/version`; up to the slash it is also our name in `managedFields`.
    ///
    /// # Errors
    /// Every variant of [`ConnectError`].
    pub async fn new(connection: &Connection, agent: &'static str, deadline: Duration) -> Result<Self, ConnectError> {
        let client = connect::client(connection, agent, deadline).await?;
        Ok(Self { client, deadline, time: ServerTime::default() })
    }

    /// What time it is by the API server's clock, in seconds since the Unix epoch, as far as its answers told.
    pub fn server_time(&self) -> Option<i64> {
        self.time.now()
    }

    /// Sends `request` and reads the answer as JSON of one object.
    ///
    /// # Errors
    /// Every variant of [`ApiError`].
    pub async fn read<T: DeserializeOwned>(&self, request: Built) -> Result<T, ApiError> {
        let answer = self.send(request, OBJECT_MAX_BYTES).await?;
        parse(&answer)
    }

    /// As [`ApiClient::read`]; `None` for what does not exist.
    ///
    /// # Errors
    /// Every other variant of [`ApiError`].
    pub async fn find<T: DeserializeOwned>(&self, request: Built) -> Result<Option<T>, ApiError> {
        match self.read(request).await {
            Err(error) if error.is_not_found() => Ok(None),
            read => read.map(Some),
        }
    }

    /// Sends `request` about one object, and leaves the answer unread.
    ///
    /// # Errors
    /// Every variant of [`ApiError`].
    pub async fn send_object(&self, request: Built) -> Result<(), ApiError> {
        self.send(request, OBJECT_MAX_BYTES).await.map(drop)
    }

    /// Sends `request` and gives the answer, of at most `max` bytes.
    ///
    /// # Errors
    /// Every variant of [`ApiError`]; each answer that is no success is one.
    pub async fn send(&self, request: Built, max: usize) -> Result<Answer, ApiError> {
        let exchange = async {
            let response = self.answer(request).await?;
            collect(response.into_body(), max).await
        };
        self.in_time(exchange).await
    }

    /// Sends `request` and gives the lines of the answer as they come. The deadline is for its first byte.
    ///
    /// # Errors
    /// Every variant of [`ApiError`].
    pub(crate) async fn open(&self, request: Built) -> Result<Lines, ApiError> {
        let response = self.in_time(self.answer(request)).await?;
        Ok(Lines::new(response.into_body()))
    }

    async fn in_time<T>(&self, exchange: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
        let deadline = self.deadline;
        tokio::time::timeout(deadline, exchange).await.unwrap_or(Err(ApiError::Deadline { after: deadline }))
    }

    async fn answer(&self, request: Built) -> Result<Response<Body>, ApiError> {
        let request = request.map_err(|error| ApiError::Request(error.to_string()))?;
        let sent = self.client.send(request.map(Body::from)).await;
        let response = sent.map_err(|error| ApiError::Unreachable(chain(&error)))?;
        self.time.note(response.headers());
        if response.status().is_success() {
            return Ok(response);
        }
        let code = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = collect(response.into_body(), REFUSAL_MAX_BYTES).await?;
        Err(ApiError::Refused(Refusal::read(code, &body, retry_after.map(Duration::from_secs))))
    }
}

/// Reads JSON. Errors tell the place and not the content, which may be secret.
///
/// # Errors
/// [`ApiError::Malformed`].
pub fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(json).map_err(|error| ApiError::malformed(&error))
}

async fn collect(mut body: Body, max: usize) -> Result<Answer, ApiError> {
    let mut bytes = Zeroizing::new(Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ApiError::Unreachable(chain(&error)))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len().saturating_add(data.len()) > max {
            return Err(ApiError::TooLarge { max });
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}
