//! Asking Envoy's admin interface: one question, one connection, one answer within bounds.

use std::io;
use std::time::Duration;

use http::{Method, Request, StatusCode};
use http_body_util::Empty;
use hyper::body::Bytes;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::bootstrap::Role;
use super::client::{self, Answer};
use super::stats;
use crate::config::AdminAddress;

/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Largest answer that is read as a whole, in bytes.
const ANSWER_MAX_BYTES: usize = 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens, or the connection broke.
    #[error("admin interface cannot be reached: {0}")]
    Connect(#[from] io::Error),
    /// What came is no answer.
    #[error("admin interface did not answer in order: {0}")]
    Answer(String),
    /// Nothing came.
    #[error("admin interface has not answered within {ANSWER_MAX:?}")]
    Silent,
    /// It was refused.
    #[error("admin interface answered {status}: {body}")]
    Refused {
        /// Its status.
        status: StatusCode,
        /// Its words.
        body: String,
    },
}

/// What one look at Envoy shows.
#[derive(Debug)]
pub enum Seen {
    /// It serves.
    Live,
    /// It does not, and why.
    NotLive(String),
}

/// The admin interface of one Envoy.
#[derive(Debug, Clone)]
pub struct EnvoyAdmin {
    address: AdminAddress,
}

impl EnvoyAdmin {
    /// The interface at `address`.
    pub fn new(address: AdminAddress) -> Self {
        Self { address }
    }

    /// Whether Envoy serves. With `thorough`, also whether it has got all that it was told to get.
    ///
    /// # Errors
    /// When it does not say.
    pub async fn look(&self, thorough: bool) -> Result<Seen, AskError> {
        let (status, body) = self.ask(Method::GET, "/ready").await?;
        if status != StatusCode::OK {
            return Ok(Seen::NotLive(format!("says {}", body.trim().lines().next().unwrap_or_default())));
        }
        if !thorough {
            return Ok(Seen::Live);
        }
        let stats = self.good(Method::GET, stats::SERVING).await?;
        Ok(stats::lacking(&stats).map_or(Seen::Live, Seen::NotLive))
    }

    /// How many connections are open.
    ///
    /// # Errors
    /// When it does not say.
    pub async fn connections(&self) -> Result<u64, AskError> {
        Ok(stats::connections(&self.good(Method::GET, stats::CONNECTIONS).await?))
    }

    /// Lets connections end: what is answered from now on asks for it, and health checks fail.
    ///
    /// # Errors
    /// When it does not do so.
    pub async fn drain(&self, role: Role) -> Result<(), AskError> {
        let path = match role {
            Role::Sidecar => "/drain_listeners?inboundonly&graceful",
            Role::Router => "/drain_listeners?graceful",
        };
        self.good(Method::POST, "/healthcheck/fail").await?;
        self.good(Method::POST, path).await?;
        Ok(())
    }

    async fn good(&self, method: Method, path: &str) -> Result<String, AskError> {
        match self.ask(method, path).await? {
            (StatusCode::OK, body) => Ok(body),
            (status, body) => Err(AskError::Refused { status, body }),
        }
    }

    async fn ask(&self, method: Method, path: &str) -> Result<(StatusCode, String), AskError> {
        let whole = async {
            let mut answer = self.send(method, path).await?;
            Ok((answer.status(), answer.text(ANSWER_MAX_BYTES).await.map_err(wrong)?))
        };
        timeout(ANSWER_MAX, whole).await.unwrap_or(Err(AskError::Silent))
    }

    async fn send(&self, method: Method, path: &str) -> Result<Answer, AskError> {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("host", "envoy").header("connection", "close");
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| AskError::Answer(error.to_string()))?;
        match &self.address {
            AdminAddress::Tcp(address) => client::send(TcpStream::connect(address).await?, request).await,
            AdminAddress::Unix(socket) => client::send(UnixStream::connect(socket).await?, request).await,
        }
        .map_err(wrong)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what a mapping of errors gets")]
fn wrong(error: hyper::Error) -> AskError {
    AskError::Answer(signet_runtime::tasks::chain(&error))
}
