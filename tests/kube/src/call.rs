//! One request as the handlers see it: method, path, query, credentials, body.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::request::Parts;
use http::{HeaderName, Method};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::status::Failure;

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) content_type: String,
    /// What a write is attributed to when it names no field manager: the user agent up to its first slash.
    pub(crate) agent: String,
    pub(crate) bearer: Option<String>,
    pub(crate) body: Bytes,
}

/// What a test may know about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The method.
    pub method: Method,
    /// The path, without the query.
    pub path: String,
    /// Whether it watches.
    pub is_watch: bool,
}

impl Call {
    pub(crate) fn new(parts: &Parts, body: Bytes) -> Self {
        let header = |name: HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
        Self {
            method: parts.method.clone(),
            path: decode(parts.uri.path()),
            query: parts.uri.query().map(parse_query).unwrap_or_default(),
            content_type: header(CONTENT_TYPE).unwrap_or("application/json").to_owned(),
            agent: header(USER_AGENT).and_then(|agent| agent.split('/').next()).unwrap_or("unknown").to_owned(),
            bearer: header(AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned),
            body,
        }
    }

    /// A request made inside this process, with a path that may have a query.
    pub(crate) fn inside(method: Method, path: &str, body: &Value, agent: &str) -> Self {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        Self {
            method,
            path: decode(path),
            query: parse_query(query),
            content_type: "application/json".to_owned(),
            agent: agent.to_owned(),
            bearer: None,
            body: if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) },
        }
    }

    pub(crate) fn seen(&self) -> Seen {
        Seen { method: self.method.clone(), path: self.path.clone(), is_watch: self.is_watch() }
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.query.get(name).is_some_and(|value| matches!(value.as_str(), "true" | "1" | ""))
    }

    pub(crate) fn is_watch(&self) -> bool {
        self.flag("watch")
    }

    pub(crate) fn manager(&self) -> &str {
        self.parameter("fieldManager").unwrap_or(&self.agent)
    }

    /// The body as JSON; an apply patch is YAML, of which JSON is a part.
    pub(crate) fn json(&self) -> Result<Value, Failure> {
        if self.content_type.contains("yaml") {
            let text = String::from_utf8_lossy(&self.body);
            return serde_saphyr::from_str(&text).map_err(|error| Failure::bad_request(error.to_string()));
        }
        serde_json::from_slice(&self.body).map_err(|error| Failure::bad_request(error.to_string()))
    }
}

fn parse_query(query: &str) -> BTreeMap<String, String> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(&name.replace('+', " ")), decode(&value.replace('+', " ")))
        })
        .collect()
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
