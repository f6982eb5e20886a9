//! The plain HTTP endpoint for machines that watch: liveness, readiness with reasons, metrics.
//!
//! Serves no secrets and changes nothing.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::{Health, Shutdown};

const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A bound admin endpoint.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
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
        Ok(Self { listener: TcpListener::bind(address).await? })
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
        let end = async move { shutdown.begun().await };
        axum::serve(self.listener, routes).with_graceful_shutdown(end).await
    }
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
