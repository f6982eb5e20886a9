//! The task that sends traces to a collector: OTLP over HTTP, in protobuf.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use prost::Message as _;
use signet_runtime::Shutdown;
use signet_runtime::tasks::chain;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::wire::{ExportTraceServiceRequest, KeyValue, Resource, ResourceSpans, Scope, ScopeSpans};
use super::{Inner, Trace};
use crate::config::OtlpConfig;
use crate::outgoing::{ConnectorError, connector};

/// Most traces in one request, and how long they are gathered.
const BATCH_MAX: usize = 512;
const GATHERING: Duration = Duration::from_secs(1);

/// How long one request may take, and the last one.
const DEADLINE: Duration = Duration::from_secs(5);
const LAST_DEADLINE: Duration = Duration::from_secs(1);

/// Most bytes of an answer, which nobody reads.
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// Why traces were not taken.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error(transparent)]
    Connector(#[from] ConnectorError),
    #[error("request cannot be made")]
    Request(#[from] http::Error),
    #[error("no answer")]
    Connect(#[from] hyper_util::client::legacy::Error),
    #[error("collector answered {status}")]
    Status { status: StatusCode },
    #[error("answer broke off or is too long")]
    Body,
    #[error("no answer in time")]
    Deadline,
}

/// Sends what waits.
pub(crate) struct Exporter {
    config: OtlpConfig,
    waiting: mpsc::Receiver<Trace>,
    inner: Arc<Inner>,
    /// Whether the last could not be sent, which is logged once.
    fails: bool,
}

impl Exporter {
    pub(super) fn new(config: OtlpConfig, waiting: mpsc::Receiver<Trace>, inner: Arc<Inner>) -> Self {
        Self { config, waiting, inner, fails: false }
    }

    /// Sends until shutdown begins, then what waits.
    ///
    /// # Errors
    /// None.
    pub(crate) async fn run(mut self, shutdown: Shutdown) -> Result<(), Infallible> {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            tokio::select! {
                // What was received stands in `batch`.
                () = shutdown.begun() => break,
                count = self.waiting.recv_many(&mut batch, BATCH_MAX) => if count == 0 { break },
            }
            let more = BATCH_MAX.saturating_sub(batch.len());
            if more > 0 {
                tokio::select! {
                    () = shutdown.begun() => break,
                    () = tokio::time::sleep(GATHERING) => {}
                }
                while let Ok(trace) = self.waiting.try_recv() {
                    batch.push(trace);
                    if batch.len() >= BATCH_MAX {
                        break;
                    }
                }
            }
            self.send(&mut batch, DEADLINE).await;
        }
        while batch.len() < BATCH_MAX
            && let Ok(trace) = self.waiting.try_recv()
        {
            batch.push(trace);
        }
        self.send(&mut batch, LAST_DEADLINE).await;
        Ok(())
    }

    async fn send(&mut self, batch: &mut Vec<Trace>, deadline: Duration) {
        if batch.is_empty() {
            return;
        }
        let traces = batch.len();
        let body = encode(batch.drain(..).flatten().collect());
        let sent = timeout(deadline, post(&self.config, body)).await.unwrap_or(Err(ExportError::Deadline));
        let lost = self.inner.lost.swap(0, Ordering::Relaxed);
        match sent {
            Ok(()) => self.fails = false,
            Err(error) if !std::mem::replace(&mut self.fails, true) => {
                tracing::warn!(traces, error = chain(&error), "traces cannot be sent");
            }
            Err(_) => {}
        }
        if lost > 0 {
            tracing::warn!(lost, "traces were lost, as they are not taken fast enough");
        }
    }
}

async fn post(config: &OtlpConfig, body: Vec<u8>) -> Result<(), ExportError> {
    // Once a second at most; a fresh connection follows changed roots.
    let client: Client<_, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector(config.ca_file.as_deref())?);
    let request = Request::post(config.endpoint.clone())
        .header(CONTENT_TYPE, "application/x-protobuf")
        .body(Full::new(Bytes::from(body)))?;
    let response = client.request(request).await?;
    let status = response.status();
    Limited::new(response.into_body(), ANSWER_MAX_BYTES).collect().await.map_err(|_| ExportError::Body)?;
    if status.is_success() { Ok(()) } else { Err(ExportError::Status { status }) }
}

fn encode(spans: Trace) -> Vec<u8> {
    let scope = Scope { name: "signet-ca".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let resource = Resource { attributes: vec![KeyValue::text("service.name", "signet-ca")] };
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { resource: Some(resource), scope_spans }] }
        .encode_to_vec()
}
