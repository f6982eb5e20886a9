//! Answers on their way out: JSON, or the lines of a watch.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WARNING};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use serde_json::Value;

use crate::status::Failure;
use crate::watch::Watch;

/// A body that may break off.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// How long what is sent may take to leave.
const FLUSH: Duration = Duration::from_millis(50);

const PRIVATE: &str = "no-cache, private";
pub(crate) const JSON: &str = "application/json";

/// What a request made inside this process is answered with.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Value,
}

/// A reply before it is put on the wire.
pub(crate) enum Reply {
    Json { status: u16, body: Value, content_type: &'static str, cache: &'static str, warning: Option<String> },
    Watch(Box<Watch>),
}

impl Reply {
    pub(crate) fn json(status: u16, body: Value) -> Self {
        Self::Json { status, body, content_type: JSON, cache: PRIVATE, warning: None }
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        match self {
            Self::Json { status, body, content_type, cache, warning } => {
                let mut response = response(status, content_type, Bytes::from(body.to_string()));
                let headers = response.headers_mut();
                headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
                if let Some(warning) = warning.and_then(|text| HeaderValue::from_str(&text).ok()) {
                    headers.insert(WARNING, warning);
                }
                response
            }
            Self::Watch(watch) => {
                let lines = watch.lines().map(|line| Ok(Frame::data(line)));
                let mut response = Response::new(BodyExt::boxed_unsync(StreamBody::new(lines)));
                let headers = response.headers_mut();
                headers.insert(CACHE_CONTROL, HeaderValue::from_static(PRIVATE));
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
                response
            }
        }
    }
}

impl From<Failure> for Reply {
    fn from(failure: Failure) -> Self {
        Self::json(failure.code, failure.status)
    }
}

pub(crate) fn response(status: u16, content_type: &'static str, body: Bytes) -> Response<Body> {
    let body = Full::new(body).map_err(|never: Infallible| match never {});
    let mut response = Response::new(BodyExt::boxed_unsync(body));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status should be one");
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Adds the wish that the client come back later.
pub(crate) fn retry_after(response: &mut Response<Body>, secs: u32) {
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(secs));
}

/// The same answer, whose connection breaks after `bytes` of the body.
pub(crate) fn cut(response: Response<Body>, bytes: usize) -> Response<Body> {
    end_after(response, bytes, async || {
        // What was sent before has to be on its way when the connection breaks.
        tokio::time::sleep(FLUSH).await;
        io::Error::from(io::ErrorKind::ConnectionReset)
    })
}

/// The same answer, of which nothing comes after `bytes` of the body.
pub(crate) fn stall(response: Response<Body>, bytes: usize) -> Response<Body> {
    end_after(response, bytes, std::future::pending)
}

fn end_after<F>(response: Response<Body>, bytes: usize, end: impl Fn() -> F + Send + 'static) -> Response<Body>
where
    F: Future<Output = io::Error> + Send + 'static,
{
    response.map(|body| {
        let frames = body.into_data_stream().scan(Some(bytes), |left, chunk| {
            let item = left.map(|allowed| match chunk {
                Ok(chunk) if chunk.len() <= allowed => {
                    *left = Some(allowed - chunk.len());
                    vec![Some(chunk)]
                }
                Ok(chunk) => {
                    *left = None;
                    vec![Some(chunk.slice(..allowed)), None]
                }
                Err(_) => vec![None],
            });
            std::future::ready(item)
        });
        let frames = frames.flat_map(futures_util::stream::iter).then(move |chunk| {
            let ending = chunk.is_none().then(&end);
            async move {
                match (chunk, ending) {
                    (Some(chunk), _) => Ok(Frame::data(chunk)),
                    (None, Some(ending)) => Err(ending.await),
                    (None, None) => Err(io::Error::from(io::ErrorKind::Other)),
                }
            }
        });
        BodyExt::boxed_unsync(StreamBody::new(frames))
    })
}
