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

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
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

struct Shown {
    health: Health,
    registry: Registry,
}

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

    /// Serves until shutdown: `/healthz/live`, `/healthz/ready` (also `/ready`), `/metrics`.
    ///
    /// # Errors
    /// When the listener breaks.
    pub async fn serve(self, health: Health, registry: Registry, shutdown: Shutdown) -> io::Result<()> {
        let shown = Arc::new(Shown { health, registry });
        let routes = Router::new()
            .route("/healthz/live", get(|| async { "live\n" }))
            .route("/healthz/ready", get(ready))
            .route("/ready", get(ready))
            .route("/metrics", get(metrics))
            .with_state(shown);
        let listener = TcpListener::from_std(self.listener)?;
        let mut open = Open::default();
        loop {
            tokio::select! {
                () = shutdown.begun() => break,
                // An ended connection leaves nothing behind.
                Some(_) = open.tasks.join_next() => {}
                // A connection that was accepted is in the result.
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => open.add(stream, routes.clone(), shutdown.clone()),
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

async fn ready(State(shown): State<Arc<Shown>>) -> impl IntoResponse {
    let lines = |told: &[(&str, String)]| told.iter().map(|(part, why)| format!("{part}: {why}\n")).collect::<String>();
    let reasons = shown.health.reasons();
    if reasons.is_empty() {
        return (StatusCode::OK, format!("ready\n{}", lines(&shown.health.remarks())));
    }
    (StatusCode::SERVICE_UNAVAILABLE, lines(&reasons))
}

async fn metrics(State(shown): State<Arc<Shown>>) -> impl IntoResponse {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &shown.registry) {
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
