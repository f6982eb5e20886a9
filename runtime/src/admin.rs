//! The plain HTTP endpoint for machines that watch: liveness, readiness with reasons, metrics.
//!
//! Serves no secrets and changes nothing. Anyone may connect, so connections are bounded in number, size and time, and
//! a newcomer is never refused for others that hold theirs: the oldest goes.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::{Health, Shutdown};

const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Most connections open at once.
const CONNECTIONS_MAX: usize = 64;

/// Longest request, headers included, in bytes.
const REQUEST_MAX_BYTES: usize = 16 * 1024;

/// How long the headers of a request may take, and how long a connection may be idle.
const HEADERS_DEADLINE: Duration = Duration::from_secs(15);

/// How long one connection may live. A scraper opens another.
const CONNECTION_LIFE: Duration = Duration::from_secs(300);

/// How long an answer that has begun may take once its connection is to end.
const LAST_ANSWER_DEADLINE: Duration = Duration::from_secs(2);

/// How long to wait after the operating system refused to accept (out of file descriptors).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// A bound admin endpoint.
#[derive(Debug)]
pub struct Admin {
    listener: std::net::TcpListener,
}

/// Who asks, as every handler finds it among a request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

impl Admin {
    /// Binds `address`; port 0 picks a free one.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        // Not bound to the runtime that binds it: it may be served by another.
        Ok(Self { listener: TcpListener::bind(address).await?.into_std()? })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// `/healthz/live`, `/healthz/ready` (also `/ready`), `/metrics`.
    pub fn routes(health: Health, registry: Registry) -> Router {
        let metrics = Router::new().route("/metrics", get(metrics)).with_state(Arc::new(registry));
        Self::readiness(health).merge(metrics)
    }

    /// The same without `/metrics`.
    pub fn readiness(health: Health) -> Router {
        Router::new()
            .route("/healthz/live", get(|| async { "live\n" }))
            .route("/healthz/ready", get(ready))
            .route("/ready", get(ready))
            .with_state(health)
    }

    /// Serves [`Admin::routes`] until shutdown.
    ///
    /// # Errors
    /// When the listener breaks.
    pub async fn serve(self, health: Health, registry: Registry, shutdown: Shutdown) -> io::Result<()> {
        self.serve_routes(Self::routes(health, registry), shutdown).await
    }

    /// Serves other routes until shutdown, within the same bounds.
    ///
    /// # Errors
    /// When the listener breaks.
    pub async fn serve_routes(self, routes: Router, shutdown: Shutdown) -> io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        let mut open = Open::default();
        loop {
            tokio::select! {
                () = shutdown.begun() => break,
                // An ended connection leaves nothing behind.
                Some(_) = open.tasks.join_next() => {}
                // A connection that was accepted is in the result.
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        open.add(stream, routes.clone().layer(Extension(Peer(peer))), shutdown.clone());
                    }
                    Err(error) => {
                        tracing::warn!(%error, "admin connection cannot be accepted");
                        sleep(ACCEPT_RETRY).await;
                    }
                },
            }
        }
        drop(listener);
        while open.tasks.join_next().await.is_some() {}
        Ok(())
    }
}

/// The connections, oldest first.
#[derive(Default)]
struct Open {
    tasks: JoinSet<()>,
    ages: VecDeque<AbortHandle>,
}

impl Open {
    fn add(&mut self, stream: TcpStream, routes: Router, shutdown: Shutdown) {
        self.ages.retain(|connection| !connection.is_finished());
        if self.ages.len() >= CONNECTIONS_MAX
            && let Some(oldest) = self.ages.pop_front()
        {
            oldest.abort();
        }
        self.ages.push_back(self.tasks.spawn(connection(stream, routes, shutdown)));
    }
}

async fn connection(stream: TcpStream, routes: Router, shutdown: Shutdown) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_DEADLINE)
        .max_buf_size(REQUEST_MAX_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    let mut served = pin!(served);
    tokio::select! {
        // A peer that breaks off, or breaks the rules, is nobody's concern here.
        _ = served.as_mut() => return,
        () = sleep(CONNECTION_LIFE) => {}
        () = shutdown.begun() => {}
    }
    served.as_mut().graceful_shutdown();
    // Whoever reads slowly has had its time.
    let _ = timeout(LAST_ANSWER_DEADLINE, served).await;
}

async fn ready(State(health): State<Health>) -> impl IntoResponse {
    let lines = |told: &[(&str, String)]| told.iter().map(|(part, why)| format!("{part}: {why}\n")).collect::<String>();
    let reasons = health.reasons();
    if reasons.is_empty() {
        return (StatusCode::OK, format!("ready\n{}", lines(&health.remarks())));
    }
    (StatusCode::SERVICE_UNAVAILABLE, lines(&reasons))
}

async fn metrics(State(registry): State<Arc<Registry>>) -> impl IntoResponse {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &registry) {
        Ok(()) => (StatusCode::OK, [(header::CONTENT_TYPE, METRICS_CONTENT_TYPE)], text),
        Err(_) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
            "metrics could not be written\n".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests;
