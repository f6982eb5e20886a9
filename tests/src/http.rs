//! A small HTTP/1.1 client: one GET, one connection, over TCP on loopback or a Unix socket.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long a peer may stay silent.
pub const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How much it may say, in bytes.
pub const RESPONSE_BYTES_MAX: u64 = 64 << 20;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case, in order of arrival.
    pub headers: Vec<(String, String)>,
    /// The body, with whatever is not UTF-8 replaced.
    pub body: String,
}

impl Response {
    /// The first header of that name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// `GET path` from a server on a loopback port.
///
/// # Errors
/// When the connection fails, closes early, stays silent for [`SILENCE_MAX`] or is not HTTP.
pub fn get(port: u16, path: &str) -> io::Result<Response> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, SILENCE_MAX)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    exchange(stream, path)
}

/// `GET path` from a server on a Unix socket.
///
/// # Errors
/// As for [`get`].
pub fn get_unix(socket: &Path, path: &str) -> io::Result<Response> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    exchange(stream, path)
}

fn exchange(mut stream: impl Read + Write, path: &str) -> io::Result<Response> {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.take(RESPONSE_BYTES_MAX).read_to_end(&mut bytes)?;
    parse(&bytes).ok_or_else(|| {
        let found = String::from_utf8_lossy(&bytes).into_owned();
        io::Error::new(io::ErrorKind::InvalidData, format!("not a whole HTTP response: {found:?}"))
    })
}

/// Nothing for what is cut short or is not HTTP.
fn parse(bytes: &[u8]) -> Option<Response> {
    let (head, body) = split(bytes, b"\r\n\r\n")?;
    let mut lines = str::from_utf8(head).ok()?.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let headers = lines
        .map(|line| line.split_once(':'))
        .map(|line| line.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())))
        .collect::<Option<Vec<_>>>()?;
    let mut response = Response { status, headers, body: String::new() };
    let body = match (response.header("transfer-encoding"), response.header("content-length")) {
        (Some("chunked"), _) => dechunk(body)?,
        (_, Some(length)) => body.get(..length.parse().ok()?)?.to_vec(),
        _ => body.to_vec(),
    };
    response.body = String::from_utf8_lossy(&body).into_owned();
    Some(response)
}

fn dechunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let (size, after) = split(rest, b"\r\n")?;
        let size = usize::from_str_radix(str::from_utf8(size).ok()?, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(after.get(..size)?);
        rest = after.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

/// What stands before and after the first `mark`.
fn split<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(mark.len()).position(|window| window == mark)?;
    Some((bytes.get(..at)?, bytes.get(at + mark.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn status_headers_and_body_are_told_apart() {
        let response = parse(b"HTTP/1.1 503 Service Unavailable\r\nX-Peer: a: b\r\n\r\ngone");

        let response = response.unwrap();

        assert_eq!(response.status, 503);
        assert_eq!(response.header("x-peer"), Some("a: b"));
        assert_eq!(response.header("y"), None);
        assert_eq!(response.body, "gone");
    }

    #[test]
    fn chunks_are_put_together() {
        let response =
            parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n");

        assert_eq!(response.unwrap().body, "abc0123456789");
    }

    #[test]
    fn a_response_cut_short_is_none() {
        for bytes in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabcd",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nab",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
            b"SSH-2.0-OpenSSH\r\n\r\n",
        ] {
            assert_eq!(parse(bytes), None);
        }
    }
}
