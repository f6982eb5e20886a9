//! An HTTP client that knows nothing of Kubernetes.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use signet_kube_standin::{ApiServer, Options};

/// No answer may take longer.
const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) fn plain() -> Options {
    Options { tls: false, ..Options::default() }
}

pub(crate) struct Client {
    http: Hyper<HttpConnector, Full<Bytes>>,
    base: String,
}

/// An answer, its body as it came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) text: String,
    /// Whether the body ended as it should.
    pub(crate) whole: bool,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub(crate) fn lines(&self) -> Vec<Value> {
        self.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

impl Client {
    pub(crate) fn new(server: &ApiServer) -> Self {
        let http = Hyper::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        Self { http, base: server.url() }
    }

    pub(crate) async fn get(&self, path: &str, bearer: &str) -> Answer {
        self.send("GET", path, Some(bearer), "application/json", &Value::Null).await.expect("an answer should come")
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        bearer: Option<&str>,
        content_type: &str,
        body: &Value,
    ) -> Result<Answer, String> {
        let mut request =
            Request::builder().method(method).uri(format!("{}{path}", self.base)).header("content-type", content_type);
        if let Some(bearer) = bearer {
            request = request.header("authorization", format!("Bearer {bearer}"));
        }
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let request = request.body(Full::new(body)).unwrap();
        let response = tokio::time::timeout(DEADLINE, self.http.request(request)).await;
        let response = response.map_err(|_| "no answer".to_owned())?.map_err(|error| error.to_string())?;
        let (parts, mut body) = response.into_parts();
        let (mut bytes, mut whole) = (Vec::new(), true);
        while let Some(frame) = tokio::time::timeout(DEADLINE, body.frame()).await.map_err(|_| "no end".to_owned())? {
            match frame {
                Ok(frame) => bytes.extend(frame.into_data().unwrap()),
                Err(_) => whole = false,
            }
            if !whole {
                break;
            }
        }
        let headers = parts.headers.iter().map(|(name, value)| {
            let value = value.to_str().unwrap().to_owned();
            (name.as_str().to_owned(), value)
        });
        Ok(Answer {
            status: parts.status.as_u16(),
            headers: headers.collect(),
            text: String::from_utf8(bytes).unwrap(),
            whole,
        })
    }
}
