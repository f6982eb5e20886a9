//! One HTTP/1.1 request on one fresh connection.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, ToSocketAddrs, UnixStream};

/// What one exchange may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// How long it may take.
    pub(crate) time: Duration,
    /// Largest body that is read, in bytes.
    pub(crate) body_bytes: usize,
}

impl Bounds {
    /// For short answers: Envoy's statistics are the longest of them.
    pub(crate) const SHORT: Self = Self { time: Duration::from_secs(5), body_bytes: 4 * 1024 * 1024 };
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// A header as text, empty when absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// GET over TCP.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Result<Answer, String> {
    get_host(address, "orders.shop", path, Bounds::SHORT).await
}

/// GET over TCP from an address or a name with a port, as `host`.
pub(crate) async fn get_host(
    address: impl ToSocketAddrs,
    host: &str,
    path: &str,
    bounds: Bounds,
) -> Result<Answer, String> {
    bounded(bounds, async {
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        exchange(stream, host, path, bounds).await
    })
    .await
}

/// GET over a Unix socket.
pub(crate) async fn get_unix(socket: &Path, path: &str) -> Result<Answer, String> {
    get_unix_within(socket, path, Bounds::SHORT).await
}

/// The same with other bounds.
pub(crate) async fn get_unix_within(socket: &Path, path: &str, bounds: Bounds) -> Result<Answer, String> {
    bounded(bounds, async {
        let stream = UnixStream::connect(socket).await.map_err(|error| error.to_string())?;
        exchange(stream, "localhost", path, bounds).await
    })
    .await
}

async fn bounded(bounds: Bounds, work: impl Future<Output = Result<Answer, String>>) -> Result<Answer, String> {
    tokio::time::timeout(bounds.time, work).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
}

async fn exchange<S>(stream: S, host: &str, path: &str, bounds: Bounds) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let request = Request::builder()
        .method("GET")
        .uri(path)
        .header("host", host)
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let talk = async move {
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, bounds.body_bytes).collect().await.map_err(|error| error.to_string())?;
        let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    };
    // How the connection itself ended says nothing that the exchange did not say.
    let (answer, _) = tokio::join!(talk, connection);
    answer
}
