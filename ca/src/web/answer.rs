//! From a request to its answer: which document, whether it changed, and what else is said.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use ring::digest;
use serde_json::Value;
use signet_identity::hex;

const READS_ONLY: HeaderValue = HeaderValue::from_static("GET, HEAD");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// What somebody who comes too early is told, in seconds.
const TRY_AGAIN: HeaderValue = HeaderValue::from_static("5");

/// Octets of a digest that tell versions of a document apart.
const TAG_OCTETS: usize = 16;

/// One JSON document as it is now.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) json: Value,
    /// How long readers may keep it.
    pub(crate) max_age: Duration,
}

/// Makes a document when it is asked for, so that it is never stale; `None` when there is nothing to say yet.
type Page = Box<dyn Fn() -> Option<Document> + Send + Sync>;

/// All documents of one endpoint by their paths. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Site {
    pages: Arc<Vec<(String, Page)>>,
}

impl Site {
    pub(crate) fn new(pages: Vec<(String, Page)>) -> Self {
        Self { pages: Arc::new(pages) }
    }

    /// The answer to a request.
    pub(crate) fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let Some((_, page)) = self.pages.iter().find(|(known, _)| known == path) else {
            return plain(StatusCode::NOT_FOUND, "there is no such document\n");
        };
        if ![Method::GET, Method::HEAD].contains(method) {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "documents can only be read\n");
            response.headers_mut().insert(ALLOW, READS_ONLY);
            return response;
        }
        match page() {
            Some(document) => document.answer(headers),
            None => {
                let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, "there is nothing to say yet\n");
                response.headers_mut().insert(RETRY_AFTER, TRY_AGAIN);
                response
            }
        }
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.pages.iter().map(|(path, _)| path)).finish()
    }
}

impl Document {
    fn answer(&self, asked: &HeaderMap) -> Response<Full<Bytes>> {
        let body = self.json.to_string();
        let digest = digest::digest(&digest::SHA256, body.as_bytes());
        let tag: Vec<u8> = digest.as_ref().iter().copied().take(TAG_OCTETS).collect();
        let tag = format!("\"{}\"", hex(&tag));
        let is_known = asked.get_all(IF_NONE_MATCH).iter().any(|value| names(value, &tag));
        let (status, body) = match is_known {
            true => (StatusCode::NOT_MODIFIED, Full::default()),
            false => (StatusCode::OK, Full::from(body)),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, JSON);
        let texts = [(ETAG, tag), (CACHE_CONTROL, format!("public, max-age={}", self.max_age.as_secs()))];
        for (name, text) in texts {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// Whether a list of tags names this one (RFC 9110, 13.1.2).
fn names(value: &HeaderValue, tag: &str) -> bool {
    let tags = value.to_str().unwrap_or_default().split(',').map(str::trim);
    tags.into_iter().any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, TEXT);
    response
}

#[cfg(test)]
mod tests;
